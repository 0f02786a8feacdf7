"""Quadratic energies: the harmonic trap, and the normalized Gaussian."""

from __future__ import annotations

import math
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import choice
from .._component import Numbers, finite, floating, known, positive, require
from .._tree import product, total
from .base import AbstractPotential, require_position

LOG_2PI = math.log(2 * math.pi)


@jax.custom_jvp
def half_square(y):
    """y^2 / 2, with the derivative y: one product less in every force than 2 (y / 2)."""
    return 0.5 * y**2


@half_square.defjvp
def _slope(primals, tangents):
    (y,), (change,) = primals, tangents
    return half_square(y), y * change


class Harmonic(AbstractPotential):
    r"""The harmonic trap U = (x - c)^T K (x - c) / 2, whose equilibrium is N(c, kT K^-1).

    **Arguments:**

    - `stiffness`: K, energy / length^2: a number, `(dim,)` for a diagonal, or a symmetric
      positive definite matrix `(dim, dim)`.
    - `center`: c, length: a number or `(dim,)`.
    - `control`: which of the two the protocol drives: `"center"`, `"stiffness"` (then a
      number or a diagonal), or None. The driven field's own value is not used.

    **Raises:** ValueError for a stiffness that is not positive definite or symmetric.
    """

    stiffness: Float[Array, "..."]
    center: Float[Array, "..."]
    control: Literal["center", "stiffness"] | None = eqx.field(static=True)

    def __init__(
        self,
        stiffness: Numbers = 1.0,
        center: Numbers = 0.0,
        control: Literal["center", "stiffness"] | None = None,
    ):
        choice("control", control, ("center", "stiffness"), or_none=True)
        self.stiffness, self.center = floating(stiffness, "stiffness"), finite("center", center)
        self.control = control
        require_definite("stiffness", self.stiffness)
        if control is None:
            shape_of_position(self.stiffness, self.center)

    def stiffness_and_center(self, control):
        """(K, c) at this value of the control."""
        stiffness = control if self.control == "stiffness" else self.stiffness
        center = control if self.control == "center" else self.center
        return stiffness, center

    def energy(self, x, control):
        stiffness, center = self.stiffness_and_center(control)
        by = "center" if jnp.shape(center) else "stiffness"
        shape = shape_of_position(stiffness, center) or None
        require_position(self, x, shape, "control" if by == self.control else by)
        y = x - center
        if jnp.ndim(stiffness) == 2:
            return 0.5 * total(y * product(stiffness, y))
        return total(stiffness * half_square(y))

    def template(self, control):
        stiffness, center = self.stiffness_and_center(control)
        shape = shape_of_position(stiffness, center)
        return jnp.zeros(shape, jnp.result_type(stiffness, center)) if shape else None

    def sampled_by(self, control, temperature):
        return self

    def sample(self, key, control, temperature, batch, template):
        stiffness, center = self.stiffness_and_center(control)
        z = jax.random.normal(key, (batch, *template.shape), template.dtype)
        scale = jnp.sqrt(jnp.asarray(temperature))
        if jnp.ndim(stiffness) == 2:  # K = L L^T, so L^-T z has covariance K^-1
            root = jnp.linalg.cholesky(stiffness)
            y = jax.scipy.linalg.solve_triangular(root, z.T, lower=True, trans=1).T
        else:
            y = z / jnp.sqrt(stiffness)
        return center + scale * y

    def opposite(self, x, control):
        return 2 * self.stiffness_and_center(control)[1] - x

    def free_energy(self, control, temperature, template):
        stiffness, _ = self.stiffness_and_center(control)
        dim = template.size
        if jnp.ndim(stiffness) == 2:
            logdet = jnp.linalg.slogdet(stiffness)[1]
        else:
            logdet = jnp.sum(jnp.log(jnp.broadcast_to(stiffness, template.shape)))
        return 0.5 * temperature * (logdet - dim * (LOG_2PI + jnp.log(temperature)))


def shape_of_position(stiffness, center) -> tuple[int, ...]:
    """The shape that K and c give to a position: () where both are numbers."""
    first, second = jnp.shape(stiffness)[:1], jnp.shape(center)
    if first and second and first != second:
        raise ValueError(
            f"stiffness has shape {jnp.shape(stiffness)} and center {second}: expected one "
            "dimension, as (dim,) or (dim, dim) and (dim,)"
        )
    return second or first


