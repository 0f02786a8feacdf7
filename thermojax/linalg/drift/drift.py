"""A device with a drift of any kind: its noise, its motion, and the power that it takes."""

from __future__ import annotations

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from ..device.device import EQUILIBRATION
from .arnoldi import UNSTABLE, Rates
from .motion import (
    DOUBLINGS,
    LEFT,
    AbstractMotion,
    InSteps,
    exact_motion,
    longest_step,
    settling,
    times,
)

PATIENCE = 64  # times the wait for the slowest mode, after which a start should be forgotten
PROBES = 32  # random vectors that tell the trace of an operator; fewer dimensions tell it exactly


class Noise(NamedTuple):
    """The noise of a device: its covariance R per unit of time, L of L L^T = R, and L^-1.

    - `diffusion`, `factor`, `inverse`: numbers, diagonals or matrices; no inverse where R is
      singular.
    """

    diffusion: Array
    factor: Array
    inverse: Array | None

    @property
    def decomposed(self) -> bool:
        return self.factor.ndim == 2


def noise_of(diffusion: Array, name: str = "R") -> Noise:
    """**Raises:** ValueError for a covariance that is not symmetric, not positive, or zero."""
    value = np.asarray(diffusion)
    rounding = 10 * np.finfo(value.dtype).eps
    if value.ndim < 2:
        powers, vectors, lowest = value, None, np.min(value)
    else:
        asymmetry, largest = np.max(np.abs(value - value.T)), np.max(np.abs(value))
        if asymmetry > rounding * largest:
            raise ValueError(
                f"{name} is not symmetric (largest |{name} - {name}^T| = {asymmetry:.3g}): it is a "
                f"covariance; pass ({name} + {name}.T) / 2"
            )
        powers, vectors = np.linalg.eigh(value)
        lowest = powers[0]
    highest = np.max(powers)
    floor = 0.0 if value.ndim < 2 else len(value) * rounding * highest
    if lowest < -floor:
        raise ValueError(
            f"{name} has the {'eigenvalue' if value.ndim == 2 else 'value'} {lowest:.3g}: expected "
            "zero or above, as it is the covariance of a noise"
        )
    if highest <= 0:
        raise ValueError(f"{name} is zero: a device without noise has the answer 0")
    return factored(diffusion, np.where(powers > floor, powers, 0), vectors)


def factored(diffusion: Array, powers: np.ndarray, vectors: np.ndarray | None) -> Noise:
    """The noise of a covariance of which the eigenvalues, and the vectors if any, are known."""
    roots, regular = np.sqrt(powers), bool(np.all(powers > 0))
    factor, inverse = roots, 1 / roots if regular else None
    if vectors is not None:
        factor = vectors * roots
        inverse = None if inverse is None else inverse[:, None] * vectors.T
    kept = None if inverse is None else jnp.asarray(inverse)
    return Noise(diffusion, jnp.asarray(factor), kept)


class Power(eqx.Module):
    r"""The power of the drift at positions x, but for - tr A: 2 |L^-1 A x|^2 in units of kT.

    The force 2 kT R^-1 (-A x) on a velocity that is its own does, on average, the work
    kT (2 <A x . R^-1 A x> - tr A) per unit of time: the heat that a device which is driven around
    gives off for ever. It is zero where A R is symmetric, and R^-1 A x the gradient of a potential.

    Source: H. Qian, Proc. R. Soc. A 457, 1645 (2001).
    """

    operator: lx.AbstractLinearOperator
    inverse: Array | None  # L^-1, where it is not in the operator already

    @classmethod
    def of(cls, operator: lx.AbstractLinearOperator, noise: Noise) -> Power:
        """With one product for both matrices, where the entries of both are known."""
        if noise.inverse is None or not isinstance(operator, lx.MatrixLinearOperator):
            return cls(operator, noise.inverse)
        whitened = times(noise.inverse, operator.matrix.T).T
        return cls(lx.MatrixLinearOperator(whitened), jnp.ones((), whitened.dtype))

    def __call__(self, x):
        if self.inverse is None:
            return jnp.asarray(jnp.nan, x.dtype)
        forces = times(self.inverse, jax.vmap(self.operator.mv)(x))
        return 2 * jnp.sum(forces**2) / len(x)


