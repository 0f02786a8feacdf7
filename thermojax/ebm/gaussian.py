"""A Gaussian by its precision, in which the energy is linear: the model whose training is known."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._component import Numbers, finite, known
from ..potential import AbstractPotential


class GaussianEnergy(AbstractPotential):
    r"""U = (x - mean) A (x - mean) / 2, the matrix A trained as it stands, not its inverse.

    At kT = 1 the likelihood of data of covariance S has the gradient (A^-1 - S) / 2. Sampled
    exactly; ln Z = (n ln 2 pi kT - ln det A) / 2. Training may take A to where it is not positive:
    its walkers then diverge, and `tj.ebm.fit` stops with a sentence.

    **Arguments:** `precision`, A, `(n, n)`, symmetric and positive; `mean`, `(n,)` or one number.
    **Raises:** ValueError for another shape or a matrix that is not positive.
    """

    precision: Float[Array, "n n"]
    mean: Float[Array, " n"]

    def __init__(self, precision: Numbers, mean: Numbers = 0.0):
        self.precision = finite("precision", precision)
        shape = self.precision.shape
        if len(shape) != 2 or shape[0] != shape[1] or not self.precision.size:
            raise ValueError(f"precision has shape {shape}: expected (dim, dim)")
        self.mean = finite("mean", mean)
        if self.mean.shape not in ((), shape[:1]):
            raise ValueError(
                f"mean has shape {self.mean.shape}: expected one number, or {shape[:1]}"
            )
        self.mean = jnp.broadcast_to(self.mean, shape[:1])
        values = known(self.precision)
        if values is None:
            return
        if np.any(np.abs(values - values.T) > 1e-5 * np.max(np.abs(values))):
            raise ValueError("precision is not symmetric: pass (A + A.T) / 2")
        if np.linalg.eigvalsh(values)[0] <= 0:
            raise ValueError("precision is not positive: exp(-U) has no finite integral")

    def energy(self, x, control):
        off = x - self.mean
        return 0.5 * off @ self.precision @ off

    def template(self, control):
        return self.mean

    def sampled_by(self, control, temperature):
        return self

    def sample(self, key, control, temperature, batch, template):
        even = 0.5 * (self.precision + self.precision.T)
        z = jax.random.normal(key, (self.mean.size, batch), self.mean.dtype)
        # A = L L^T, and L^-T z has the covariance A^-1.
        lower = jnp.linalg.cholesky(even)
        drawn = jax.scipy.linalg.solve_triangular(lower.T, z, lower=False)
        return self.mean + jnp.sqrt(temperature) * drawn.T

    def opposite(self, x, control):
        return 2 * self.mean - x

    def free_energy(self, control, temperature, template):
        n, (_, log_det) = self.mean.size, jnp.linalg.slogdet(self.precision)
        return -0.5 * temperature * (n * jnp.log(2 * jnp.pi * temperature) - log_det)
