"""The couplings of a network of units, and the energies of a network and of units in forces."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._component import AbstractComponent, known
from ..potential import AbstractPotential
from .on_site import OnSite

# A GPU rounds the factors of a product to ten bits unless asked for more.
product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


class Couplings(AbstractComponent):
    r"""sum_(ij) J_ij x_i x_j + sum_a b_a x_a, each pair once.

    - `between`, `(visible, hidden)`: of visible with hidden units.
    - `hidden`, `(hidden, hidden)`, and `visible`, `(visible, visible)`, or None: of units of one
      kind. What stands above the diagonal counts, and nothing else trains.
    - `biases`, `(hidden,)`, or of all units, `(visible + hidden,)`.
    """

    between: Float[Array, "visible hidden"]
    hidden: Float[Array, "hidden hidden"]
    visible: Float[Array, "visible visible"] | None
    biases: Float[Array, " biased"]

    def split(self, x: Float[Array, "... units"]):
        """(visible, hidden) units."""
        count = self.between.shape[0]
        return x[..., :count], x[..., count:]

    def energy(self, x: Float[Array, " units"]) -> Float[Array, ""]:
        """The energy of the couplings and biases of one sample."""
        seen, latent = self.split(x)
        pull = product(seen, self.between) + product(latent, jnp.triu(self.hidden, 1))
        energy = jnp.sum(latent * pull) + jnp.sum(x[-self.biases.size :] * self.biases)
        if self.visible is not None:
            energy = energy + jnp.sum(seen * product(seen, jnp.triu(self.visible, 1)))
        return energy

    def slope(self, x: Float[Array, "... units"]) -> Float[Array, "... units"]:
        """The gradient of `energy` with respect to the units, of any number of samples."""
        seen, latent = self.split(x)
        on_latent = product(seen, self.between) + product(latent, symmetric(self.hidden))
        on_seen = product(latent, self.between.T)
        if self.visible is not None:
            on_seen = on_seen + product(seen, symmetric(self.visible))
        return jnp.concatenate([on_seen, on_latent], axis=-1) + self.all_biases()

    def all_biases(self) -> Float[Array, " units"]:
        """The biases of all units, 0 for those that have none."""
        return jnp.pad(self.biases, (sum(self.between.shape) - self.biases.size, 0))

    def matrix(self) -> Float[Array, "units units_plus_1"]:
        """J, symmetric with a diagonal of zeros, and behind it a column of the biases."""
        count = self.between.shape[0]
        none = jnp.zeros((count, count), self.biases.dtype)
        seen = none if self.visible is None else symmetric(self.visible)
        square = jnp.block([[seen, self.between], [self.between.T, symmetric(self.hidden)]])
        return jnp.concatenate([square, self.all_biases()[:, None]], axis=1)


def symmetric(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The symmetric matrix of what stands above the diagonal."""
    upper = jnp.triu(matrix, 1)
    return upper + upper.T


class NetworkEnergy(AbstractPotential):
    """V_0 of all units, and the control times the energy of couplings and biases.

    The control is 1 while the machine runs, and 0 where its couplings are off. There the units are
    independent, and their equilibrium is drawn exactly.
    """

    on_site: OnSite
    couplings: Couplings

    reparametrized = False

    def energy(self, x, control):
        return jnp.sum(self.on_site.energy(x)) + control * self.couplings.energy(x)

    def template(self, control):
        return jnp.zeros(sum(self.couplings.between.shape), self.couplings.biases.dtype)

    def sampled_by(self, control, temperature):
        off = known(control)
        return self if off is not None and off.shape == () and off == 0 else None

    def sample(self, key, control, temperature, batch, template):
        return self.on_site.draw_freely(key, temperature, (batch, *template.shape))


class FieldEnergy(AbstractPotential):
    """sum V_0(x) - control sum f x of independent units, `fields` (samples, units).

    One position holds all samples, each with forces of its own.
    """

    on_site: OnSite
    fields: Float[Array, "samples units"]

    reparametrized = False

    def energy(self, x, control):
        return jnp.sum(self.on_site.energy(x) - control * self.fields * x)

    def template(self, control):
        return jnp.zeros_like(self.fields)

    def sampled_by(self, control, temperature):
        return self

    def sample(self, key, control, temperature, batch, template):
        return self.on_site.draw(key, control * self.fields, temperature, batch)
