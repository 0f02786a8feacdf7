"""How long a device must run: with what probability an average is how near."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from .._arguments import choice, real, whole
from .._component import Numbers, finite
from ..system import Bath
from .device import DYNAMICS, Device, device_for
from .exact import average_variances, modes_of
from .operator import entries, operator_of, require_known

LEFT = 0.1  # of the tolerance: what is left of the start when averaging begins
LEAST = 1e-9  # a tolerance whose square times the number of products nobody has
NODES = 24  # of Talbot's contour: more lose digits to cancellation


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
    A: Any,
    b: Numbers,
    rtol: float,
    probability: float,
    *,
    dynamics: str = "overdamped",
    bath: Bath | None = None,
    trajectories: int = 1,
) -> Runtime:
    r"""The times after which P(|x - A^-1 b| <= rtol |A^-1 b|) is at least `probability`.

    The error of an average over the time T is Gaussian, with the covariance K(T) that stands at
    `tj.linalg.solve`: its square is a sum of chi-squares, weighted with the eigenvalues of K. By
    Markov's inequality tr K <= (1 - P) rtol^2 |x|^2 is enough; the law itself asks for less.

    **Raises:** ValueError for a matrix that is not symmetric positive definite, or known by its
    products alone. **Cost:** one symmetric eigendecomposition.
    """
    choice("dynamics", dynamics, DYNAMICS)
    real("rtol", rtol, "a relative tolerance, 1e-9 to 1", lambda x: (x >= LEAST) & (x < 1))
    real("probability", probability, "a probability between 0 and 1", lambda p: (p > 0) & (p < 1))
    trajectories = whole("trajectories", trajectories, cure="devices side by side")
    require_known(A=A, b=b, rtol=rtol, probability=probability, bath=bath)
    b = jnp.atleast_1d(finite("b", b))
    modes = modes_of(entries(operator_of(A, b), "runtime"))
    device = device_for(modes.spectrum, dynamics, bath)
    along = modes.vectors.T @ b / modes.values
    allowed = (rtol * float(jnp.linalg.norm(along))) ** 2
    if allowed == 0:
        raise ValueError("b is zero: its answer is zero, of which no error is a small part")

    weights = lambda time: np.asarray(average_variances(modes.values, device, time)) / trajectories
    markov = shortest(lambda time: weights(time).sum() <= (1 - probability) * allowed, device)
    right = lambda time: chi_square_sum_cdf(weights(time), allowed) >= probability
    return Runtime(
        device.relaxation * math.log(1 / (LEFT * rtol)),
        shortest(right, device),
        markov,
        device.relaxation,
    )


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


def chi_square_sum_cdf(weights: np.ndarray, level: float) -> float:
    """P(sum_i w_i z_i^2 <= level) of standard normals z, by its Laplace transform.

    prod (1 + 2 w_i s)^(-1/2) / s has all its singularities on the negative axis, around which
    Talbot's contour leads. Source: J. Abate, P. Valko, Int. J. Numer. Meth. Engng 60, 979 (2004).
    """
    scale = weights / level
    k = np.arange(1, NODES)
    angle = k * np.pi / NODES
    cot = 1 / np.tan(angle)
    s = np.concatenate([[2 * NODES / 5 + 0j], 2 * k * np.pi / 5 * (cot + 1j)])
    turn = 1 + 1j * angle * (1 + cot**2) - 1j * cot
    factor = np.concatenate([[0.5 * np.exp(s[0])], turn * np.exp(s[1:])])
    transform = np.exp(-0.5 * np.sum(np.log1p(2 * scale[:, None] * s), axis=0)) / s
    return float(0.4 * np.sum((factor * transform).real))
