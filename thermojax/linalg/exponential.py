"""Matrix exponentials: how the positions of a device remember where they were, one time ago."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import real
from ..linear.matrix_equations import dot, root
from .device.answer import Answer, DeviceTime
from .device.noise import standard_normals
from .device.operator import entries, operator_of
from .device.problem import FIRST
from .device.relaxation import decaying, remembered
from .device.settings import Settings, until_accurate
from .drift.arnoldi import Rates
from .drift.drift import DriftingDevice, Noise, factored, trace_of
from .drift.motion import Exact
from .drift.watch import Covariance, energy_at, plan_of, watched

SLOWEST = (math.sqrt(3) - 1) / 2  # the u that makes e^(2u) (1 + 1 / u) least: error^2 at equal time
PADE = 8  # products of matrices, a solve among them, of the approximant of degree 13
PADE_REACH = 5.4  # of |A|_1, beyond which it is squared
SQUARE = "only square matrices have an exponential"
OVERDAMPED = (
    "dynamics = 'underdamped': the memory of an underdamped device is not an exponential of its "
    "couplings; expected 'overdamped'"
)


def expm(
    A: Any,
    key: PRNGKeyArray,
    *,
    time: float | None = None,
    rtol: float | None = None,
    probability: float = 0.9,
    dynamics: str = "overdamped",
    trajectories: int = 1,
    method: str | None = None,
    idle_power: float = 0.0,
    max_products: float = 1e9,
    shift: float | None = None,
) -> Answer:
    r"""e^A as the memory of a device with the drift -B x, B = c - A, in the noise D = B + B^T.

    The stationary covariance is the identity, so that E[x(t+1) x(t)^T] = e^-B = e^-c e^A. The mean
    over N samples one time apart scatters, with C_k = e^(-B k) and C_-k = C_k^T, as

        E|C - e^-B|_F^2 = (1 / N) sum_k [(tr C_k)^2 + tr C_(k+1) C_(k-1)],

    of which e^A has e^(2 c): a shift costs its exponential in error. None is needed where the
    symmetric part of -A is positive; and one below zero is a gain where that part is large.

    **Arguments:**

    - `A`, `(dim, dim)`: a matrix or a lineax operator, of any eigenvalues. `key`.
    - `time`: of the average, in the unit in which A is a number, for each of the `trajectories`:
      as many samples, rounded up until the groups of the error are alike; or `rtol` and
      `probability`: |X - e^A|_F <= rtol |e^A|_F, found by shorter runs, Markov's inequality and
      the errors that they see.
    - `method`: "steps", which moves by products with A alone (the default for operators), or
      "exact", by the law of the motion, e^-B itself (the default for matrices).
    - `shift`: c; when left out, one that comes near the least error at equal time, for which the
      symmetric part of B has the lowest eigenvalue (sqrt(3) - 1) / 2. `idle_power`, kT / time,
      that the device draws whatever it does. `max_products`: of A with a vector, which are not
      exceeded.

    **Returns:** a `tj.linalg.Answer`, its value `(dim, dim)`, energies in units of kT, by the power
    of the stationary law.

    **Raises:** ValueError, with the cure, for shapes that do not fit, a shift that is too small, an
    answer beyond the range of floats, and for underdamped motion.

    **Cost:** "steps": 20 products for each step of 1 / |B| and each trajectory. The noise is
    programmed with all entries of D, which take a product for each dimension from an operator, and
    an eigendecomposition. "exact": O(dim^3), and two products for each sample.
    """
    settings = Settings(
        time, rtol, probability, dynamics, trajectories, method, None, idle_power, max_products
    )
    return exponential("expm", A, -1.0, key, settings, shift)


def expnegm(
    A: Any,
    key: PRNGKeyArray,
    *,
    time: float | None = None,
    rtol: float | None = None,
    probability: float = 0.9,
    dynamics: str = "overdamped",
    trajectories: int = 1,
    method: str | None = None,
    idle_power: float = 0.0,
    max_products: float = 1e9,
    shift: float | None = None,
) -> Answer:
    r"""e^-A as the memory of a device with the drift -(A + c) x: `tj.linalg.expm` of -A.

    **Arguments:** as `tj.linalg.expm`; `shift` is added to A.

    **Returns:** a `tj.linalg.Answer`, its value `(dim, dim)`, energies in units of kT.
    """
    settings = Settings(
        time, rtol, probability, dynamics, trajectories, method, None, idle_power, max_products
    )
    return exponential("expnegm", A, 1.0, key, settings, shift)


def exponential(
    name: str, A: Any, sign: float, key: PRNGKeyArray, settings: Settings, shift: float | None
) -> Answer:
    """e^(-sign A)."""
    settings = settings.checked(key, A=A, shift=shift)
    if settings.dynamics == "underdamped":
        raise ValueError(OVERDAMPED)
    if shift is not None:
        real("shift", shift, "a number that is added to the drift, or None for the best")
    operator = operator_of(A, cure=SQUARE)
    whole = isinstance(operator, lx.MatrixLinearOperator)
    exact = settings.method == "exact" or (settings.method is None and whole)
    matrix = entries(operator, name) if whole or exact else looked_up(operator)
    value = sign * np.asarray(matrix)
    powers, vectors = np.linalg.eigh((value + value.T) / 2)
    c = shift_of(value, float(powers[0]), shift)
    scale, dim = scale_of(c, value.dtype, shift), len(value)

    drift = value + np.asarray(c, value.dtype) * np.eye(dim, dtype=value.dtype)
    noise = factored(
        jnp.asarray(drift + drift.T), 2 * (powers + np.asarray(c, value.dtype)), vectors
    )
    known = lx.MatrixLinearOperator(jnp.asarray(drift))
    moved = known if whole else plus(operator, sign, c)
    norm = math.nan if exact else float(np.linalg.norm(drift, 2))
    rates = Rates(float(powers[0]) + c, norm, 0 if whole else dim)
    device = DriftingDevice(moved, None, noise, rates)
    motion = to_next(known.matrix) if exact else device.motion(1.0)
    power = steady_power(drift, noise)

    def run(time, key):
        plan = plan_of(time, settings.trajectories)
        products = plan.trajectories * plan.samples * motion.products
        settings.require_affordable(products, time, device.relaxation)
        begin, rest = jax.random.split(key)
        x = standard_normals(begin, (plan.trajectories, dim), matrix.dtype)
        reading = watched(None, motion, plan, x, rest, Covariance(None, lagged=True))
        reading = reading._replace(power=power, power_error=jnp.zeros(()))
        factor = remembered(
            decaying(device.relaxation), 2, device.relaxation, plan, float(plan.samples)
        )
        took = DeviceTime(0.0, plan.samples * rates.slow, device.relaxation)
        return Answer(
            scale * reading.value,
            factor * scale * reading.error,
            plan.averaged * plan.samples,
            took,
            energy_at(reading, trace_of(known, key), took, plan, settings.idle_power),
            products + rates.products,
            digital_exponential(value),
            True,
            "Padé approximants (scaling and squaring)",
        )

    return until_accurate(run, settings, FIRST, key)


@jax.jit
def to_next(drift: Float[Array, "dim dim"]) -> Exact:
    """The motion over one unit of time, of the stationary covariance 1."""
    decay = jax.scipy.linalg.expm(-drift)
    covariance = jnp.eye(len(drift), dtype=drift.dtype) - dot(decay, decay.T)
    lower = jnp.linalg.cholesky(covariance)
    # Of a drift that hardly moves, the noise of one step is singular to rounding.
    regular = jnp.all(jnp.isfinite(lower))
    return Exact(decay, jax.lax.cond(regular, lambda: lower, lambda: root(covariance)))


def steady_power(drift: np.ndarray, noise: Noise) -> Array:
    """2 tr D^-1 B B^T: that of `Power` where the covariance is known to be 1."""
    assert noise.inverse is not None
    return jnp.asarray(2 * np.sum((np.asarray(noise.inverse) @ drift) ** 2))


@eqx.filter_jit
def looked_up(operator: lx.AbstractLinearOperator) -> Float[Array, "dim dim"]:
    """The entries of an operator, by a product for each dimension."""
    structure = operator.in_structure()
    return jax.vmap(operator.mv)(jnp.eye(operator.in_size(), dtype=structure.dtype)).T


def plus(operator: lx.AbstractLinearOperator, sign: float, c: float) -> lx.AbstractLinearOperator:
    """sign A + c."""
    structure = operator.in_structure()
    numbers = jnp.asarray([sign, c], structure.dtype)
    return operator * numbers[0] + lx.IdentityLinearOperator(structure) * numbers[1]


def shift_of(drift: np.ndarray, lowest: float, shift: float | None) -> float:
    """The shift, checked, where `lowest` is the lowest eigenvalue of the symmetric part.

    **Raises:** ValueError for a shift that leaves it at zero or below.
    """
    if shift is None:
        return SLOWEST - lowest
    if not lowest + shift > 10 * np.finfo(drift.dtype).eps * len(drift) * np.max(np.abs(drift)):
        raise ValueError(
            f"shift = {shift:.3g}: the drift then has the lowest symmetric part "
            f"{lowest + shift:.3g}, whose noise would be negative; expected more than "
            f"{-lowest:.3g}, or None for the best"
        )
    return float(shift)


def scale_of(c: float, dtype, shift: float | None) -> float:
    """e^c. **Raises:** ValueError where the answer leaves the range of numbers."""
    largest = math.log(float(jnp.finfo(dtype).max))
    if abs(c) > largest - 10:
        if shift is not None:
            raise ValueError(
                f"shift = {shift:.3g}: its exponential is out of the range of "
                f"{jnp.dtype(dtype).name}; expected a number near the eigenvalues of A, or None "
                "for the best"
            )
        raise ValueError(
            f"A is too large: its exponential is of the order e^{c:.3g}, out of the range of "
            f"{jnp.dtype(dtype).name}; scale A, and take the power of the result"
        )
    return math.exp(c)


def digital_exponential(matrix: np.ndarray) -> int:
    """Products of A with a vector that take the work of a Padé approximant, and its squarings.

    Source: N. Higham, SIAM J. Matrix Anal. Appl. 26, 1179 (2005).
    """
    size = float(np.linalg.norm(matrix, 1))
    squarings = max(0, math.ceil(math.log2(size / PADE_REACH))) if size > 0 else 0
    return len(matrix) * (PADE + squarings)
