"""Weighted particles of a posterior that takes in one observation after the other."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from .._arguments import instance, whole
from .._component import known
from .._keys import Purpose, check_key, part_key, purpose_key
from .._tree import dtype_of, one_each
from ..estimate import Estimate, weighted_mean
from ..potential import AbstractPotential, batched_energy, batched_gradient
from ..protocol import Constant
from ..sampling import Equilibrium, advance, start, systematic
from ..system import Bath, Underdamped
from .model import Model
from .posterior import Posterior

PROPOSAL_STEPS = 4  # of one proposal of Metropolis
SETTLING = 4  # proposals after the coupling has reached its end
ACCEPTANCE = 0.8  # that the step is steered to
FIRST_STEP = 0.5  # of coordinates that oscillate with frequency 1
STEPS_WITHIN = (1e-3, 1.5)
FEWEST = 0.5  # effective share of the particles below which they are resampled


class Observations(AbstractPotential):
    """U = U_prior(x) + sum_k c_k U_k(x): the control c `(capacity,)` couples the observations.

    `data`: one potential, its arrays stacked `(capacity, ...)`.
    """

    prior: AbstractPotential
    data: AbstractPotential

    def energy(self, x, control):
        energies = eqx.filter_vmap(lambda datum: datum.energy(x, None))(self.data)
        return self.prior.energy(x, None) + control @ energies


class Observed(NamedTuple):
    """One change of the couplings: the evidence that it added, and its price, in nats.

    - `log_evidence`: ln p(y_k | y_1..k-1), a scalar; `work`, `heat`: `tj.Estimate`s of the means.
    - `effective_samples`: after it, before any resampling; `resampled`: whether that followed.
    - `acceptance`: the share of proposals that were accepted.
    """

    log_evidence: Float[Array, ""]
    work: Estimate
    heat: Estimate
    effective_samples: Float[Array, ""]
    resampled: Bool[Array, ""]
    acceptance: Float[Array, ""]

    @property
    def dissipated_work(self) -> Float[Array, ""]:
        """The mean work beyond the change of free energy, a scalar."""
        return jnp.asarray(self.work.value) + self.log_evidence


class Particles(eqx.Module):
    """Samples of a posterior that grows with its data, for `tj.bayes.observe`.

    - `position`, a pytree of `(n, ...)`; `log_weight`, `(n,)`: samples weigh exp(log_weight).
    - `couplings`, `(capacity,)`: 1 for an observation that counts in full, 0 for one that does not.
    - `count`: observations held. `last`: a `tj.bayes.Observed`, of the last change.
    """

    position: PyTree[Array]
    log_weight: Float[Array, " n"]
    prior: AbstractPotential
    data: AbstractPotential | None  # its arrays `(capacity, ...)`
    couplings: Float[Array, " capacity"]
    count: Int[Array, ""]
    log_evidence_kept: Float[Array, ""]  # of the weights that resampling has made equal
    variance_kept: Float[Array, ""]
    dt: Float[Array, ""]
    last: Observed | None

    def __str__(self):
        if known(self.count) is None:
            return repr(self)
        return (
            f"{self.log_weight.size:,} particles ({float(self.effective_samples):,.0f} effective) "
            f"of {int(self.count):,} observations: ln p(y) = {self.log_evidence}"
        )

    @property
    def weights(self) -> Float[Array, " n"]:
        """exp(log_weight), normalized to a sum of 1; `(n,)`."""
        return jax.nn.softmax(self.log_weight)

    @property
    def effective_samples(self) -> Float[Array, ""]:
        """(sum w)^2 / sum w^2, a scalar."""
        return 1 / jnp.sum(self.weights**2)

    @property
    def attention(self) -> Float[Array, " held"]:
        """The couplings of the observations that are held, for `tj.bayes.attend`."""
        return self.couplings[: int(self.count)]

    @property
    def log_evidence(self) -> Estimate:
        """ln p of the observations as they are coupled, with its standard error.

        The error is that of the weights, sqrt(1/n_effective - 1/n), added up over resamplings: it
        takes particles that were resampled for independent ones. Their masses are learned from the
        particles themselves, a bias of the order of 1/n.
        """
        n = self.log_weight.size
        value = self.log_evidence_kept + logsumexp(self.log_weight) - jnp.log(float(n))
        variance = self.variance_kept + 1 / self.effective_samples - 1 / n
        return Estimate(value, jnp.sqrt(jnp.maximum(variance, 0)), n)

    def mean(self, values) -> Estimate:
        """The posterior mean of `(n, ...)` values, or of a function of one position."""
        if callable(values):
            values = jax.vmap(values)(self.position)
        return weighted_mean(jnp.asarray(values), self.weights)

    def with_datum(self, datum: AbstractPotential) -> Self:
        """One more observation, its coupling still 0; room is doubled where there is none.

        **Raises:** ValueError for one that differs from those before in more than its numbers.
        """
        if known(self.count) is None:
            raise ValueError(
                "state is traced: take observations in a loop of Python, which compiles once for "
                "all of one shape"
            )
        data, couplings = self.data, self.couplings
        arrays, rest = eqx.partition(datum, eqx.is_array)
        if data is None:
            repeated = jax.tree.map(lambda x: jnp.stack([x] * couplings.size), arrays)
            data = eqx.combine(repeated, rest)
        held, same = eqx.partition(data, eqx.is_array)
        shapes = [[(x.shape[skip:], x.dtype) for x in jax.tree.leaves(tree)]
                  for tree, skip in ((arrays, 0), (held, 1))]  # fmt: skip
        if shapes[0] != shapes[1] or not eqx.tree_equal(rest, same):
            raise ValueError(
                "datum differs from the observations before it in more than its numbers: give each "
                "the same class and shapes, its data in fields, such as tj.Gaussian(y, noise) or a "
                "potential of your own (a new lambda in each tj.LogDensity is another function)"
            )
        if int(self.count) == couplings.size:
            twice = lambda x: jnp.concatenate([x, x])
            held = jax.tree.map(twice, held)
            couplings = jnp.concatenate([couplings, jnp.zeros_like(couplings)])
        held = put(held, arrays, self.count)
        changed = (eqx.combine(held, same), couplings, self.count + 1)
        where = lambda s: (s.data, s.couplings, s.count)
        return eqx.tree_at(where, self, changed, is_leaf=lambda x: x is None)


@jax.jit
def put(stacked, arrays, place):
    """The stacked arrays with one more row."""
    return jax.tree.map(lambda all_, one: all_.at[place].set(one), stacked, arrays)


def particles(
    prior: AbstractPotential | Posterior,
    key: PRNGKeyArray,
    *,
    samples: int = 1024,
    capacity: int = 64,
    template: Any = None,
) -> Particles:
    """Particles of a prior, to begin a sequence of `tj.bayes.observe` with.

    **Arguments:**

    - `prior`: a potential, -ln p(x); or a `tj.bayes.Posterior`, whose samples, data and evidence
      are taken over (with as many particles as it has samples).
    - `samples`: how many. `capacity`: observations that there is room for; beyond it the room
      doubles, which compiles anew.
    - `template`: ONE position, where the prior does not know its shape.

    **Returns:** a `tj.bayes.Particles`.

    **Raises:** ValueError for a prior without a shape, or that cannot be drawn from.
    """
    check_key(key)
    capacity = whole("capacity", capacity, cure="observations")
    if isinstance(prior, Posterior):
        return of_posterior(prior, key, capacity)
    instance("prior", prior, AbstractPotential, "a potential, or a tj.bayes.Posterior")
    samples = whole("samples", samples, 2)
    template = Model(prior, prior, template=template).template
    system = Underdamped(prior, Constant(), Bath())
    chain = start(system, key, batch=samples, initial=Equilibrium(template))
    return equal(prior, chain.position, capacity, 0.0, 0.0)


def of_posterior(posterior: Posterior, key, capacity: int) -> Particles:
    """The samples of an inference, made equal in weight; its data are part of the prior."""
    model, evidence = posterior.model, posterior.log_evidence
    prior = model.likelihood if model.prior is None else model.prior + model.likelihood
    place = systematic(purpose_key(key, Purpose.RESAMPLING), posterior.log_weight)
    position = jax.tree.map(lambda x: x[place], posterior.position)
    return equal(prior, position, capacity, evidence.value, jnp.asarray(evidence.error) ** 2)


def equal(prior, position, capacity: int, log_evidence, variance) -> Particles:
    """Particles of equal weight that hold no observation."""
    dtype = dtype_of(position)
    n = jax.tree.leaves(position)[0].shape[0]
    number = lambda x: jnp.asarray(x, dtype)
    return Particles(
        position,
        jnp.zeros(n, dtype),
        prior,
        None,
        jnp.zeros(capacity, dtype),
        jnp.zeros((), jnp.int32),
        number(log_evidence),
        number(variance),
        number(FIRST_STEP),
        None,
    )


@eqx.filter_jit
def coupled(state: Particles, couplings, key: PRNGKeyArray, shares) -> Particles:
    r"""The particles after their couplings went to others, by `shares` `(steps,)` of the way.

    At each share the couplings jump at fixed positions, which is work, and the particles move by
    Metropolis-adjusted proposals, which is heat: U(end) - U(start) = work - heat on every path, and
    <exp(-work)> over the weighted particles is p(y_k | y_1..k-1).
    """
    assert state.data is not None
    potential = Observations(state.prior, state.data)
    before, change = state.couplings, couplings - state.couplings
    shares = jnp.concatenate([jnp.zeros(1), shares, jnp.ones(SETTLING)]).astype(before.dtype)
    weights = state.weights

    def one(carry, at):
        position, dt, work, heat = carry
        index, last, share = at
        control = before + share * change
        energy = batched_energy(potential, position, control)
        work += energy - batched_energy(potential, position, before + last * change)
        work = jnp.where(jnp.isnan(work), jnp.inf, work)  # where a datum rules a particle out
        alive = jnp.isfinite(work)
        left = jnp.where(alive, state.log_weight - work, -jnp.inf)
        bath = bath_of(potential, position, control, jax.nn.softmax(left))
        system = Underdamped(potential, Constant(control), bath)
        chain = start(system, part_key(key, Purpose.STAGE, index), initial=position)
        chain = advance(system, chain, dt=dt, steps=PROPOSAL_STEPS, adjusted=True)
        given = energy - batched_energy(potential, chain.position, control)
        heat += jnp.where(alive, given, 0)
        longer = jnp.exp(0.5 * (chain.acceptance - ACCEPTANCE))
        dt = jnp.where(jnp.isfinite(longer), dt * longer, dt)
        return (chain.position, jnp.clip(dt, *STEPS_WITHIN), work, heat), chain.acceptance

    zero = jnp.zeros_like(state.log_weight)
    each = (jnp.arange(len(shares) - 1), shares[:-1], shares[1:])
    (position, dt, work, heat), accepted = jax.lax.scan(
        one, (state.position, state.dt, zero, zero), each
    )
    log_weight = jnp.where(jnp.isfinite(work), state.log_weight - work, -jnp.inf)
    n = log_weight.size
    size = jnp.exp(2 * logsumexp(log_weight) - logsumexp(2 * log_weight))
    again = size < FEWEST * n
    place = systematic(purpose_key(key, Purpose.RESAMPLING), log_weight)
    place = jnp.where(again, place, jnp.arange(n))
    mean = logsumexp(log_weight) - jnp.log(jnp.asarray(n, log_weight.dtype))
    step = logsumexp(log_weight) - logsumexp(state.log_weight)
    means = weighted_mean(work, weights), weighted_mean(heat, weights)
    return Particles(
        jax.tree.map(lambda x: x[place], position),
        jnp.where(again, jnp.zeros_like(log_weight), log_weight),
        state.prior,
        state.data,
        couplings,
        state.count,
        state.log_evidence_kept + jnp.where(again, mean, 0),
        state.variance_kept + jnp.where(again, 1 / size - 1 / n, 0),
        dt,
        Observed(step, *means, size, again, jnp.mean(accepted)),
    )


def bath_of(potential, position, control, weights) -> Bath:
    """Masses with which every coordinate oscillates with a frequency of about 1, and a friction
    that lets it forget within a time of about 1: mass_i^2 = Var(dU/dx_i) / Var(x_i)."""
    slope = batched_gradient(potential, position, control)

    def spread(x):
        w = one_each(weights, x)
        x = jnp.where(w > 0, x, 0)
        center = jnp.sum(w * x, axis=0)
        return jnp.sqrt(jnp.sum(w * (x - center) ** 2, axis=0))

    tiny = jnp.finfo(weights.dtype).tiny
    ratio = lambda g, x: jnp.maximum(spread(g), tiny) / jnp.maximum(spread(x), tiny)
    mass = jax.tree.map(ratio, slope, position)
    return Bath(1.0, mass, mass)