class Gaussian(AbstractPotential):
    r"""The normalized Gaussian as an energy, U = -ln N(x; mean, covariance).

    A prior for Bayesian use: with kT = 1 its free energy is zero, so that the free energy of
    prior + likelihood is -ln p(y).

    **Arguments:** `mean`, `(dim,)`; `covariance`: a number, `(dim,)` for a diagonal, or a
    symmetric positive definite matrix `(dim, dim)`.

    **Raises:** ValueError for a mean that is not a vector, or an indefinite covariance.
    """

    mean: Float[Array, " dim"]
    covariance: Float[Array, "..."]

    def __init__(self, mean: Numbers, covariance: Numbers = 1.0):
        self.mean, self.covariance = finite("mean", mean), floating(covariance, "covariance")
        if self.mean.ndim != 1:
            raise ValueError(
                f"mean has shape {self.mean.shape}: expected (dim,), for example jnp.zeros(2); "
                "tj.DiagonalGaussian takes any shape"
            )
        require_definite("covariance", self.covariance)
        dim = self.mean.size
        if dim < 1 or self.covariance.shape not in ((), (dim,), (dim, dim)):
            raise ValueError(
                f"mean has shape {self.mean.shape} and covariance {self.covariance.shape}: "
                "expected (dim,), and a number, (dim,) or (dim, dim)"
            )

    def energy(self, x, control):
        require_position(self, x, self.mean.shape, "mean")
        y = x - self.mean
        normalizer = x.size * LOG_2PI
        if self.covariance.ndim == 2:
            root = jnp.linalg.cholesky(self.covariance)
            logdet = 2 * jnp.sum(jnp.log(jnp.diagonal(root)))
            return 0.5 * (total(product(inverse_root(root), y) ** 2) + logdet + normalizer)
        variance = jnp.broadcast_to(self.covariance, x.shape)
        return 0.5 * (total(y**2 / self.covariance) + jnp.sum(jnp.log(variance)) + normalizer)

    def template(self, control):
        return jnp.zeros_like(self.mean)

    def sampled_by(self, control, temperature):
        return self

    def sample(self, key, control, temperature, batch, template):
        z = jax.random.normal(key, (batch, *self.mean.shape), template.dtype)
        if self.covariance.ndim == 2:
            z = z @ jnp.linalg.cholesky(self.covariance).T
        else:
            z = jnp.sqrt(self.covariance) * z
        return self.mean + jnp.sqrt(jnp.asarray(temperature)) * z

    def opposite(self, x, control):
        return 2 * self.mean - x

    def free_energy(self, control, temperature, template):
        # int N(x)^beta dx = prod over dimensions of (2 pi s^2)^((1 - beta)/2) beta^(-1/2)
        beta = 1 / temperature
        dim = self.mean.size
        if self.covariance.ndim == 2:
            logdet = jnp.linalg.slogdet(self.covariance)[1]
        else:
            logdet = jnp.sum(jnp.log(jnp.broadcast_to(self.covariance, self.mean.shape)))
        log_z = 0.5 * (1 - beta) * (logdet + dim * LOG_2PI) - 0.5 * dim * jnp.log(beta)
        return -temperature * log_z


def inverse_root(root: Float[Array, "dim dim"]) -> Float[Array, "dim dim"]:
    """The inverse of a triangular root: one for all samples, whose products with it are faster than
    as many solutions."""
    return jax.scipy.linalg.solve_triangular(root, jnp.eye(len(root), dtype=root.dtype), lower=True)


def require_definite(name: str, matrix) -> None:
    """Positive, or a symmetric positive definite matrix; skipped while tracing."""
    value = known(matrix)
    if value is None:
        return
    if value.ndim < 2:
        require(name, value, positive, "positive and finite")
        return
    if value.ndim > 2 or value.shape[0] != value.shape[1]:
        raise ValueError(f"{name} has shape {value.shape}: expected a number, (dim,) or (dim, dim)")
    if value.size == 0:
        raise ValueError(f"{name} has shape {value.shape}: expected at least one number")
    if not np.all(np.isfinite(value)):
        raise ValueError(f"{name} is not finite: expected numbers only, found NaN or infinity")
    asymmetry = np.max(np.abs(value - value.T))
    if asymmetry > 1e-5 * np.max(np.abs(value)):
        raise ValueError(
            f"{name} is not symmetric (largest |A - A^T| = {asymmetry:.3g}): pass (A + A.T) / 2"
        )
    lowest = np.linalg.eigvalsh(value)[0]
    if not lowest > 0:
        raise ValueError(
            f"{name} has the eigenvalue {lowest:.3g}: expected a positive definite matrix"
        )
