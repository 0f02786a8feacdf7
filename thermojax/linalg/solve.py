"""Linear systems: the mean position of a coupled device is A^-1 b."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from .._component import Numbers
from ..system import Bath
from .answer import Answer
from .device import read
from .exact import averaged_positions
from .problem import problem_of
from .settings import Settings, until_accurate


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
    problem = problem_of("solve", A, b, key, settings)

    def run(time, key):
        run = problem.planned(time, sampled=False)
        modes, b, device, plan = problem.modes, problem.b, run.device, run.plan
        if modes is None:
            return run.answered(read(device, problem.operator, b, plan, key, mean_position))
        return run.answered(averaged_positions(modes, b, device, plan, key), vectors=4)

    return until_accurate(run, problem.settings, problem.first, key)


@jax.jit
def mean_position(x):
    return jnp.mean(x, axis=0)
