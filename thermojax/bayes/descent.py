"""Minima of the energy of a posterior: descents side by side, and the exact end of one."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from .model import Model

NEWTON_STEPS = 30
HALVINGS = 16  # of a step that does not go down


class FlatEnergy(eqx.Module):
    """-ln p(y|x) p(x) of a vector of coordinates, each in a unit of its own."""

    model: Model
    unit: Float[Array, " dim"]

    def __call__(self, z: Float[Array, " dim"]) -> Float[Array, ""]:
        x = self.position(z)
        prior, likelihood = self.model.prior, self.model.likelihood
        found = likelihood.energy(x, None)
        found = found if prior is None else found + prior.energy(x, None)
        return found.astype(z.dtype)

    def position(self, z: Float[Array, " dim"]):
        """The position that a vector stands for."""
        return ravel_pytree(self.model.template)[1](z * self.unit)


class Minimum(NamedTuple):
    """An end of a descent: where, how deep, the Cholesky factor there, and whether it is one."""

    z: Float[Array, " dim"]
    energy: Float[Array, ""]
    root: Float[Array, "dim dim"]
    found: Bool[Array, ""]


@eqx.filter_jit
def descend(energy: FlatEnergy, starts: Float[Array, "n dim"], steps: int) -> Float[Array, "n dim"]:
    """L-BFGS from every start, until a step gains no more than rounding or `steps` are done."""
    # Under vmap, a line search that asks for slopes on a condition (optax's zoom) keeps the data
    # once for each start: 5 GB of 10,000 rows in 1,000 dimensions.
    optimizer = optax.lbfgs(
        linesearch=optax.scale_by_backtracking_linesearch(HALVINGS, decrease_factor=0.5)
    )
    value_and_grad = jax.value_and_grad(energy)
    resolution = jnp.finfo(starts.dtype).eps

    def one(start):
        def step(carry):
            z, state, i, _ = carry
            value, slope = value_and_grad(z)
            update, state = optimizer.update(
                slope, state, z, value=value, grad=slope, value_fn=energy
            )
            after = optax.tree.get(state, "value")
            least = jnp.maximum(1e-6, 8 * resolution * jnp.abs(value))
            return z + update, state, i + 1, value - after > least

        going = lambda carry: carry[3] & (carry[2] < steps)
        first = start, optimizer.init(start), jnp.zeros((), int), jnp.array(True)
        return jax.lax.while_loop(going, step, first)[0]

    return jax.vmap(one)(starts)


@eqx.filter_jit
def near(energy: FlatEnergy, z: Float[Array, " dim"], others: Float[Array, "n dim"]):
    """Whether others are within one standard deviation of a minimum, by the curvature there."""
    curved = lambda v: v @ jax.jvp(jax.grad(energy), (z,), (v,))[1]
    return jax.lax.map(curved, others - z) < 1


@eqx.filter_jit
def settle(energy: FlatEnergy, z: Float[Array, " dim"]) -> Minimum:
    """Newton's method from an end of a descent, along |curvature|, so that it only goes down."""
    resolution = jnp.finfo(z.dtype).eps
    tolerance = jnp.sqrt(resolution)
    lengths = 0.5 ** jnp.arange(HALVINGS, dtype=z.dtype)

    def step(carry):
        z, value, _, i = carry
        slope, matrix = jax.grad(energy)(z), jax.hessian(energy)(z)
        curvature, axes = jnp.linalg.eigh(matrix)
        size = jnp.maximum(jnp.abs(curvature), resolution * jnp.max(jnp.abs(curvature)))
        move = -axes @ ((axes.T @ slope) / size)
        values = jax.lax.map(lambda length: energy(z + length * move), lengths)
        values = jnp.where(jnp.isfinite(values), values, jnp.inf)
        best = jnp.argmin(values)
        lower = values[best] < value
        z, value = jnp.where(lower, z + lengths[best] * move, z), jnp.minimum(values[best], value)
        return z, value, jnp.where(lower, -slope @ move, 0), i + 1

    going = lambda carry: (carry[2] > 0.01 * tolerance) & (carry[3] < NEWTON_STEPS)
    first = z, energy(z), jnp.asarray(jnp.inf, z.dtype), jnp.zeros((), int)
    z, value, _, _ = jax.lax.while_loop(going, step, first)
    slope, matrix = jax.grad(energy)(z), jax.hessian(energy)(z)
    root = jnp.linalg.cholesky(matrix)  # nan where the matrix is not positive
    left = jax.scipy.linalg.solve_triangular(root, slope, lower=True)
    return Minimum(z, value, root, jnp.sum(left**2) < tolerance)


@eqx.filter_jit
def unsettled(energy: FlatEnergy, z: Float[Array, " dim"]) -> Minimum:
    """The end of a descent as it is, where a matrix would be too large; no factor."""
    value, slope = jax.value_and_grad(energy)(z)
    return Minimum(z, value, jnp.zeros((0, 0), z.dtype), jnp.all(jnp.isfinite(slope)))
