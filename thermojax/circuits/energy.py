"""The energy of a linear circuit with sources, a quadratic function in joules."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..potential import LOG_2PI, AbstractPotential


class SourcedEnergy(AbstractPotential):
    r"""The energy of a network and of its sources, U = y . K y / 2 - y . F control, in joules.

    The control is the current (voltage) of every source, `(dim,)` or one number for all. The second
    term is energy in the keeping of the sources: they have given it up when the charge has moved.

    **Arguments:** `stiffness` K and `force` F, `(dim, dim)`, of coordinates y in which the motion
    has a diagonal friction.
    """

    stiffness: Float[Array, "dim dim"]
    force: Float[Array, "dim dim"]

    def pull(self, control):
        """F control."""
        return self.force @ jnp.broadcast_to(control, self.force.shape[:1])

    def energy(self, x, control):
        return 0.5 * x @ self.stiffness @ x - x @ self.pull(control)

    def template(self, control):
        return jnp.zeros_like(self.stiffness[0])

    def rest(self, control):
        """Where the energy is lowest."""
        return jnp.linalg.solve(self.stiffness, self.pull(control))

    def sampled_by(self, control, temperature):
        return self

    def sample(self, key, control, temperature, batch, template):
        z = jax.random.normal(key, (batch, *template.shape), template.dtype)
        root = jnp.linalg.cholesky(self.stiffness)  # K = L L^T, so L^-T z has covariance K^-1
        y = jax.scipy.linalg.solve_triangular(root, z.T, lower=True, trans=1).T
        return self.rest(control) + jnp.sqrt(jnp.asarray(temperature)) * y

    def opposite(self, x, control):
        return 2 * self.rest(control) - x

    def free_energy(self, control, temperature, template):
        logdet = jnp.linalg.slogdet(self.stiffness)[1]
        width = logdet - template.size * (LOG_2PI + jnp.log(temperature))
        return 0.5 * (temperature * width - self.rest(control) @ self.pull(control))
