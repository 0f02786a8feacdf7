"""Times of a device after which an average is near enough, with a probability."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..._arguments import choice, real, whole
from ..._component import Numbers, finite
from ...system import Bath
from .chi_square import chi_square_sum_cdf
from .device import DYNAMICS, Device, device_for
from .exact import Modes, average_variances, modes_of, second_moment_variances
from .operator import entries, operator_of, require_known

PROBLEMS = ("solve", "inv")
LEFT = 0.1  # of the tolerance: what is left of the start when averaging begins
LEAST = 1e-9  # a tolerance whose square times the number of products nobody has


class Runtime(NamedTuple):
    """Times of a device, in its own unit, after which an answer is right enough.

    - `equilibration`: until a tenth of the tolerance is left of the start.
    - `averaging`: by the law of the error; `markov`: by Markov's inequality, for which the mean of
      the squared error is enough to know. Divided by the number of trajectories.
    - `relaxation`: 1 / the slowest rate.
    """

    equilibration: float
    averaging: float
    markov: float
    relaxation: float


def runtime(
    problem: str,
    A: Any,
    b: Numbers | None = None,
    *,
    rtol: float,
    probability: float = 0.9,
    dynamics: str = "overdamped",
    bath: Bath | None = None,
    trajectories: int = 1,
) -> Runtime:
    r"""The times after which the relative error is at most `rtol` with this probability.

    - "solve": P(|x - A^-1 b| <= rtol |A^-1 b|). The error of an average over a time T is Gaussian,
      with the covariance K(T) that stands at `tj.linalg.solve`.
    - "inv": P(|C - A^-1|_F <= rtol |A^-1|_F), of the samples of a time T that come close to each
      other; its error is Gaussian where T is many relaxation times.

    The squared error is a sum of chi-squares, weighted with the eigenvalues of K. By Markov's
    inequality tr K <= (1 - P) (rtol |answer|)^2 is enough; the law itself asks for less.

    **Raises:** ValueError for a matrix that is not symmetric positive definite, or known by its
    products alone. **Cost:** one symmetric eigendecomposition; "inv" takes dim^2 / 2 weights.
    """
    choice("problem", problem, PROBLEMS)
    choice("dynamics", dynamics, DYNAMICS)
    check_tolerance(rtol, probability)
    trajectories = whole("trajectories", trajectories, cure="devices side by side")
    require_known(A=A, b=b, rtol=rtol, probability=probability, bath=bath)
    if problem == "solve" and b is None:
        raise ValueError("b is None: expected numbers, (dim,), one per row of A")
    b = None if b is None or problem == "inv" else jnp.atleast_1d(finite("b", b))
    if b is not None:
        require_answer(b)
    modes = modes_of(entries(operator_of(A, b), "runtime", has_steps=False))
    device = device_for(modes.spectrum, dynamics, bath)
    return runtime_of(modes, b, device, float(rtol), float(probability), trajectories)


def check_tolerance(rtol: Any, probability: Any) -> None:
    """**Raises:** ValueError for what is no relative tolerance, or no probability."""
    real("rtol", rtol, "a relative tolerance, 1e-9 to 1", lambda x: (x >= LEAST) & (x < 1))
    real("probability", probability, "a probability between 0 and 1", lambda p: (p > 0) & (p < 1))


def require_answer(b: Array) -> None:
    """**Raises:** ValueError for b = 0."""
    if not np.any(np.asarray(b)):
        raise ValueError("b is zero: its answer is zero, of which no error is a small part")


def runtime_of(
    modes: Modes,
    b: Array | None,
    device: Device,
    rtol: float,
    probability: float,
    trajectories: int,
    interval: float | None = None,
) -> Runtime:
    """The times of a solve, or, where b is None, of an inverse by samples at an interval."""
    if b is None:
        answer = 1 / modes.values
        weights = lambda time: inverse_weights(modes.values, device, time, interval)
    else:
        answer = modes.vectors.T @ b / modes.values
        weights = lambda time: np.asarray(average_variances(modes.values, device, time))
    allowed = trajectories * (rtol * float(jnp.linalg.norm(answer))) ** 2
    markov = shortest(lambda time: weights(time).sum() <= (1 - probability) * allowed, device)
    right = lambda time: chi_square_sum_cdf(weights(time), allowed) >= probability
    return Runtime(
        device.relaxation * math.log(1 / (LEFT * rtol)),
        shortest(right, device),
        markov,
        device.relaxation,
    )


def inverse_weights(values: Array, device: Device, time, interval: float | None) -> np.ndarray:
    """The weights of the squared error of an inverse: an entry beside the diagonal counts twice."""
    variances = np.asarray(second_moment_variances(values, device, time, interval))
    above = variances[np.triu_indices(len(variances), 1)]
    return np.concatenate([np.diag(variances), 2 * above])


def shortest(enough, device: Device) -> float:
    """The least time that is enough, to four digits: doubled and halved, then bisected."""
    high = device.relaxation
    while not enough(high):
        high *= 2
    low = high / 2
    while enough(low) and low > 1e-9 * device.relaxation:
        low /= 2
    while high > (1 + 1e-4) * low:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
