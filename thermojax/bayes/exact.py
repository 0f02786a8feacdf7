"""The Gaussian case, exactly: the law on its way from prior to posterior, and what it costs."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from .._arguments import instance, whole
from .._component import Numbers, floating, known, positive_number, require, shown
from .._tree import cast
from ..bounds import Normal
from ..distances import transport_cost_gaussian
from ..distribution import EnsembleLedger, Moments, moments
from ..potential import AbstractPotential, Gaussian, require_potential
from ..potential.gaussian import require_definite
from ..protocol import AbstractProtocol
from ..system import Bath, Overdamped
from .coupling import coupling
from .model import Model
from .quadratic import Quadratic, along, common_basis, quadratic_of

LARGEST_FULL = 256  # dimensions whose moment equations hold whole matrices


class QuadraticRamp(AbstractPotential):
    """U = level + y^T stiffness y / 2 + lambda (offset + slope . y + y^T added y / 2)."""

    stiffness: Float[Array, "dim dim"]
    added: Float[Array, "dim dim"]
    slope: Float[Array, " dim"]
    level: Float[Array, ""]
    offset: Float[Array, ""]

    def energy(self, x, control):
        prior = self.level + 0.5 * x @ self.stiffness @ x
        return prior + control * (self.offset + self.slope @ x + 0.5 * x @ self.added @ x)

    def template(self, control):
        return jnp.zeros_like(self.slope)


class Axes(eqx.Module):
    """The orthogonal axes along which a law falls apart, columns `(dim, dim)`; None for those of
    the weights themselves."""

    vectors: Float[Array, "dim dim"] | None

    def inward(self, v):
        """Vectors on the last axis along these axes."""
        return v if self.vectors is None else v @ self.vectors

    def outward(self, v):
        return v if self.vectors is None else v @ self.vectors.T

    def matrix(self, spread):
        """A covariance in the coordinates of the weights."""
        return spread if self.vectors is None else (self.vectors * spread) @ self.vectors.T


class ExactPosterior(eqx.Module):
    """A Gaussian inference without sampling error: the law of the weights through time.

    - `mean`, `(times, dim)`, of the position, flattened; `covariance(index)` at one of the times.
    - `ledger`: a `tj.EnsembleLedger` of `(times,)`, work and heat in nats; its `divergence` is KL
      to the tempered posterior of the coupling at that time, at the end to the posterior itself.
    - `posterior_mean` `(dim,)` and `posterior_covariance`, `(dim,)` for a diagonal or
      `(dim, dim)`: where the law is on its way to.
    - `log_evidence`: ln p of all data so far, a scalar; `log_evidence_step`: of the last ones
      given those before.
    - `least_dissipation`: friction W_2^2 / duration between the first law and the law at the end:
      no coupling of the same duration between these two produces less entropy.
    - `data`, `attention`: the observations that `tj.bayes.observe` has added, and their weights.
    """

    mean: Float[Array, "times dim"]
    spread: Float[Array, "..."]  # (times, dim) along the axes, else (times, dim, dim)
    axes: Axes
    ledger: EnsembleLedger
    posterior_mean: Float[Array, " dim"]
    posterior_covariance: Float[Array, "..."]
    log_evidence: Float[Array, ""]
    log_evidence_step: Float[Array, ""]
    least_dissipation: Float[Array, ""]
    protocol: AbstractProtocol
    data: tuple[AbstractPotential, ...] = ()
    attention: tuple[float, ...] = ()

    @property
    def times(self) -> Float[Array, " times"]:
        return self.ledger.times

    @property
    def work(self) -> Float[Array, ""]:
        """The mean work of the coupling, end jumps included."""
        return self.ledger.work[-1]

    @property
    def heat(self) -> Float[Array, ""]:
        """The mean heat to the bath within the duration."""
        return self.ledger.heat[-1]

    @property
    def divergence(self) -> Float[Array, ""]:
        """KL from the law at the end to the posterior, in nats."""
        return self.ledger.divergence[-1]

    @property
    def entropy_production(self) -> Float[Array, ""]:
        """Sigma of weights and bath within the duration: work + ln p(y) - KL at the end."""
        return self.ledger.entropy_production[-1]

    def covariance(self, index: int = -1) -> Float[Array, "..."]:
        """The covariance at `times[index]`: `(dim,)` where it is diagonal, else `(dim, dim)`."""
        return self.axes.matrix(self.spread[index])

    @property
    def prior(self) -> Gaussian:
        """The posterior as the prior of data to come."""
        return Gaussian(self.posterior_mean, self.posterior_covariance)

    def followed_by(self, likelihood: AbstractPotential, **how) -> ExactPosterior:
        """The inference of more data, `how` as in `tj.bayes.exact`: the law goes on from here."""
        found = exact(self.prior, likelihood, start=(self.mean[-1], self.covariance()), **how)
        total = self.log_evidence + found.log_evidence
        return eqx.tree_at(lambda x: x.log_evidence, found, total)

    def holding(self, data, attention) -> ExactPosterior:
        """The same with these observations on record."""
        return dataclasses.replace(self, data=data, attention=attention)

    def __str__(self):
        return (
            f"ln p(y) = {float(self.log_evidence):.6g}; in {float(self.protocol.duration):.4g} "
            f"units of time work {float(self.work):.4g}, heat {float(self.heat):.4g}, entropy "
            f"production {float(self.entropy_production):.4g} (at least "
            f"{float(self.least_dissipation):.4g}), {float(self.divergence):.3g} nats from the "
            "posterior"
        )


def exact(
    prior: AbstractPotential | Model,
    likelihood: AbstractPotential | None = None,
    *,
    duration: float,
    schedule: str | AbstractProtocol = "linear",
    friction: float = 1.0,
    times: Any = 2,
    start: Normal | tuple[Numbers, Numbers] | None = None,
) -> ExactPosterior:
    r"""Gaussian prior and likelihood: the inference by its moment equations, without sampling.

    The coupling lambda(t) of the data grows from 0 to 1 under overdamped dynamics at kT = 1,

        friction dx = -grad (U_prior + lambda(t) U_likelihood) dt + sqrt(2 friction) dW,

    the law stays Gaussian, and `tj.moments` follows it with work, heat and entropy production.
    Where one basis makes both curvatures diagonal (one of them a multiple of the identity, both
    diagonal, or both functions of one matrix) the law falls apart into single coordinates.

    **Arguments:**

    - `prior`, `likelihood`: potentials that are quadratic, of any kind: `tj.Gaussian(y, noise)` is
      also the energy of an observation y of x. Or one `tj.bayes.Model` that holds both.
    - `duration`: in units of friction / curvature.
    - `schedule`: `"linear"`; `"sudden"`, all data at once and then waiting; or a protocol of one
      number from 0 to 1 of that duration.
    - `times`: as in `tj.moments`: how many, or where, `(times,)`.
    - `start`: (mean, covariance) or a `tj.bounds.Normal`, another law than the prior to begin with.

    **Returns:** a `tj.bayes.ExactPosterior`.

    **Raises:** ValueError for an energy that is not quadratic, a prior that does not confine, a
    posterior that does not exist, whole matrices of more than 256 dimensions that share no basis,
    or equations too stiff to be followed.

    **Cost:** the equations of one coordinate for every coordinate that differs from the others, and
    one eigendecomposition for whole matrices; without a common basis O(dim^3) a step.
    """
    if isinstance(prior, Model):
        if likelihood is not None:
            raise ValueError("likelihood: the tj.bayes.Model has one already; leave it out")
        model = prior
    else:
        expected = "a potential, or a tj.bayes.Model that holds prior and likelihood"
        instance("prior", prior, AbstractPotential, expected)
        model = Model(prior, require_potential("likelihood", likelihood))
    if model.prior is None:
        raise ValueError("prior is flat, None: the exact picture starts from a proper prior")
    place, _ = ravel_pytree(model.template)
    drag = positive_number("friction", friction).astype(place.dtype)
    protocol = cast(coupling(schedule, duration), place.dtype)
    instants = checked(times, protocol)
    begin = None if start is None else starting(place, start)
    first = quadratic_of("prior", model.prior, model.template, place)
    place, first = about_center(place, first)
    # Far from the template the first value was a small difference of large ones.
    value, slope, _ = along(model.prior, model.template, place, place[None])
    place, first = about_center(place, Quadratic(value, slope, first.curvature))
    data = quadratic_of("likelihood", model.likelihood, model.template, place, first.widths)
    axes, blocks = blocks_of(place, first, data, begin)
    return followed(place, axes, blocks, protocol, drag, instants)


def about_center(place, energy: Quadratic) -> tuple[Array, Quadratic]:
    """(center, the same quadratic about it). **Raises:** ValueError for one without a minimum."""
    if energy.curvature.ndim == 1:
        fine = jnp.all(energy.curvature > 0)
        shift = -energy.slope / energy.curvature
    else:
        factor = jnp.linalg.cholesky(energy.curvature)
        fine = jnp.all(jnp.isfinite(factor))
        shift = -jax.scipy.linalg.cho_solve((factor, True), energy.slope)
    if not bool(fine):
        raise ValueError(
            "prior does not confine every coordinate (its curvature is not positive definite): "
            "expected a Gaussian prior"
        )
    level = energy.constant + 0.5 * energy.slope @ shift
    return place + shift, Quadratic(level, jnp.zeros_like(shift), energy.curvature)


def checked(times, protocol: AbstractProtocol) -> Float[Array, " times"]:
    """The times at which the law is wanted. **Raises:** ValueError for any outside of the run."""
    duration = protocol.duration
    if isinstance(times, int | np.integer):
        return jnp.linspace(0, 1, whole("times", times, 2), dtype=duration.dtype) * duration
    times, last = floating(times, "times"), known(duration)
    if times.ndim > 1 or times.size == 0:
        raise ValueError(f"times has shape {times.shape}: expected (times,), at least one")
    if last is not None:
        inside = lambda t: np.isfinite(t) & (t >= 0) & (t <= last * (1 + 1e-12))
        require("times", times, inside, f"times from 0 to the duration {float(last):.6g}")
    return times.astype(duration.dtype)


class Blocks(eqx.Module):
    """Independent groups of coordinates, `(blocks, n, ...)`: n = 1, or one block of all."""

    ramp: QuadraticRamp
    mean: Float[Array, "blocks n"]
    covariance: Float[Array, "blocks n n"]

    def joined(self, x):
        """Vectors `(blocks, ..., n)` as `(..., dim)`; of covariances the diagonal, or a matrix."""
        return jnp.moveaxis(x[..., 0], 0, -1) if x.shape[-1] == 1 else x[0]

    def joined_covariance(self, c):
        return jnp.moveaxis(c[..., 0, 0], 0, -1) if c.shape[-1] == 1 else c[0]

    @eqx.filter_jit
    def conditioned(self):
        """(means, covariances, ln p(y)) of the posteriors of all blocks, NaN where none exists."""
        ramp = self.ramp
        before, after = (
            jnp.linalg.cholesky(k) for k in (ramp.stiffness, ramp.stiffness + ramp.added)
        )
        solve = jax.vmap(lambda root, v: jax.scipy.linalg.cho_solve((root, True), v))
        mean = -solve(after, ramp.slope)
        eye = jnp.broadcast_to(jnp.eye(mean.shape[-1], dtype=mean.dtype), after.shape)
        log_volume = lambda root: jnp.sum(jnp.log(jnp.diagonal(root, axis1=-2, axis2=-1)))
        lowest = jnp.sum(ramp.offset) + 0.5 * jnp.sum(ramp.slope * mean)
        evidence = -lowest - (log_volume(after) - log_volume(before))
        return mean, solve(after, eye), evidence


def blocks_of(place, first: Quadratic, data: Quadratic, start) -> tuple[Axes, Blocks]:
    """The axes along which everything falls apart, and its parts; one block where none exist."""
    begin, covariance = (place, None) if start is None else start
    given = [first.curvature, data.curvature, *([] if covariance is None else [covariance])]
    basis, diagonals = common_basis(*given)
    if diagonals is not None:
        axes = Axes(basis)
        parts = [m[:, None, None] for m in diagonals]
        split = lambda v: axes.inward(v)[:, None]
    else:
        if place.size > LARGEST_FULL:
            raise ValueError(
                f"likelihood shares no eigenvectors with the prior in {place.size} dimensions, and "
                f"a law of whole matrices is followed up to {LARGEST_FULL}: take coordinates in "
                "which the prior is isotropic, x = mean + L z with covariance L L^T"
            )
        axes = Axes(None)
        parts = [(jnp.diag(m) if m.ndim == 1 else m)[None] for m in given]
        split = lambda v: v[None]
    stiffness, added, *rest = parts
    # Constants are shared out: sums over the blocks bring them back.
    share = jnp.full((len(stiffness),), 1 / len(stiffness), place.dtype)
    ramp = QuadraticRamp(
        stiffness, added, split(data.slope), share * first.constant, share * data.constant
    )
    covariance = rest[0] if rest else jnp.linalg.inv(stiffness)
    return axes, Blocks(ramp, split(begin - place), covariance)


def followed(place, axes: Axes, blocks: Blocks, protocol, friction, times) -> ExactPosterior:
    """The law of all blocks from prior to posterior, about the center of the prior at `place`."""
    mean, covariance, evidence = blocks.conditioned()
    if not np.isfinite(np.asarray(evidence)):
        raise ValueError(
            "likelihood bends the prior open: their curvatures add up to one that is not positive "
            "definite, and there is no posterior"
        )
    law = laws(blocks, protocol, friction, times)
    if not np.all(np.isfinite(np.asarray(law.ledger.work))):
        stiffest = float(jnp.max(jnp.abs(blocks.ramp.stiffness + blocks.ramp.added)))
        raise ValueError(
            f"duration = {float(protocol.duration):.3g}: the moment equations are too stiff to be "
            f"followed for so long (largest curvature {stiffest:.3g}); take a shorter one"
        )
    path, spread = blocks.joined(law.mean), blocks.joined_covariance(law.covariance)
    start = blocks.joined(blocks.mean), blocks.joined_covariance(blocks.covariance)
    cost = transport_cost_gaussian(*start, path[-1], spread[-1])
    return ExactPosterior(
        mean=place + axes.outward(path),
        spread=spread,
        axes=axes,
        ledger=law.ledger,
        posterior_mean=place + axes.outward(blocks.joined(mean)),
        posterior_covariance=axes.matrix(blocks.joined_covariance(covariance)),
        log_evidence=evidence,
        log_evidence_step=evidence,
        least_dissipation=friction * cost / protocol.duration,
        protocol=protocol,
    )


def starting(place, start):
    """(mean, covariance) of the law to begin with. **Raises:** ValueError for no law."""
    if isinstance(start, Normal):
        start = start.mean, start.covariance
    if not isinstance(start, tuple | list) or len(start) != 2:
        raise ValueError(
            f"start = {shown(start)}: expected a pair (mean, covariance), a tj.bounds.Normal, or "
            "None for the prior"
        )
    mean, covariance = (floating(x, f"the {name} of start")
                        for x, name in zip(start, ("mean", "covariance"), strict=True))  # fmt: skip
    if mean.shape != place.shape or covariance.shape not in ((), mean.shape, mean.shape * 2):
        raise ValueError(
            f"start has a mean of shape {mean.shape} and a covariance of shape {covariance.shape}: "
            f"expected {place.shape} and {place.shape * 2}"
        )
    require_definite("the covariance of start", covariance)
    return mean, covariance if covariance.ndim else jnp.broadcast_to(covariance, mean.shape)


def laws(blocks: Blocks, protocol, friction, times) -> Moments:
    """The law of every block, `(blocks, times, ...)`, and the ledger of all together.

    Blocks that are equal are solved once.
    """
    leaves = [np.asarray(x) for x in jax.tree.leaves(blocks)]
    table = np.concatenate([x.reshape(len(x), -1) for x in leaves], axis=1)
    unique = np.unique(table, axis=0, return_index=True, return_inverse=True, return_counts=True)
    _, first, inverse, counts = unique
    some = jax.tree.unflatten(jax.tree.structure(blocks), [x[first] for x in leaves])
    found = laws_of_blocks(some, protocol, friction, times)
    return repeated(found, inverse.ravel(), counts)


@jax.jit
def repeated(laws: Moments, place, counts) -> Moments:
    """The laws of all blocks from those that differ, and the sum of their ledgers."""
    ledger = jax.tree.map(lambda x: counts.astype(x.dtype) @ x, laws.ledger)
    ledger = eqx.tree_at(lambda x: x.times, ledger, laws.ledger.times[0])
    return Moments(laws.mean[place], laws.covariance[place], ledger)


@eqx.filter_jit
def laws_of_blocks(blocks: Blocks, protocol, friction, times) -> Moments:
    """The law and the ledger of every block."""

    def one(block: Blocks):
        bath = cast(Bath(1.0, friction), friction.dtype)
        system = Overdamped(block.ramp, protocol, bath)
        return moments(system, times, (block.mean, block.covariance))

    return eqx.filter_vmap(one)(blocks)
