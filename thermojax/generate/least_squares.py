"""The machine of lowest loss: the loss is quadratic in couplings and biases."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import real, whole
from .._keys import Purpose, check_key, part_key
from .computer import Computer
from .network import Couplings, product
from .noising import NoisedPaths, Noising, check_fits, noised


def least_squares(
    computer: Computer,
    noising: Noising,
    key: PRNGKeyArray,
    *,
    batch: int,
    dt: float,
    draws: int = 1,
    iterations: int = 200,
    tolerance: float = 1e-4,
) -> Computer:
    r"""The couplings and biases that minimize the loss of given paths, by conjugate gradients.

    With M = (J | b), y = (x', 1), and r_0 the residual of a step without couplings, the loss is

        <A, M> + mu dt / (4 kT) <M G, M> + const,  G = <sum y y^T>,  A = <sum r_0 y^T> / 2 kT.

    Only G and A are kept of the paths, so that there may be any number of them. It is where
    training by either rule would end, if it went on for ever with these paths.

    **Arguments:** `batch` paths at once and `draws` times; `dt`, their time step; at most so many
    `iterations`, until the gradient is `tolerance` of what it was at 0.

    **Returns:** a `Computer`. **Raises:** ValueError for parts that do not fit.
    **Cost:** a product of units x units x steps per path, two of units^3 per iteration.
    """
    check_key(key)
    batch, draws = whole("batch", batch), whole("draws", draws)
    iterations = whole("iterations", iterations)
    real("tolerance", tolerance, "a number in (0, 1)", lambda x: (x > 0) & (x < 1))
    steps = check_fits(computer, noising, dt)
    sums = None
    for i in range(draws):
        own = part_key(key, Purpose.TRAINING, i)
        new = moments_of(computer, noised(computer, noising, own, batch, steps))
        sums = new if sums is None else jax.tree.map(jnp.add, sums, new)
    assert sums is not None
    second, first = jax.tree.map(lambda x: x / draws, sums)
    factor = computer.mobility * noising.duration / steps / (2 * computer.temperature)
    found = solved(computer.couplings, second, first, factor, iterations, tolerance)
    return eqx.tree_at(lambda c: c.couplings, computer, found)


@eqx.filter_jit
def moments_of(computer: Computer, paths: NoisedPaths):
    """(G, A) of a batch of paths, the means over the batch of sums over all steps."""
    x = paths.position
    batch = x.shape[1]
    after = x[1:].reshape(-1, x.shape[-1])
    step = computer.mobility * paths.dt
    residual = step * computer.on_site.slope(x[1:]) - jnp.diff(x, axis=0)
    y = jnp.concatenate([after, jnp.ones_like(after[:, :1])], axis=1)
    first = product(residual.reshape(after.shape).T, y) / (2 * computer.temperature)
    return product(y.T, y) / batch, first / batch


@eqx.filter_jit
def solved(
    like: Couplings,
    second: Float[Array, "units_plus_1 units_plus_1"],
    first: Float[Array, "units units_plus_1"],
    factor,
    iterations: int,
    tolerance,
) -> Couplings:
    """The couplings where the gradient of the quadratic form is 0."""

    def form(couplings: Couplings):
        matrix = couplings.matrix()
        return jnp.sum(matrix * (first + 0.5 * factor * product(matrix, second)))

    zero = jax.tree.map(jnp.zeros_like, like)
    slope = jax.grad(form)
    at_zero = slope(zero)
    curved = lambda v: jax.tree.map(jnp.subtract, slope(v), at_zero)
    downhill = jax.tree.map(jnp.negative, at_zero)
    return cg(curved, downhill, x0=zero, tol=tolerance, maxiter=iterations)[0]
