"""Spins through a continuous field: Langevin dynamics that gives exact moments of Ising models."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import real, whole
from .._component import Numbers, finite, floating, known, require, shown
from ..potential import AbstractPotential
from .model import AbstractLatentModel


class SpinField(AbstractPotential):
    r"""The field z under which spins are independent of each other, at kT = 1.

        U(z) = |z|^2 / 2 - sum_i ln 2 cosh(bias_i + (R z)_i),

    with R R^T = beta J + c I. Given z a spin is up with the probability 1 / (1 + exp(-2 a_i)),
    a = bias + R z, and all together are then drawn from exp(beta (s J s / 2 + h s)) / Z.

    **Arguments:** `root`, R, `(spins, fields)`; `bias`, one number or `(spins,)`.
    **Raises:** ValueError for another shape, or numbers that are not finite.
    **Source:** J. Hubbard, Phys. Rev. Lett. 3, 77 (1959).
    """

    root: Float[Array, "spins fields"]
    bias: Float[Array, " spins"]

    def __init__(self, root: Numbers, bias: Numbers):
        self.root = finite("root", root)
        if self.root.ndim != 2:
            raise ValueError(f"root has shape {self.root.shape}: expected (spins, fields)")
        self.bias = one_each_spin("bias", bias, len(self.root))

    def effective_field(self, z: Float[Array, " fields"]) -> Float[Array, " spins"]:
        """a = bias + R z, of one position."""
        return self.bias + self.root @ z

    def energy(self, x, control):
        a = self.effective_field(x)
        return 0.5 * jnp.sum(x**2) - jnp.sum(jnp.logaddexp(a, -a))

    def template(self, control):
        return jnp.zeros(self.root.shape[1], self.root.dtype)

    def mean_spins(self, z: Float[Array, " fields"]) -> Float[Array, " spins"]:
        """<s | z> = tanh(a), of one position."""
        return jnp.tanh(self.effective_field(z))

    def draw_spins(self, key: PRNGKeyArray, z: Float[Array, "batch fields"]) -> Array:
        """Spins of -1 and 1 for each position of a batch, `(batch, spins)`."""
        up = jax.random.bernoulli(key, jax.nn.sigmoid(2 * jax.vmap(self.effective_field)(z)))
        return jnp.where(up, 1, -1).astype(z.dtype)


class AbstractSpinModel(AbstractLatentModel):
    r"""Spins s of -1 and 1 with the law exp(s K s / 2 + b s) / Z, some or all of them data.

    They are simulated through the field of `SpinField`. K has no diagonal, so that it is not
    positive; c, the negative of its lowest eigenvalue, is the smallest shift for which K + c I is.
    Since s_i^2 = 1 the shift adds c n / 2 to ln Z and nothing to the law. The stronger the
    coupling, the higher are the walls of the field between opposite magnetizations: near and below
    a critical temperature it mixes slowly, and `tj.ebm.spin_moments` says by how much.
    """

    @abc.abstractmethod
    def couplings_and_fields(self) -> tuple[Float[Array, "spins spins"], Float[Array, " spins"]]:
        """(K, b) of all spins, beta included; K symmetric and without a diagonal."""

    def potential(self) -> SpinField:
        coupling, field = self.couplings_and_fields()
        shift = -jnp.linalg.eigvalsh(coupling)[0]
        return SpinField(symmetric_root(coupling, shift), field)

    def joint_energy(self, spins: Float[Array, " spins"]) -> Float[Array, ""]:
        """-s K s / 2 - b s, of all spins."""
        coupling, field = self.couplings_and_fields()
        return -0.5 * spins @ coupling @ spins - field @ spins

    def expected_energy(self, potential, position):
        assert isinstance(potential, SpinField)
        # Given the field, spins are independent, and the energy has no square of any.
        return self.joint_energy(potential.mean_spins(position))

    def log_z_offset(self):
        coupling, field = self.couplings_and_fields()
        shift = -jnp.linalg.eigvalsh(jax.lax.stop_gradient(coupling))[0]
        return 0.5 * field.size * (shift + jnp.log(2 * jnp.pi))

    @abc.abstractmethod
    def draw_hidden(
        self, key: PRNGKeyArray, data: Float[Array, "data visible"]
    ) -> Float[Array, "data spins"]:
        """All spins, hidden ones drawn given those that are data."""

    def draw_positions(self, key, data):
        hidden_key, field_key = jax.random.split(key)
        spins = self.draw_hidden(hidden_key, data)
        # exp(-|z|^2 / 2 + s R z): given the spins, the field is normal around R^T s.
        mean = spins @ self.potential().root
        return mean + jax.random.normal(field_key, mean.shape, mean.dtype)

    def check_data(self, data):
        check_spins(data, self.visible)

    @property
    @abc.abstractmethod
    def visible(self) -> int:
        """The number of spins that are data."""


class Ising(AbstractSpinModel):
    r"""Spins of an Ising model, or of a Boltzmann machine without hidden ones.

        p(s) = exp(beta (s J s / 2 + h s)) / Z.

    **Arguments:** `coupling`, J, `(n, n)`, symmetric; its diagonal means nothing and must be zero.
    `field`, h, `(n,)` or one number. `beta`, not negative. `tj.ebm.lattice(shape, coupling)` is the
    matrix of neighbors on a periodic lattice.

    **Raises:** ValueError for another shape, numbers that are not finite, a matrix that is not
    symmetric, or a diagonal.
    **Cost:** once per change of parameters n^3, then n^2 per step and path.
    """

    coupling: Float[Array, "n n"]
    field: Float[Array, " n"]
    beta: Float[Array, ""]

    def __init__(self, coupling: Numbers, field: Numbers = 0.0, beta: Numbers = 1.0):
        self.coupling = symmetric("coupling", coupling)
        n = len(self.coupling)
        self.field = one_each_spin("field", field, n)
        self.beta = floating(beta, "beta")
        require("beta", self.beta, lambda x: (x >= 0) & np.isfinite(x), "not negative")

    def couplings_and_fields(self):
        # What an optimizer adds to the diagonal, or to one triangle alone, is no other model.
        even = 0.5 * (self.coupling + self.coupling.T)
        return self.beta * (even - jnp.diag(jnp.diagonal(even))), self.beta * self.field

    @property
    def visible(self):
        return self.field.size

    def draw_hidden(self, key, data):
        return data

    def data_energy(self, data):
        return self.joint_energy(data)


class RestrictedBoltzmann(AbstractSpinModel):
    r"""Visible spins v that are data, and hidden ones u: p = exp(v W u + b v + c u) / Z.

    The energy of a datum is -b v - sum_j ln 2 cosh(c_j + (v W)_j), hidden spins summed over.

    **Arguments:** `weights`, W, `(visible, hidden)`; `visible_field`, b, and `hidden_field`, c, one
    number each or one for each spin.
    **Raises:** ValueError for another shape or numbers that are not finite.
    **Source:** P. Smolensky (1986); G. E. Hinton, Neural Comput. 14, 1771 (2002).
    """

    weights: Float[Array, "visible hidden"]
    visible_field: Float[Array, " visible"]
    hidden_field: Float[Array, " hidden"]

    def __init__(self, weights: Numbers, visible_field: Numbers = 0.0, hidden_field: Numbers = 0.0):
        self.weights = finite("weights", weights)
        if self.weights.ndim != 2 or not self.weights.size:
            raise ValueError(
                f"weights has shape {self.weights.shape}: expected (visible spins, hidden spins)"
            )
        visible, hidden = self.weights.shape
        self.visible_field = one_each_spin("visible_field", visible_field, visible)
        self.hidden_field = one_each_spin("hidden_field", hidden_field, hidden)

    def couplings_and_fields(self):
        visible, hidden = self.weights.shape
        above = jnp.concatenate([jnp.zeros((visible, visible)), self.weights], axis=1)
        below = jnp.concatenate([self.weights.T, jnp.zeros((hidden, hidden))], axis=1)
        coupling = jnp.concatenate([above, below]).astype(self.weights.dtype)
        return coupling, jnp.concatenate([self.visible_field, self.hidden_field])

    @property
    def visible(self):
        return self.visible_field.size

    def draw_hidden(self, key, data):
        up = jax.random.bernoulli(
            key, jax.nn.sigmoid(2 * (self.hidden_field + data @ self.weights))
        )
        return jnp.concatenate([data, jnp.where(up, 1, -1).astype(data.dtype)], axis=1)

    def data_energy(self, data):
        a = self.hidden_field + data @ self.weights
        return -self.visible_field @ data - jnp.sum(jnp.logaddexp(a, -a))


def lattice(shape: Sequence[int], coupling: float = 1.0) -> Float[Array, "sites sites"]:
    """The coupling matrix of nearest neighbors on a periodic lattice, sites in row-major order.

    **Arguments:** `shape`, of the lattice, `(n,)` for a ring; along an axis of two sites the bond
    counts once. **Raises:** ValueError for an axis of less than two sites.
    """
    if not isinstance(shape, tuple | list):
        raise ValueError(f"shape = {shown(shape)}: expected a tuple of sites, such as (8, 8)")
    sizes = tuple(whole(f"shape[{i}]", size, 2) for i, size in enumerate(shape))
    real("coupling", coupling, "a finite number")
    sites = np.arange(math.prod(sizes)).reshape(sizes)
    matrix = np.zeros((sites.size, sites.size))
    for axis in range(sites.ndim):
        neighbor = np.roll(sites, -1, axis)
        matrix[sites.ravel(), neighbor.ravel()] = matrix[neighbor.ravel(), sites.ravel()] = 1
    return jnp.asarray(coupling * matrix)


def one_each_spin(name: str, field, spins: int) -> Float[Array, " spins"]:
    """A field for each spin. **Raises:** ValueError for another number of them."""
    field = finite(name, field)
    if field.shape not in ((), (spins,)):
        raise ValueError(
            f"{name} has shape {field.shape}: expected one number, or ({spins},), one for each row "
            "or column of root, coupling or weights"
        )
    return jnp.broadcast_to(field, (spins,))


def symmetric(name: str, matrix) -> Float[Array, "n n"]:
    """The matrix of couplings. **Raises:** ValueError for one that is none."""
    matrix = finite(name, matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ValueError(f"{name} has shape {matrix.shape}: expected (spins, spins)")
    values = known(matrix)
    if values is None:
        return matrix
    if np.any(np.abs(values - values.T) > 1e-5 * np.max(np.abs(values))):
        raise ValueError(
            f"{name} is not symmetric: pass (J + J.T) / 2 of one that holds each pair twice"
        )
    if np.any(np.diagonal(values)):
        raise ValueError(
            f"{name} has a diagonal: spins have s_i^2 = 1, and it would only shift the energy; set "
            "it to zero"
        )
    return matrix


def check_spins(data, count: int) -> None:
    """**Raises:** ValueError for data that are not `(data, count)` of -1 and 1."""
    shape = jnp.shape(data)
    if len(shape) != 2 or shape[1] != count:
        raise ValueError(f"data has shape {shape}: expected (data, {count}), a row of spins each")
    values = known(data)
    if values is not None and np.any(np.abs(values) != 1):
        raise ValueError("data are no spins: expected -1 and 1; of bits x they are 2 x - 1")


@jax.custom_jvp
def symmetric_root(matrix: Float[Array, "n n"], shift) -> Float[Array, "n n"]:
    """The symmetric square root of matrix + shift I, which moves smoothly with both."""
    values, vectors = jnp.linalg.eigh(matrix)
    return (vectors * jnp.sqrt(jnp.maximum(values + shift, 0))) @ vectors.T


@symmetric_root.defjvp
def root_jvp(primals, tangents):
    """R dR + dR R = d(matrix) + d(shift) I, in the basis of the eigenvectors.

    Where both roots vanish, there is no derivative, and none is taken.
    """
    matrix, shift = primals
    values, vectors = jnp.linalg.eigh(matrix)
    root = jnp.sqrt(jnp.maximum(values + shift, 0))
    change = tangents[0] + tangents[1] * jnp.eye(len(matrix), dtype=matrix.dtype)
    both = root[:, None] + root
    tiny = both < 1e-6 * root[-1]
    inner = jnp.where(tiny, 0, vectors.T @ change @ vectors / jnp.where(tiny, 1, both))
    return (vectors * root) @ vectors.T, vectors @ inner @ vectors.T
