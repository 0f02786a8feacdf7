"""The motion of a device with a drift: dx = -A x dt + dW, the noise of any covariance R.

In time steps, which take products of A with a vector alone, or by the exact law of a step. A
general drift drives the device around for ever, so that its law depends on the integrator: the
BAOAB of `tj.Overdamped` would leave an error of first order in the step, h (A A S - 2 A S A^T + S
A^T A^T) / 4, where A S is not symmetric. The steps here are of sixth order.
"""

from __future__ import annotations

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, Float, Int

from ...linear import OrnsteinUhlenbeck
from ...linear.matrix_equations import dot, root
from ..device.noise import standard_normals

STEP = 1.0  # of 1 / |A|
STIFF = 300.0  # |A| / slowest rate, beyond which steps are shorter
NODES, WEIGHTS = np.polynomial.legendre.leggauss(3)
NODES, WEIGHTS = (1 + NODES) / 2, WEIGHTS / 2
GAPS = np.diff([0.0, *NODES, 1.0])  # 0.11, 0.39, 0.39, 0.11
ORDERS = (4, 6, 6, 4)  # of the Taylor series over each of them
PRODUCTS = sum(ORDERS)  # of A with a vector for one step
LEFT = 2e-3  # of the positions at a start, whose squares are the error of a covariance
DOUBLINGS = 30  # of a time, after which a start has not been forgotten


class AbstractMotion(eqx.Module):
    """Positions `(batch, dim)` after some time."""

    @abc.abstractmethod
    def __call__(self, x: Float[Array, "batch dim"], key) -> Float[Array, "batch dim"]:
        """The positions after the time of this motion."""

    @property
    @abc.abstractmethod
    def products(self) -> int:
        """Of a matrix with a vector, for each trajectory."""


class InSteps(AbstractMotion):
    r"""`steps` steps of length h. What the noise of one adds to the covariance is the integral

        int_0^h e^(-A s) R e^(-A^T s) ds,

    by Gauss's rule of three nodes: three kicks, with Taylor series of e^(-A s) between them. At
    h |A| = 1 the stationary covariance is off by (h |A|)^6 / 31,500 of itself or less, as much for
    the fastest modes alone; oscillations that hardly decay add 4e-8 |A| / slowest rate.

    **Arguments:** `noise`: L of R = L L^T: a number, a diagonal, or a matrix.
    """

    operator: lx.AbstractLinearOperator
    noise: Float[Array, "..."]
    h: Float[Array, ""]
    steps: Int[Array, ""]

    def __call__(self, x, key):
        def step(i, x):
            z = standard_normals(jax.random.fold_in(key, i), (len(WEIGHTS), *x.shape), x.dtype)
            for gap, order, weight, kick in zip(GAPS, ORDERS, WEIGHTS, z, strict=False):
                x = self.flow(x, gap, order)
                x = x + jnp.sqrt(weight * self.h) * times(self.noise, kick)
            return self.flow(x, GAPS[-1], ORDERS[-1])

        return jax.lax.fori_loop(0, self.steps, step, x)

    @property
    def products(self) -> int:
        return PRODUCTS * int(self.steps)

    def flow(self, x, part: float, order: int):
        """e^(-A part h) x."""
        product = jax.vmap(self.operator.mv)
        term = x
        for k in range(1, order + 1):
            term = -(part / k) * self.h * product(term)
            x = x + term
        return x


class Exact(AbstractMotion):
    """x -> E x + F z, by who knows e^(-A t) and the covariance F F^T of the noise."""

    decay: Float[Array, "dim dim"]
    noise: Float[Array, "dim dim"]

    def __call__(self, x, key):
        z = standard_normals(key, x.shape, x.dtype)
        return times(self.decay, x) + times(self.noise, z)

    @property
    def products(self) -> int:
        return 2


def times(matrix, x: Float[Array, "batch dim"]):
    """The product of a number, a diagonal or a matrix with each of some vectors."""
    return x @ matrix.T if matrix.ndim == 2 else matrix * x


def longest_step(slow: float, norm: float) -> float:
    """1 / |A|, or what keeps the error of oscillations that hardly decay below 4e-5.

    Each step changes their size by some 1e-8 (h |A|)^6 while it decays by h times the slowest rate.
    """
    return STEP / norm / max(1.0, norm / (STIFF * slow)) ** 0.2


@jax.jit
def exact_motion(matrix, diffusion, time) -> Exact:
    """The exact law over a time. **Cost:** about 30 + 3 log2(|A| t) products of matrices."""
    decay, covariance = OrnsteinUhlenbeck(matrix, jnp.zeros_like(time), diffusion).transition(time)
    return Exact(decay, root(covariance))


@jax.jit
def settling(matrix, diffusion, time) -> tuple[Exact, Array]:
    """The motion over the first of time, 2 time, 4 time, ... that forgets a start; the doublings.

    Where A is far from normal, positions grow before they fall, and its slowest rate misleads.
    """
    decay, covariance = OrnsteinUhlenbeck(matrix, jnp.zeros_like(time), diffusion).transition(time)

    def more(carry):
        decay, covariance, doublings = carry
        later = dot(dot(decay, covariance), decay.T)
        return dot(decay, decay), covariance + (later + later.T) / 2, doublings + 1

    def kept(carry):
        return (jnp.linalg.norm(carry[0]) > LEFT) & (carry[2] < DOUBLINGS)

    decay, covariance, doublings = jax.lax.while_loop(
        kept, more, (decay, covariance, jnp.asarray(0))
    )
    return Exact(decay, root(covariance)), doublings
