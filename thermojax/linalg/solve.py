"""Linear systems: the mean position of a coupled device is A^-1 b."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from .._component import Numbers
from ..system import Bath
from .device.answer import Answer
from .device.device import read
from .device.exact import averaged_positions
from .device.problem import problem_of
from .device.settings import Settings, until_accurate
from .imperfect.copies import checked_copies, imperfect
from .imperfect.imperfections import Imperfections


def solve(
    A: Any,
    b: Numbers,
    key: PRNGKeyArray,
    *,
    time: float | None = None,
    rtol: float | None = None,
    probability: float = 0.9,
    dynamics: str = "overdamped",
    trajectories: int = 1,
    method: str | None = None,
    bath: Bath | None = None,
    idle_power: float = 0.0,
    max_products: float = 1e9,
    imperfections: Imperfections | None = None,
    copies: int = 1,
    extrapolate: bool = False,
) -> Answer:
    r"""x = A^-1 b as the mean position of a device with the energy U = x . A x / 2 - b . x.

    An average over a time T scatters, overdamped and from equilibrium, with the covariance

        K = (2 gamma kT / T) A^-2 - (2 gamma^2 kT / T^2) A^-3 (1 - e^(-A T / gamma)).

    **Arguments:**

    - `A`, symmetric positive definite: `(dim, dim)`, a lineax operator, or a function x -> A x.
      `b`, `(dim,)`. `key`.
    - `time`: of the average, in the unit of friction / stiffness (overdamped), for each of the
      `trajectories`, which are devices side by side.
    - `rtol`, `probability`, in its place: |x - A^-1 b| <= rtol |A^-1 b| with this probability.
      "exact" takes the time of `tj.linalg.runtime`; "steps" finds it by shorter runs, Markov's
      inequality and the errors that it sees.
    - `max_products`: of A with a vector, which are not exceeded.
    - `dynamics`: "overdamped" or "underdamped".
    - `method`: "steps", the motion in time steps, which knows A by its products alone (the default
      for operators and functions), or "exact", each mode of A by its exact law (the default for
      matrices).
    - `bath`: constant; underdamped, friction 2 sqrt(m lambda_min) when left out, for which the
      slowest mode relaxes fastest. `idle_power`: that the device draws whatever it does.
    - `imperfections`: of the device, whose answer then has a `floor`, and is read at times a
      quarter of the relaxation time apart; A a matrix. Without, the device is perfect.
    - `copies`: devices that are programmed each on its own, of `trajectories` each. The random part
      of the floor falls as 1 / sqrt(copies). At one device time in all, V the variance of that
      part and c / T that of an average, T = sqrt(c w / V) is best, w the equilibration.
    - `extrapolate`: every copy runs three times, as it is and with a known random error of the size
      of its own, once added and once taken away: 2 x_0 - (x_+ + x_-) / 2, in which what is of
      second order cancels in the mean, and what is of first order stays that of x_0. Source: as
      zero-noise extrapolation, K. Temme et al., Phys. Rev. Lett. 119, 180509 (2017); the pair of
      signs, by which the variance of the program does not grow, is derived here.

    **Returns:** a `tj.linalg.Answer`.

    **Raises:** ValueError, with the cure, for a matrix that is not symmetric, not positive, or
    singular, and for shapes that do not fit.

    **Cost:** "steps": time / dt products for each trajectory, dt half of the fastest mode's time,
    one more for each sample, and 34 to about 1000 for the ends of the spectrum; a product that the
    compiler cannot see into, such as `jax.pure_callback`, is called three times where one would do.
    "exact": one eigendecomposition.
    """
    settings = Settings(
        time, rtol, probability, dynamics, trajectories, method, bath, idle_power, max_products
    )
    given = checked_copies(imperfections, copies, extrapolate, rtol)
    problem = problem_of("solve", A, b, key, settings)

    def run(time, key):
        run = problem.planned(time, sampled=given is not None)
        if given is not None:
            return imperfect(run, given, key, mean_position)
        modes, b, device, plan = problem.modes, problem.b, run.device, run.plan
        if modes is None:
            reading = read(device, problem.operator, b, plan, key, mean_position)
            return run.answered(run.grouped(reading, 1))
        return run.answered(averaged_positions(modes, b, device, plan, key), vectors=4)

    return until_accurate(run, problem.settings, problem.first, key)


@jax.jit
def mean_position(x):
    return jnp.mean(x, axis=0)