class Trace(NamedTuple):
    """tr A, its standard error, and the products that it took."""

    value: float
    error: float
    products: int


def trace_of(operator: lx.AbstractLinearOperator, key: PRNGKeyArray) -> Trace:
    """tr A: from the entries, by a product for each dimension, or by 32 with random signs.

    Source: M. Hutchinson, Commun. Stat. Simul. 19, 433 (1990).
    """
    structure = operator.in_structure()
    dim = operator.in_size()
    if isinstance(operator, lx.MatrixLinearOperator):
        return Trace(float(jnp.trace(operator.matrix)), 0.0, 0)
    exact = dim <= PROBES
    probes = jnp.eye(dim) if exact else jax.random.rademacher(key, (PROBES, dim))
    probes = probes.astype(structure.dtype)
    forms = np.asarray(jnp.sum(probes * jax.vmap(operator.mv)(probes), axis=1), float)
    if exact:
        return Trace(float(forms.sum()), 0.0, dim)
    error = float(forms.std(ddof=1) / math.sqrt(PROBES))
    return Trace(float(forms.mean()), error, PROBES)


class DriftingDevice(NamedTuple):
    """A device for a drift; `matrix` where it is simulated exactly."""

    operator: lx.AbstractLinearOperator
    matrix: Array | None
    noise: Noise
    rates: Rates

    @property
    def relaxation(self) -> float:
        return 1 / self.rates.slow

    @property
    def wait(self) -> float:
        """The time in which the slowest mode forgets a start."""
        return EQUILIBRATION * self.relaxation

    def motion(self, time: float) -> AbstractMotion:
        """The motion over a time, in steps of 1 / |A| at most, or at once."""
        dtype = self.noise.factor.dtype
        if self.matrix is not None:
            return exact_motion(self.matrix, self.noise.diffusion, jnp.asarray(time, dtype))
        longest = longest_step(self.rates.slow, self.rates.norm)
        steps = max(1, math.ceil(time / longest * (1 - 1e-9)))
        h = jnp.asarray(time / steps, dtype)
        return InSteps(self.operator, self.noise.factor, h, jnp.asarray(steps))

    def settling(self, key: PRNGKeyArray) -> tuple[AbstractMotion, float, int]:
        """The motion that forgets a start, its time, and the products that it took to find it.

        **Raises:** ValueError where there is none: the drift is unstable after all.
        """
        wait = self.wait
        if self.matrix is not None:
            time = jnp.asarray(wait, self.matrix.dtype)
            motion, doublings = settling(self.matrix, self.noise.diffusion, time)
            repeated, found = 2 ** int(doublings), int(doublings) < DOUBLINGS
        else:
            motion = self.motion(wait)
            assert isinstance(motion, InSteps)
            repeated = repetitions(motion, key)
            found = repeated <= PATIENCE
            motion = eqx.tree_at(lambda m: m.steps, motion, motion.steps * repeated)
        if not found:
            raise ValueError(
                f"A has not brought a start to rest within {repeated} times {wait:.3g}: {UNSTABLE}"
            )
        return motion, wait * repeated, 0 if self.matrix is not None else motion.products


def repetitions(motion: InSteps, key: PRNGKeyArray) -> int:
    """The number of repetitions that forget a start, seen in one that nothing shakes.

    Where A is far from normal, positions grow before they fall, and its slowest rate misleads.
    """
    quiet = eqx.tree_at(lambda m: m.noise, motion, jnp.zeros((), motion.h.dtype))
    x = jax.random.normal(key, (1, motion.operator.in_size()), motion.h.dtype)
    begun, count, size = float(jnp.linalg.norm(x)), 0, math.inf
    while count <= PATIENCE and not size <= LEFT * begun:
        x, count = moved_once(quiet, x, key), count + 1
        size = float(jnp.linalg.norm(x))
    return count


@eqx.filter_jit
def moved_once(motion: AbstractMotion, x, key):
    return motion(x, key)
