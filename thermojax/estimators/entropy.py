"""Entropy: of a cloud of samples, and produced along every path."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import digamma, gammaln
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._arguments import function, instance, real, whole
from .._component import floating, known, shown
from .._keys import purpose_key
from .._repr import with_numbers
from .._scale import rounding, standardized
from .._tree import like_position
from ..estimate import Estimate
from ..potential import LOG_2PI
from ..protocol import value_outside
from ..sampling import Result
from ..system import AbstractSystem, Overdamped, check_system

NEIGHBOR = 4
ROWS = 64  # points whose distances to all others are taken at once
TIES = 0.1  # the share of equal neighbors in a column above which its numbers are of a grid
STEPS = 2  # of the grid that the k-th neighbor should be away
REFERENCE = 0x6B6E6E  # the purpose of the reference numbers, out of reach of a user's key


def knn_entropy(samples: Float[ArrayLike, "n dim"], neighbor: int = NEIGHBOR) -> Estimate:
    r"""The differential entropy -int rho ln rho of independent samples, by nearest neighbors.

        S = psi(n) - psi(k) + ln c_d + (d/n) sum_i ln eps_i,

    eps_i the distance to the k-th nearest neighbor, c_d the volume of the unit ball. Its bias falls
    like (k/n)^(2/d). Beyond one dimension the samples are whitened, and the same estimate of as
    many normal numbers, whose entropy is known, is subtracted: what is left vanishes for a Gaussian
    law, and is small near one. Use it in a few dimensions.

    Numbers that were rounded (whole numbers are) lie on a grid, where neighbors are at distance
    zero, and such a law has no density: the answer is nan, with a warning outside of jit. Add the
    rounding back as noise, uniform over one step of the grid, or pass the numbers unrounded.

    **Arguments:** `samples`, `(n, dim)` or `(n,)`; `neighbor` k, a whole number.

    **Returns:** an `Estimate` in nats; the error is the standard deviation of the terms / sqrt(n).

    **Raises:** ValueError for fewer than k + 1 samples, or numbers that are not finite.

    **Cost:** a sort in one dimension, O(n^2 d) beyond.

    **Source:** L. Kozachenko, N. Leonenko, Probl. Inf. Transm. 23, 95 (1987).
    """
    samples, neighbor = floating(samples, "samples"), whole("neighbor", neighbor)
    samples = samples.astype(jnp.promote_types(samples.dtype, jnp.float32))
    if samples.ndim not in (1, 2) or 0 in samples.shape:
        raise ValueError(f"samples have shape {samples.shape}: expected (n, dim) or (n,)")
    samples = samples.reshape(samples.shape[0], -1)
    n = samples.shape[0]
    if n <= neighbor:
        raise ValueError(f"{n} samples have no {shown(neighbor)}-th neighbor: pass more samples")
    array = known(samples)
    if array is not None and not np.all(np.isfinite(array)):
        raise ValueError("samples are not finite everywhere: leave diverged paths out")
    terms = entropy_terms(samples, neighbor)
    error = jnp.std(terms, ddof=1) / jnp.sqrt(n)
    found = Estimate(jnp.mean(terms), error, jnp.asarray(n))
    warn_of_ties(found.value, "samples")
    return found


def warn_of_ties(entropy, name: str) -> None:
    """Say in words why an entropy is nan; silent while tracing."""
    array = known(entropy)
    if array is not None and np.any(np.isnan(array)):
        warnings.warn(
            f"{name} repeat, or lie on a grid or in a plane, and their entropy is nan: pass them "
            "unrounded, or add noise that is uniform over one step of the grid",
            stacklevel=3,
        )


def entropy_terms(samples: Float[Array, "n dim"], neighbor: int = NEIGHBOR) -> Float[Array, " n"]:
    """One term per sample; their mean is the entropy. nan where samples lie on a grid."""
    n, dim = samples.shape
    # About the mean, in units of a power of two: their squares are within the range of float32.
    x, _, scale = standardized(samples, 0)
    grid = grid_step(samples) / scale[0]
    level = jnp.sum(jnp.log(scale))
    if dim == 1:
        distance = distance_on_line(x, neighbor)
        return neighbor_terms(x, distance, neighbor, grid[0]) + level
    root = jnp.linalg.cholesky(jnp.cov(x, rowvar=False))
    white = jax.scipy.linalg.solve_triangular(root, x.T, lower=True).T
    # One step along a coordinate, after whitening.
    steps = jax.scipy.linalg.solve_triangular(root, jnp.diag(grid), lower=True)
    grid = jnp.max(jnp.linalg.norm(steps, axis=0))
    # The reference is a numerical integral, not a draw of the user's: its numbers are always these.
    key = purpose_key(jax.random.key(n), REFERENCE)
    normal = jax.random.normal(key, white.shape, white.dtype)
    both = [
        neighbor_terms(y, distance_in_space(y, neighbor), neighbor, step)
        for y, step in ((white, grid), (normal, 0.0))
    ]
    gaussian = jnp.sum(jnp.log(jnp.diagonal(root))) + 0.5 * dim * (LOG_2PI + 1)
    return both[0] - both[1] + gaussian + level


def grid_step(samples: Float[Array, "n dim"]) -> Float[Array, " dim"]:
    """The step of the grid that the numbers of a column lie on; 0 where few of them are equal."""
    gaps = jnp.diff(jnp.sort(samples, axis=0), axis=0)
    equal = gaps <= rounding(samples, 0)
    least = jnp.min(jnp.where(equal, jnp.inf, gaps), axis=0)
    return jnp.where(jnp.mean(equal, axis=0) > TIES, least, 0)


def neighbor_terms(samples, distance, neighbor: int, grid):
    n, dim = samples.shape
    ball = 0.5 * dim * jnp.log(jnp.pi) - gammaln(0.5 * dim + 1)
    terms = digamma(float(n)) - digamma(float(neighbor)) + ball + dim * jnp.log(distance)
    apart = jnp.all(distance > 0) & (jnp.median(distance) >= STEPS * grid)
    return jnp.where(apart, terms, jnp.nan)


def distance_on_line(samples, neighbor: int):
    """On a line the k nearest of a point are k of the k before and after it in order."""
    order = jnp.argsort(samples[:, 0])
    x = samples[order, 0]
    far = jnp.full(neighbor, jnp.inf, x.dtype)
    padded, n = jnp.concatenate([-far, x, far]), len(x)
    shifted = lambda by: jax.lax.dynamic_slice_in_dim(padded, neighbor + by, n)
    reach = [jnp.maximum(x - shifted(-j), shifted(neighbor - j) - x) for j in range(neighbor + 1)]
    nearest = jnp.min(jnp.stack(reach), axis=0)
    return jnp.zeros_like(nearest).at[order].set(nearest)


def distance_in_space(samples, neighbor: int):
    """Every distance, some points at a time: memory O(n)."""
    n, dim = samples.shape
    count = -(-n // ROWS)
    points = jnp.pad(samples, ((0, count * ROWS - n), (0, 0))).reshape(count, ROWS, dim)

    def some(points):
        # Columns of a (n, ROWS) table: a CPU takes the minima of all of them side by side.
        square = sum((samples[:, k, None] - points[:, k]) ** 2 for k in range(dim))
        # The least, again and again, the point itself first: far faster there than top_k.
        for _ in range(neighbor):
            square = jnp.where(square <= jnp.min(square, axis=0), jnp.inf, square)
        return jnp.sqrt(jnp.min(square, axis=0))

    return jax.lax.map(some, points).reshape(-1)[:n]


class EntropyProduction(eqx.Module):
    r"""The entropy that every path produces, each `(batch,)`, in units of k_B.

    - `medium`: what the bath takes up, sum of beta_i Q_i.
    - `system`: what the system keeps, -ln rho_tau(z_tau) + ln rho_0(z_0).
    - `total`: their sum, for which <exp(-total)> = 1 and <total> >= 0.
    """

    medium: Float[Array, " batch"]
    system: Float[Array, " batch"]

    __pdoc__ = with_numbers

    @property
    def total(self) -> Float[Array, " batch"]:
        return self.medium + self.system


def entropy_production(
    system: AbstractSystem, result: Result, log_density: Callable, free_energy_start=None
) -> EntropyProduction:
    r"""Split the entropy production of every path: what the medium takes, what the system keeps.

        total = sum beta_i Q_i - ln rho_tau(z_tau) + ln rho_0(z_0),

    with rho_0 the equilibrium before the first jump. <exp(-total)> = 1 for any normalized
    `log_density`; with the true law at the end <total> is the entropy production, and with the
    final equilibrium it is beta W_diss.

    **Arguments:** `system` and the `tj.Result` of its run from equilibrium; `log_density(x)`, ln
    rho_tau of one position, underdamped `log_density(x, p)` of position and momentum (that of
    `tj.moments(...).log_density(-1)`, say); `free_energy_start`, a number, -kT ln of the
    configuration integral at the start, where the potential does not know it itself.

    **Returns:** an `EntropyProduction`, arrays `(batch,)`.

    **Raises:** ValueError where the free energy at the start is not known, or for a `log_density`
    that does not give one number.

    **Source:** U. Seifert, Phys. Rev. Lett. 95, 040602 (2005), eqs. (7)-(12).
    """
    check_run(system, result)
    function("log_density", log_density, "a function of one position")
    temperature = value_outside(system.bath.temperature, "initial")
    x, ledger = result.position, result.ledger
    overdamped = isinstance(system, Overdamped)
    densities = (
        jax.vmap(log_density)(x) if overdamped else jax.vmap(log_density)(x, result.momentum)
    )
    if getattr(densities, "shape", None) != ledger.energy.shape:
        got = "no array"
        if hasattr(densities, "shape"):
            got = f"an array of shape {densities.shape[1:]}"
        raise ValueError(f"log_density returns {got} for one path: expected one number")
    configuration, momentum = free_energies_start(system, x, free_energy_start)
    start = -(ledger.energy_start - configuration - momentum) / temperature
    if overdamped:
        # The hidden momentum of the integrator is thermal, before and after.
        final = value_outside(system.bath.temperature, "final")
        size = sum(leaf[0].size for leaf in jax.tree.leaves(x))
        hidden = -ledger.kinetic / final - 0.5 * size * (LOG_2PI + jnp.log(final))
        densities = densities + hidden
    return EntropyProduction(ledger.bath_entropy, start - densities)


def check_run(system, result) -> None:
    """Refuse what is no system, or not the result of a run. **Raises:** ValueError."""
    check_system(system)
    instance("result", result, Result, "a tj.Result, from tj.simulate")


def free_energies_start(system: AbstractSystem, position, given=None):
    """The free energies of configuration and of momenta before the first jump."""
    temperature = value_outside(system.bath.temperature, "initial")
    sample = jax.tree.map(lambda leaf: leaf[0], position)
    found = given
    if given is not None:
        expected = "one finite number, -kT ln of the configuration integral at the start"
        found = floating(real("free_energy_start", given, expected))
    if found is None:
        found = system.potential.free_energy(system.protocol.initial, temperature, sample)
    if found is None:
        raise ValueError(
            f"{type(system.potential).__name__} does not know its free energy at the start: pass "
            "free_energy_start=, the value of -kT ln of its configuration integral"
        )
    return found, momentum_free_energy(system, sample, "initial")


def momentum_free_energy(
    system: AbstractSystem, sample, end: Literal["initial", "final"]
) -> Float[Array, ""]:
    """-kT ln of the integral over momenta, with the bath before or after the run, a scalar.

    **Arguments:** `sample`, one position. Of an overdamped system the mass is 1.
    """
    temperature = value_outside(system.bath.temperature, end)
    mass = 1.0 if isinstance(system, Overdamped) else value_outside(system.bath.mass, end)
    spread = jax.tree.map(
        lambda m, x: jnp.sum(jnp.log(jnp.broadcast_to(m, x.shape))),
        like_position(mass, sample),
        sample,
    )
    size = sum(leaf.size for leaf in jax.tree.leaves(sample))
    logs = sum(jax.tree.leaves(spread)) + size * (LOG_2PI + jnp.log(temperature))
    return -0.5 * temperature * logs
