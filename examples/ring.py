"""A potential of one's own: a particle bound to a ring, pulled along x.

Named by `configs/own_potential.yaml` as `kind: examples.ring:Ring`. To see whether a potential is
sound: `thermojax check examples.ring:Ring --position 1,0`.
"""

import jax.numpy as jnp

import thermojax as tj


class Ring(tj.AbstractPotential):
    """U = height (|x|^2 / radius^2 - 1)^2 - control x_0, for x of shape (2,)."""

    height: float = 4.0  # energy of the hill in the middle
    radius: float = 1.0

    def energy(self, x, control):
        return self.height * (jnp.sum(x**2) / self.radius**2 - 1) ** 2 - control * x[0]
