"""Ways to spend the time of a device: one long trajectory, many short ones, all between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import choice, real, whole
from .._component import Numbers, finite, positive, shown
from ..linear.matrix_equations import integral
from .device.device import DYNAMICS, Device, device_for
from .device.exact import modes_of
from .device.operator import entries, operator_of, require_known, square
from .device.relaxation import mean_memory, relaxation_of

POWERS = tuple(2**i for i in range(11))
GRID = 101  # equilibration times that are compared, twice: over all, then beside the best
MOST = 0.999  # of the time of a trajectory: something is left to average


class Split(NamedTuple):
    """Ways to share one device time among trajectories, an entry for each number of them.

    - `trajectories`; `equilibration`, `averaging`: the times of each of them.
    - `bias`: what the start leaves in the mean; `spread`: the standard deviation around that;
      `error`: the root of the sum of their squares. All are norms of the vector or matrix.
    """

    trajectories: np.ndarray
    equilibration: np.ndarray
    averaging: np.ndarray
    bias: np.ndarray
    spread: np.ndarray
    error: np.ndarray

    @property
    def delay(self) -> np.ndarray:
        """The time until the answer is there, with all trajectories side by side."""
        return self.equilibration + self.averaging

    @property
    def best(self) -> int:
        """The number of trajectories for which the error is least."""
        return int(self.trajectories[int(np.argmin(self.error))])


def split(
    A: Any,
    b: Numbers | None = None,
    *,
    time: float,
    trajectories: Sequence[int] = POWERS,
    equilibration: float | None = None,
    dynamics: str = "overdamped",
    bath: Any = None,
) -> Split:
    r"""The error of `solve`, or of `inv` without b, for one device time in all, shared by some.

    Each of M trajectories starts from the idle device, of stiffness lambda_max around 0, waits a
    time w and averages over T, M (w + T) = `time`. Of the mode of stiffness k, memory phi, and rest
    y = v . b / k there remain, with a bar for averages over the T after w,

        bias = -y phi_bar,    M variance = K(T) + (kT / lambda_max - kT / k) phi_bar^2,

    K(T) the variance of an average from equilibrium. The equilibration is paid M times, so that one
    trajectory wins by far for times that are long against relaxation; many of them are M times as
    early with their answer.

    `tj.linalg.solve` waits until nothing of the start is seen in an average, whatever that takes,
    since its error knows no bias: it is the row of `equilibration=` that wait, in time, and takes
    the `trajectories` and the `averaging` of any row. Shorter waits, for which this law states the
    bias, are had by `tj.start`, `tj.switch` and `tj.advance`.

    **Arguments:** `A`, `b`, `dynamics`, `bath` as of `tj.linalg.solve`; `time`, of all together;
    `trajectories`, numbers of them; `equilibration`, w, the best one for each number when left out.

    **Returns:** a `tj.linalg.Split`.

    **Raises:** ValueError for a matrix that is not symmetric positive definite, an equilibration
    that leaves no time, and an inverse by an underdamped device, whose law is not here.

    **Cost:** an eigendecomposition; of inverses 100 numbers for each pair of modes.
    """
    choice("dynamics", dynamics, DYNAMICS)
    real("time", time, "a positive time of all trajectories together", positive)
    counts = counted(trajectories)
    require_known(A=A, b=b, time=time, equilibration=equilibration, bath=bath)
    each = float(time) / counts
    if equilibration is not None:
        expected = f"a time of 0 or more, less than time / trajectories = {each.min():.4g}"
        real("equilibration", equilibration, expected, lambda t: (t >= 0) & (t < each.min()))
    if b is None and dynamics == "underdamped":
        raise ValueError(
            "b is None and dynamics = 'underdamped': the law of an inverse is that of an "
            "overdamped device here; expected b, or dynamics='overdamped'"
        )
    field = None if b is None else jnp.atleast_1d(finite("b", b))
    matrix = square("A", A) if field is None else entries(operator_of(A, field), "split", False)
    modes = modes_of(matrix)
    device = device_for(modes.spectrum, dynamics, bath)
    if field is None:
        law = lambda wait, time: inverse_law(modes.values, device, wait, time)
    else:
        rest = modes.vectors.T @ field.astype(matrix.dtype) / modes.values
        law = lambda wait, time: solution_law(modes.values, rest, device, wait, time)

    def parts(wait, each, count):
        bias, variance = law(wait, each - wait)
        return bias, variance / count, bias + variance / count

    known = None if equilibration is None else float(equilibration)
    wait = jnp.full(len(counts), known) if known is not None else best_wait(parts, each, counts)
    bias, variance, square_error = jax.vmap(parts)(wait, jnp.asarray(each), jnp.asarray(counts))
    roots = (np.sqrt(np.asarray(x)) for x in (bias, variance, square_error))
    return Split(counts, np.asarray(wait), each - np.asarray(wait), *roots)


def counted(trajectories) -> np.ndarray:
    several = isinstance(trajectories, Sequence) and not isinstance(trajectories, str | bytes)
    if isinstance(trajectories, np.ndarray | jax.Array):
        several = trajectories.ndim == 1
    if not several or len(trajectories) == 0:
        raise ValueError(
            f"trajectories = {shown(trajectories)}: expected a sequence of positive whole numbers"
        )
    return np.array([whole("trajectories", n, cure="several in a sequence") for n in trajectories])


def best_wait(parts, each: np.ndarray, counts: np.ndarray) -> Array:
    """The equilibration of each number of trajectories for which its error is least."""

    @jax.jit
    def of_number(each, count):
        error = jax.vmap(lambda part: parts(part * each, each, count)[2])
        wide = jnp.linspace(0, MOST, GRID)
        at = wide[jnp.argmin(error(wide))]
        near = jnp.clip(at + wide[1] * jnp.linspace(-1, 1, GRID), 0, MOST)
        return near[jnp.argmin(error(near))] * each

    return jax.vmap(of_number)(jnp.asarray(each), jnp.asarray(counts))


def solution_law(
    values: Float[Array, " dim"], rest: Float[Array, " dim"], device: Device, wait, time
) -> tuple[Array, Array]:
    """|bias|^2 and the variance, over all modes, of the mean position of one trajectory."""
    memory, kt = relaxation_of(values, device), jnp.asarray(device.bath.temperature, values.dtype)
    left = memory.average(wait, time)
    start = kt / device.rest - kt / values
    variance = kt / values * memory.twice_averaged(time) + start * left**2
    return jnp.sum((rest * left) ** 2), jnp.sum(variance)


def inverse_law(values: Float[Array, " dim"], device: Device, wait, time) -> tuple[Array, Array]:
    r"""|bias|^2 and the variance, over all pairs of modes, of the second moment of one trajectory.

    <y_a(t) y_a(s)> / kT = V_a e^(-a |t - s|) + D_a e^(-a (t + s)), rates a = k / gamma, V = 1 / k,
    D = 1 / lambda_max - V; the covariance of y_a y_b at two times is the product of two of these,
    and twice that for a = b (Isserlis).
    """
    a = values / jnp.asarray(device.bath.friction, values.dtype)
    V = 1 / values
    D = 1 / jnp.asarray(device.rest, values.dtype) - V
    sums = a[:, None] + a[None, :]
    average = lambda rate: jnp.exp(-rate * wait) * integral(rate, time) / time
    # (1 / T^2) int int e^(-a |t - s|) e^(-b (t + s)), a along rows and b along columns.
    least = jnp.minimum(2 * a[None, :], sums)
    ends = jnp.exp(-least * time) * integral(jnp.abs(a[:, None] - a[None, :]), time)
    mixed = 2 / (time**2 * sums) * (integral(2 * a, time)[None, :] - ends)
    mixed = V[:, None] * (D * jnp.exp(-2 * a * wait))[None, :] * mixed
    both = 2 * jnp.outer(V, V) * mean_memory(sums * time) + mixed + mixed.T
    both = both + jnp.outer(D, D) * average(sums) ** 2
    variance = jnp.sum(both) + jnp.trace(both)
    return jnp.sum((D * average(2 * a)) ** 2), variance
