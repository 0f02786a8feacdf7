"""Annealing without this package: NumPyro's differentiable annealing, and OBABO in a plain scan."""

from __future__ import annotations

import time

import equinox as eqx
import jax
import jax.numpy as jnp

import thermojax as tj
from experiments.annealing_targets import TARGETS
from thermojax.potential import Sum

from .annealing_training import BUDGET, REVERSE, Plan, optimizer, repeated

PEER_RATE = 0.02  # of Adam; see `autodais`


def autodais(plan: Plan, begun: float, timed: bool) -> dict:
    """NumPyro's AutoDAIS, trained by stochastic variational inference for as many steps.

    Uncorrected Hamiltonian annealing with the same batch, optimizer and number of leaps. Of its
    settings step sizes up to 1, from 0.1, a base of scale 0.3 and a rate of 0.02 did best of four
    that were tried with a diagonal base on sonar, 3000 training steps each; with its defaults
    (steps of at most 0.1, from 0.01) and a rate of 0.006 it was 3.6 lower.

    **Source:** G. Zhang et al., NeurIPS 2021, arXiv:2107.10211; T. Geffner, J. Domke, NeurIPS 2021,
    arXiv:2107.04150.
    """
    import numpyro
    from numpyro.infer import SVI, Trace_ELBO
    from numpyro.infer.autoguide import AutoDAIS

    target = TARGETS[plan.target]()
    _, likelihood = parts(target.energy)  # of the prior N(0, 1)
    dim = target.template.size

    def model():
        x = numpyro.sample("x", numpyro.distributions.Normal(0, 1).expand([dim]).to_event(1))
        numpyro.factor("likelihood", -likelihood.energy(x, None))

    kind = "cholesky" if plan.base == "dense" else "diagonal"
    guide = AutoDAIS(model, K=plan.steps, base_dist=kind, eta_init=0.1, eta_max=1.0, init_scale=0.3)
    rule = optimizer(plan.training, PEER_RATE)
    inference = SVI(model, guide, rule, Trace_ELBO(num_particles=plan.batch))

    @jax.jit
    def run(state):
        # One program for all steps, as `SVI.run` has it, but compiled once for two runs of it.
        return jax.lax.scan(lambda s, _: inference.update(s), state, None, length=plan.training)

    start = inference.init(jax.random.key(plan.seed))
    end, _ = jax.block_until_ready(run(start))
    seconds, busy = time.time() - begun, time.process_time()
    if timed:
        again = time.perf_counter()
        jax.block_until_ready(run(start))
        pace = (time.perf_counter() - again) / plan.training
        return {"pace": pace, "around": seconds - pace * plan.training}
    params = inference.get_params(end)

    @jax.jit
    def weights(keys):
        one = lambda key: Trace_ELBO().loss(key, params, model, guide)
        return -jnp.asarray(jax.vmap(one)(keys))

    each = plan.steps + 1
    some = max(2, round(BUDGET / each))
    out = weights(jax.random.split(jax.random.key(99), plan.paths))
    log_z = tj.free_energy.jarzynski(out).log_ratio
    mean = lambda key: tj.free_energy.jarzynski(weights(jax.random.split(key, some)))
    estimates, times = repeated(lambda key: mean(key).log_ratio.value, plan.repeats)
    return {
        "seconds": seconds,
        "CPU seconds": busy,
        "training": plan.training,
        "training gradients": float(REVERSE * plan.training * plan.batch * plan.steps),
        "gradients": some * each,
        "elbo": [float(jnp.mean(out)), float(jnp.std(out)) / plan.paths**0.5],
        "log_z": [float(log_z.value), float(log_z.error)],
        "estimates": estimates,
        "each seconds": times,
    }


def parts(energy: tj.AbstractPotential) -> tuple[tj.Gaussian, tj.AbstractPotential]:
    """The prior and the likelihood of a regression of `TARGETS`."""
    assert isinstance(energy, Sum), "a regression is the sum of a prior and a likelihood"
    prior, likelihood = energy.terms
    assert isinstance(prior, tj.Gaussian)
    return prior, likelihood


def plain_loss(annealer: tj.anneal.Annealer, key, batch: int):
    """-<log w> of the numbers of an annealer, by OBABO as one would write it by hand.

    One `lax.scan` over the steps, a split key and `jax.random.normal` per step; reverse mode keeps
    what every step saw. Of one term, a `DiagonalBase`, and any drive.
    """
    base, schedule, mass = annealer.base, annealer.schedule, jnp.exp(annealer.log_mass)
    assert isinstance(base, tj.anneal.DiagonalBase)
    (term,) = annealer.terms
    couplings = jnp.cumsum(jax.nn.softmax(schedule.logits[0]))[:-1]
    dt, rate = jnp.exp(schedule.log_dt), jnp.exp(schedule.log_rate)
    keep, spread = jnp.exp(-0.5 * rate * dt), jnp.sqrt(-jnp.expm1(-rate * dt))
    steps, dim = dt.size, mass.size
    s = jnp.linspace(0, 1, steps + 1, dtype=dt.dtype)

    def target(z):
        place = base.mean + jnp.exp(base.log_scale) * z
        return term.energy(place, None) - jnp.sum(base.log_scale)

    def start_energy(z):
        return 0.5 * jnp.sum(z**2) + 0.5 * dim * jnp.log(2 * jnp.pi)

    def force_of_one(z, coupling, s):
        energy = lambda z: (1 - coupling) * start_energy(z) + coupling * target(z)
        force = -jax.grad(energy)(z)
        if annealer.drive is None:
            return force, force
        closing, opening = annealer.drive(z, s)
        return force + closing, force + opening

    force_at = jax.vmap(force_of_one, (0, None, None))
    kinetic = lambda p: 0.5 * jnp.sum(p**2 / mass, axis=-1)

    def step(carry, row):
        z, p, force, released = carry
        coupling, s, dt, keep, spread, key = row
        noise = jax.random.normal(key, (2, batch, dim), z.dtype) * spread * jnp.sqrt(mass)
        before = kinetic(p)
        p = keep * p + noise[0]
        released = released + before - kinetic(p)
        p = p + 0.5 * dt * force
        z = z + dt * p / mass
        closing, force = force_at(z, coupling, s)
        p = p + 0.5 * dt * closing
        before = kinetic(p)
        p = keep * p + noise[1]
        return (z, p, force, released + before - kinetic(p)), None

    of_z, of_p, of_steps = jax.random.split(key, 3)
    z = jax.random.normal(of_z, (batch, dim), dt.dtype)
    p = jnp.sqrt(mass) * jax.random.normal(of_p, (batch, dim), dt.dtype)
    begin = jax.vmap(start_energy)(z) + kinetic(p)
    carry = z, p, force_at(z, couplings[0], s[0])[1], jnp.zeros(batch, dt.dtype)
    rows = couplings[1:], s[1:], dt, keep, spread, jax.random.split(of_steps, steps)
    (z, p, _, released), _ = jax.lax.scan(step, carry, rows)
    return -jnp.mean(begin - jax.vmap(target)(z) - kinetic(p) - released)


def gradients(annealer: tj.anneal.Annealer, batch: int):
    """(the annealer's own, the plain scan's): loss and gradient, of what trains and a key."""
    params, rest = annealer.split()
    own = lambda params, key: eqx.combine(params, rest).loss(key, batch)
    plain = lambda params, key: plain_loss(eqx.combine(params, rest), key, batch)
    return params, jax.value_and_grad(own), jax.value_and_grad(plain)
