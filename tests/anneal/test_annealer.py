"""Annealers: exact weights at any step, gradients, both directions, and paths that diverge."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from scipy import stats

import thermojax as tj
from thermojax.anneal.objectives import recorded
from thermojax.anneal.path_law import densities
from thermojax.anneal.process import forward_paths, log_weights

KEY = jax.random.key(0)
OBABO = tj.OBABO()
PRECISION = jnp.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 4.0]])
MEAN = jnp.array([1.0, -1.0, 0.5])
LOG_Z = 1.5 * np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(PRECISION)[1]


def log_density(x):
    """A Gaussian with correlations, unnormalized."""
    return -0.5 * (x - MEAN) @ PRECISION @ (x - MEAN)


def draws(key, n):
    factor = jnp.linalg.cholesky(PRECISION)
    z = jax.random.normal(key, (3, n))
    return MEAN + jax.scipy.linalg.solve_triangular(factor.T, z).T


def annealer(drive: Any = None, integrator: Any = OBABO) -> tj.anneal.Annealer:
    drives: dict[Any, Any] = {"linear": tj.anneal.LinearDrive(3, 4)}
    drives["network"] = tj.anneal.NetworkDrive(3, jax.random.key(9), width=8, knots=3)
    drives["two sides"] = tj.anneal.NetworkDrive(3, jax.random.key(9), 8, 3, two_sided=True)
    return tj.anneal.Annealer(
        None, log_density, steps=6, template=jnp.zeros(3), rate=1.0, drive=drives.get(drive),
        integrator=integrator,
    )  # fmt: skip


def stirred(a: tj.anneal.Annealer, size: float = 0.3) -> tj.anneal.Annealer:
    """The annealer with everything that trains moved somewhere, each number by another amount."""
    params, rest = a.split()
    flat, restore = ravel_pytree(params)
    flat = flat + size * jnp.sin(3.0 * jnp.arange(flat.size) + 1.0)
    return eqx.combine(restore(flat), rest)


INTEGRATORS = {"OBABO": OBABO, "BAOAB": tj.BAOAB()}
DRIVES = ("none", "linear", "network", "two sides")


@pytest.mark.parametrize("omega_dt", [0.1, 0.3, 0.5])
def test_protocol_work_alone_is_biased_and_the_total_is_not(omega_dt):
    """A trap whose stiffness rises from 1 to 16, ln Z = -ln 4, by five steps of omega dt at its
    end: the average of exp(-W) over the protocol's own work is off, that of the total is not.
    """
    dt, batch = omega_dt / 4, 2**15
    target = tj.Harmonic(16.0)
    a = tj.anneal.Annealer(None, target, steps=5, template=jnp.zeros(1), dt=4 * dt, rate=0.5)
    out = a.run(KEY, batch)
    assert float(jnp.max(jnp.abs(out.shadow_work))) > 0.01
    truth = 0.5 * np.log(2 * np.pi / 16.0)
    right = out.log_z
    assert abs(float(right.value) - truth) < 4.5 * float(right.error)
    wrong = np.log(np.mean(np.exp(-np.asarray(out.protocol_work))))
    spread = np.exp(-np.asarray(out.protocol_work) - wrong).std() / np.sqrt(batch)
    if omega_dt == 0.5:
        assert abs(wrong - truth) > 6 * spread, (wrong, truth, spread)


@pytest.mark.parametrize("drive", DRIVES)
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_the_works_add_up_and_both_directions_give_the_evidence(integrator, drive):
    # A network that is stirred by much throws paths so far that few of them carry the average.
    size = 0.05 if drive in ("network", "two sides") else 0.3
    a = stirred(annealer(drive, integrator=INTEGRATORS[integrator]), size)
    out, back = a.run(KEY, 4096), a.reverse(jax.random.key(1), draws(jax.random.key(2), 4096))
    total = out.protocol_work + out.shadow_work + out.drive_work
    np.testing.assert_allclose(total, -out.log_weights, rtol=0, atol=1e-10)
    sides = tj.anneal.two_sided(out, back)
    for found in (out.log_z, back.log_z, sides.log_z):
        assert abs(float(found.value) - LOG_Z) < 4.5 * float(found.error)
    for bound, sign in ((out.elbo, 1), (back.eubo, -1)):
        assert sign * (float(bound.value) - LOG_Z) < 4 * float(bound.error)
        assert sign * (float(bound.value) - LOG_Z) < -0.02  # a bound of an untrained ramp is loose
    # Crooks: ln [P_F(W) / P_R(-W)] = W + ln Z, of slope 1 and crossing zero at -ln Z.
    theorem = tj.fluctuation.crooks(-out.log_weights, back.log_weights)
    assert abs(float(theorem.z)) < 4.5
    assert abs(float(theorem.crossing.value) + LOG_Z) < 4.5 * float(theorem.crossing.error)
    gap = out.dissipated_work
    assert float(gap.value) == pytest.approx(float(out.log_z.value) - float(out.elbo.value))


@pytest.mark.parametrize("drive", DRIVES)
def test_weights_are_those_of_the_densities_of_the_paths(drive):
    """By a second way: the density of every path forward and backward, from its states alone."""
    a = stirred(annealer(drive))
    start, out = forward_paths(a, KEY, 64)
    path, alive = recorded(a, KEY, 64)
    there, back = densities(a, path)
    assert bool(jnp.all(alive > 0))
    np.testing.assert_allclose(back - there, log_weights(a, start, out), rtol=0, atol=1e-10)
    # The density of the start alone, by scipy; the normals of a step were drawn in float32.
    one = eqx.tree_at(lambda a: a.schedule, a, tj.anneal.Schedule(1, dt=1e-3, rate=1.0))
    path, _ = recorded(one, KEY, 4)
    (x0, x1), (p0, p1) = (np.asarray(x) for x in path)
    mass, c = np.exp(np.asarray(one.log_mass)), np.exp(-0.5e-3)
    s = np.sqrt(mass * (1 - c**2))
    middle = mass * (x1 - x0) / 1e-3
    row = jnp.concatenate([one.schedule.values().couplings, jnp.array([[0.0], [1.0]])], axis=1)

    def force(x, k):
        pull = -jax.grad(one.ramp.energy)(x, row[k])
        return pull if one.drive is None else pull + one.drive(x, row[k, -1])[1 - k]

    f0 = np.asarray(jax.vmap(lambda x: force(x, 0))(jnp.asarray(x0)))
    f1 = np.asarray(jax.vmap(lambda x: force(x, 1))(jnp.asarray(x1)))
    p_first, p_last = middle - 0.5e-3 * f0, middle + 0.5e-3 * f1
    log_p = stats.norm.logpdf(p_first, c * p0, s) + stats.norm.logpdf(p1, c * p_last, s)
    log_p = log_p - np.log(1e-3 / mass) + stats.norm.logpdf(x0)
    log_p = log_p + stats.norm.logpdf(p0, scale=np.sqrt(mass))
    np.testing.assert_allclose(densities(one, path).forward, log_p.sum(axis=1), atol=1e-8)


@pytest.mark.parametrize("drive", DRIVES)
def test_a_path_without_noise_replays_backward(drive):
    a = stirred(annealer(drive))
    quiet = eqx.tree_at(lambda a: a.schedule.log_rate, a, jnp.full(6, -80.0))
    system, dt = quiet.system(), quiet.schedule.values().dt
    start, there = forward_paths(quiet, KEY, 16)
    turned = tj.State(there.position, -there.momentum)
    back = tj.simulate(tj.reverse(system), KEY, dt=dt[::-1], initial=turned, integrator=tj.OBABO())
    np.testing.assert_allclose(back.position, start.position, rtol=0, atol=1e-10)
    np.testing.assert_allclose(-back.momentum, start.momentum, rtol=0, atol=1e-10)
    np.testing.assert_allclose(back.log_weight, -there.log_weight, rtol=0, atol=1e-10)


LEARNABLES = {
    "mean": lambda a: a.base.mean,
    "scale": lambda a: a.base.log_scale,
    "couplings": lambda a: a.schedule.logits,
    "steps": lambda a: a.schedule.log_dt,
    "friction": lambda a: a.schedule.log_rate,
    "masses": lambda a: a.log_mass,
    "matrix": lambda a: a.drive.matrix,
    "shift": lambda a: a.drive.shift,
}


def along(a, where, size):
    """The annealer with one of its parts moved in a direction of its own."""
    leaf = where(a)
    return eqx.tree_at(
        where, a, leaf + size * jnp.cos(jnp.arange(leaf.size) + 0.5).reshape(leaf.shape)
    )


@eqx.filter_jit
def slopes(a, key):
    return eqx.filter_grad(lambda a: a.loss(key, 16))(a)


@pytest.mark.parametrize("learnable", LEARNABLES)
def test_gradients_are_those_of_finite_differences(learnable):
    a, where, step = stirred(annealer("linear")), LEARNABLES[learnable], 1e-5
    loss = lambda size: float(along(a, where, size).loss(KEY, 16))
    found = (loss(step) - loss(-step)) / (2 * step)
    slope = where(slopes(a, KEY))
    direction = np.cos(np.arange(slope.size) + 0.5).reshape(slope.shape)
    np.testing.assert_allclose(np.sum(np.asarray(slope) * direction), found, rtol=2e-6, atol=1e-8)


@pytest.mark.slow
def test_the_system_of_an_annealer_has_work_that_differentiates():
    """By the public way, through the books of `tj.simulate`: the gradient of the loss itself."""
    a = stirred(annealer("two sides"), 0.05)
    params, rest = a.split()

    def mean_work(params):
        a = eqx.combine(params, rest)
        start = forward_paths(a, KEY, 16)[0]
        dt = a.schedule.values().dt
        out = tj.simulate(a.system(), KEY, dt=dt, initial=start, integrator=OBABO)
        return -jnp.mean(out.log_weight)

    value, found = eqx.filter_jit(jax.value_and_grad(mean_work))(params)
    np.testing.assert_allclose(value, a.loss(KEY, 16), rtol=1e-12)
    wanted = ravel_pytree(slopes(a, KEY).split()[0])[0]
    np.testing.assert_allclose(ravel_pytree(found)[0], wanted, rtol=1e-7, atol=1e-9)


def test_the_variance_of_held_paths_has_the_gradient_of_its_densities():
    a = stirred(annealer("linear"))
    path, _ = recorded(a, KEY, 16)

    @eqx.filter_jit
    def variance(a):
        there, back = densities(a, path)
        return jnp.var(back - there, ddof=1)

    params, rest = a.split()
    held = lambda p: variance(eqx.combine(p, rest))
    wanted = ravel_pytree(jax.grad(held)(params))[0]
    loss = lambda p: eqx.combine(p, rest).loss(KEY, 16, "log_variance")
    value, found = jax.value_and_grad(loss)(params)
    np.testing.assert_allclose(value, held(params), rtol=1e-9)
    np.testing.assert_allclose(ravel_pytree(found)[0], wanted, rtol=1e-7, atol=1e-9)


@pytest.mark.slow
def test_the_detached_loss_has_the_same_mean_gradient():
    params, rest = stirred(annealer("linear"), 0.1).split()

    @jax.jit
    def one(key):
        grads = [
            jax.grad(lambda p, o=o: eqx.combine(p, rest).loss(key, 32, o))(params)
            for o in ("elbo", "detached")
        ]
        return [ravel_pytree(g)[0] for g in grads]

    keys = jax.random.split(jax.random.key(4), 400)
    plain, detached = (np.asarray(x) for x in jax.lax.map(one, keys))
    off = plain - detached
    error = off.std(axis=0, ddof=1) / np.sqrt(len(off))
    moves = error > 1e-12
    z = off.mean(axis=0)[moves] / error[moves]
    assert np.abs(z).max() < 4.5 and moves.sum() > 20


@pytest.mark.slow
def test_a_nan_on_one_path_stays_there():
    def broken(x):
        return jnp.where(x[0] > 1.5, jnp.nan, -0.5 * jnp.sum(x**2))

    a = tj.anneal.Annealer(None, broken, steps=4, template=jnp.zeros(2))
    with pytest.warns(UserWarning, match="of 256 paths diverged and weigh nothing: take a smaller"):
        out = a.run(KEY, 256)
    lost = int(out.diverged)
    assert 5 < lost < 60 and int(np.sum(np.isinf(out.log_weights))) == lost
    assert np.all(np.isfinite(np.asarray(out.log_weights)[np.asarray(out.alive) > 0]))
    for objective in ("elbo", "detached", "log_variance"):
        value, found = eqx.filter_value_and_grad(lambda a, o=objective: a.loss(KEY, 256, o))(a)
        assert np.isfinite(value)
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(found.split()[0]))


@pytest.mark.slow
def test_a_target_without_a_bottom_ends_training_in_words():
    a = tj.anneal.Annealer(None, lambda x: jnp.sum(x**4), steps=8, template=jnp.zeros(2), dt=0.5)
    found = tj.anneal.fit(a, optax.adam(0.05), KEY, batch=64, steps=200)
    assert "of 64 paths diverged at step" in found.stopped


@pytest.mark.slow
def test_resampling_keeps_the_evidence():
    a = stirred(annealer(), 0.1)
    runs = [a.run(k, 512, resample=1.0) for k in jax.random.split(jax.random.key(3), 40)]
    weights = np.array([np.exp(float(r.log_z.value) - LOG_Z) for r in runs])
    error = weights.std(ddof=1) / np.sqrt(len(weights))
    assert abs(weights.mean() - 1) < 4.5 * error < 0.3
    plain, never = a.run(KEY, 512), a.run(KEY, 512, resample=1e-6)
    assert float(never.effective_samples) < float(runs[0].effective_samples)
    # Weighted samples are those of the target.
    x = np.concatenate([np.asarray(run.samples) for run in runs])
    w = np.concatenate([np.asarray(run.log_weights) for run in runs])
    w = np.exp(w - w.max())
    mean = (w[:, None] * x).sum(axis=0) / w.sum()
    np.testing.assert_allclose(mean, MEAN, atol=0.15)
    # Paths that were drawn anew depend on each other, and have no way back.
    assert np.isnan(runs[0].log_z.error) and np.isnan(runs[0].elbo.error)
    assert np.isfinite(plain.log_z.error)
    back = a.reverse(KEY, draws(KEY, 8))
    with pytest.raises(ValueError, match="there was resampled"):
        tj.anneal.two_sided(runs[0], back)


def test_a_large_constant_is_told():
    """1e8 in the energy of a target leaves no digit of the weights in float32."""
    target = lambda x: 1e8 - 0.5 * jnp.sum(x**2)
    a = tj.anneal.Annealer(None, target, steps=2, template=jnp.zeros(2, jnp.float32))
    with pytest.warns(UserWarning, match="log weights of 1.0e[+]08 are rounded to 12 in float32"):
        a.run(KEY, 32)
    exact = tj.anneal.Annealer(None, target, steps=2, template=jnp.zeros(2))
    truth = 1e8 + np.log(2 * np.pi)
    found = exact.run(KEY, 1024).log_z
    assert abs(float(found.value) - truth) < 4.5 * float(found.error)
