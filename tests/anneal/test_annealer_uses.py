"""Annealers of every kind of target and base, trained, and inside of another model's loss."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest
from jax.flatten_util import ravel_pytree

import thermojax as tj

KEY = jax.random.key(0)
DRAWS = np.asarray([0.3, -1.2, 0.8, 2.0, -0.4])


def close(found: tj.Estimate, truth: float, sigmas: float = 4.5):
    assert abs(float(found.value) - truth) < sigmas * float(found.error) + 1e-9, (found, truth)


def kinds():
    """The same Gaussian N(1, 2^2) in two dimensions, unnormalized by a factor e, in every form."""
    center, width = jnp.ones(2), jnp.full(2, 2.0)
    normal = dist.Normal(center, width)
    gaussian = tj.Gaussian(center, width**2)
    return {
        "potential": (gaussian, {}),
        "log density": (lambda x: jnp.sum(normal.log_prob(x)), dict(template=jnp.zeros(2))),
        "distribution": (normal, {}),
        "event": (dist.MultivariateNormal(center, jnp.diag(width**2)), {}),
        "model": (tj.bayes.Model(gaussian, tj.LogDensity(lambda x: 0.0 * x[0])), {}),
        "terms": ([gaussian, tj.LogDensity(lambda x: 0.0 * x[0])], {}),
    }


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_of_target(kind):
    target, given = kinds()[kind]
    a = tj.anneal.Annealer(None, target, steps=4, dt=0.5, **given)
    out = a.run(KEY, 2048)
    close(out.log_z, 0.0)
    assert out.samples.shape == (2048, 2)


def bases():
    covariance = jnp.array([[2.0, 0.5], [0.5, 1.0]])
    return {
        "none": None,
        "diagonal": tj.anneal.DiagonalBase([0.5, -0.5], 2.0),
        "dense": tj.anneal.DenseBase(jnp.array([0.5, -0.5]), covariance),
        "distribution": dist.StudentT(8.0, jnp.zeros(2), 1.5),
        "drawn": tj.anneal.DrawnBase(
            lambda x: jnp.sum(dist.Laplace(0.0, 2.0).log_prob(x)),
            lambda key, n: dist.Laplace(0.0, 2.0).sample(key, (n, 2)),
        ),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", bases())
def test_every_kind_of_base(kind):
    """Both directions give ln Z = ln(2 pi sqrt(3/4)) of a Gaussian with a correlation of 1/2."""
    target = lambda x: -0.5 * (x[0] ** 2 + x[1] ** 2 + x[0] * x[1])
    truth = np.log(2 * np.pi / np.sqrt(0.75))
    a = tj.anneal.Annealer(bases()[kind], target, steps=4, dt=0.4, template=jnp.zeros(2))
    factor = np.linalg.cholesky(np.linalg.inv([[1.0, 0.5], [0.5, 1.0]]))
    samples = jax.random.normal(jax.random.key(2), (2048, 2)) @ factor.T
    out, back = a.run(KEY, 2048), a.reverse(jax.random.key(1), samples)
    close(out.log_z, truth)
    close(tj.anneal.two_sided(out, back).log_z, truth)
    assert float(out.elbo.value) < truth < float(back.eubo.value)
    z = jnp.array([0.3, -0.7])
    np.testing.assert_allclose(a.base.coordinates(a.base.place(z)), z, atol=1e-12)
    volume = np.linalg.slogdet(jax.jacfwd(a.base.place)(z))[1]
    np.testing.assert_allclose(a.base.log_volume(), volume, atol=1e-12)


def test_bases_are_fitted_to_a_gaussian_exactly():
    """Laplace's is the target itself; a diagonal one by its own bound has the precisions."""
    precision = jnp.array([[2.0, 0.6], [0.6, 1.0]])
    target = lambda x: -0.5 * (x - 1) @ precision @ (x - 1)
    dense = tj.anneal.laplace(target, jnp.zeros(2))
    np.testing.assert_allclose(dense.mean, [1, 1], atol=1e-4)
    np.testing.assert_allclose(dense.factor @ dense.factor.T, np.linalg.inv(precision), rtol=1e-6)
    found = tj.anneal.variational(None, target, KEY, template=jnp.zeros(2), batch=256)
    assert isinstance(found, tj.anneal.DiagonalBase)
    np.testing.assert_allclose(found.place(jnp.zeros(2)), [1, 1], atol=0.02)
    np.testing.assert_allclose(jnp.exp(found.log_scale), jnp.diag(precision) ** -0.5, rtol=0.02)
    start = tj.anneal.DenseBase(jnp.zeros(2), jnp.eye(2))
    found = tj.anneal.variational(start, target, KEY, batch=256)
    assert isinstance(found, tj.anneal.DenseBase)
    np.testing.assert_allclose(found.factor @ found.factor.T, np.linalg.inv(precision), atol=0.05)


@pytest.mark.slow
def test_terms_have_schedules_of_their_own():
    """Two data sets of a mean: the gradient of each schedule is its own, and so is the base's."""
    prior = tj.Gaussian(jnp.zeros(1), 1.0)
    likelihoods = [
        tj.LogDensity(lambda x, d=d: jnp.sum(dist.Normal(x[0], 1.0).log_prob(d)))
        for d in (DRAWS, DRAWS + 1)
    ]
    n, total = 10, float(np.sum(DRAWS) + np.sum(DRAWS + 1))
    squares = float(np.sum(DRAWS**2) + np.sum((DRAWS + 1) ** 2))
    truth = -5 * np.log(2 * np.pi) - 0.5 * np.log(1 + n) - 0.5 * (squares - total**2 / (1 + n))
    a = tj.anneal.Annealer(None, [prior, *likelihoods], steps=5, dt=0.3)
    assert a.schedule.logits.shape == (4, 7)
    slow = eqx.tree_at(lambda a: a.schedule.logits, a, a.schedule.logits.at[2, 0].set(3.0))
    for each in (a, slow):
        close(each.run(KEY, 4096).log_z, truth)
    grad = eqx.filter_grad(lambda a: a.loss(KEY, 64))(a).schedule.logits
    assert np.all(np.abs(grad).max(axis=1) > 1e-4)
    assert not np.allclose(grad[2], grad[3], rtol=1e-3)


def target(x):
    """Two coordinates away from the origin, the second as wide as the first says."""
    a, b = x[0] - 1.5, x[1] + 1.0
    return -0.5 * (a**2 + b**2 * jnp.exp(-a) + a)


def small(dt=0.3):
    drive = tj.anneal.LinearDrive(2, 2)
    return tj.anneal.Annealer(None, target, steps=3, dt=dt, template=jnp.zeros(2), drive=drive)


OPTIMIZER = optax.adam(0.02)


TWO = [pytest.param(name, marks=pytest.mark.slow) for name in ("detached", "log_variance")]


@pytest.mark.parametrize("objective", ["elbo", *TWO])
def test_training_wastes_less_and_never_beats_the_evidence(objective):
    start, truth = small(), np.log(2 * np.pi)
    before = start.run(jax.random.key(5), 4096)
    fit = tj.anneal.fit(start, OPTIMIZER, KEY, batch=64, steps=200, objective=objective)
    after = fit.annealer.run(jax.random.key(5), 4096)
    assert float(after.elbo.value) > float(before.elbo.value) + 0.1
    assert float(after.elbo.value) < truth + 4 * float(after.elbo.error)
    close(fit.elbo, float(after.elbo.value), 4)
    assert float(after.dissipated_work.value) < 0.6 * float(before.dissipated_work.value)
    assert fit.history["loss"].shape == (200,) and fit.stopped == "all 200 steps done"


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_numbers(tmp_path):
    train = lambda **given: tj.anneal.fit(small(), OPTIMIZER, KEY, batch=16, steps=12, **given)
    whole = train()
    file = tmp_path / "training.ckpt"
    killed = train(
        checkpoint=tj.Checkpoint(file, interval=0.0), callback=lambda progress: progress.step == 7
    )
    assert "the callback ended training at step 7" in killed.stopped
    again = train(checkpoint=tj.Checkpoint(file, interval=0.0))
    one, other = (ravel_pytree(f.annealer.split()[0])[0] for f in (whole, again))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(whole.history["loss"], again.history["loss"])
    with pytest.raises(tj.CheckpointError, match="another"):
        tj.anneal.fit(
            small(dt=0.2), OPTIMIZER, KEY, batch=16, steps=12, checkpoint=tj.Checkpoint(file)
        )


@pytest.mark.slow
def test_training_ends_where_nothing_is_gained():
    fit = tj.anneal.fit(small(), optax.sgd(0.0), KEY, batch=16, steps=60, patience=5)
    assert "no progress for 5 steps" in fit.stopped and fit.history["loss"].size < 60


class Autoencoder(eqx.Module):
    """Data of four numbers from two; the encoder is the base, one path per datum."""

    encoder: eqx.nn.Linear
    decoder: eqx.nn.Linear
    annealer: tj.anneal.Annealer

    def __init__(self, key):
        one, two = jax.random.split(key)
        self.encoder = eqx.nn.Linear(4, 4, key=one)
        self.decoder = eqx.nn.Linear(2, 4, key=two)
        nothing = tj.LogDensity(lambda z: jnp.zeros(()))
        self.annealer = tj.anneal.Annealer(None, nothing, steps=3, dt=0.1, template=jnp.zeros(2))

    def of(self, datum):
        mean, log_scale = jnp.split(self.encoder(datum), 2)

        def joint(z):
            prior = -0.5 * jnp.sum(z**2) - jnp.log(2 * jnp.pi)
            return prior + jnp.sum(dist.Normal(self.decoder(z), 0.5).log_prob(datum))

        base = tj.anneal.DiagonalBase(mean, jnp.exp(log_scale))
        return self.annealer.replace(base=base, target=joint)


@pytest.mark.slow
def test_an_autoencoder_is_trained_through_its_paths():
    """One path per datum by vmap; the evidence of this linear model is known exactly."""
    z = jax.random.normal(jax.random.key(7), (32, 2))
    mixing = jax.random.normal(jax.random.key(8), (2, 4))
    data = z @ mixing + 0.5 * jax.random.normal(jax.random.key(9), (32, 4))
    model = Autoencoder(jax.random.key(10))

    def loss(model, key):
        one = lambda datum, key: model.of(datum).loss(key, 1)
        return jnp.mean(jax.vmap(one)(data, jax.random.split(key, len(data))))

    params, rest = eqx.partition(model, eqx.is_inexact_array)
    optimizer = optax.adam(0.02)

    @jax.jit
    def step(carry, key):
        params, state = carry
        value, slope = jax.value_and_grad(lambda p: loss(eqx.combine(p, rest), key))(params)
        change, state = optimizer.update(slope, state)
        return (optax.apply_updates(params, change), state), value

    keys = jax.random.split(jax.random.key(11), 200)
    (params, _), losses = jax.lax.scan(step, (params, optimizer.init(params)), keys)
    trained = eqx.combine(params, rest)
    weight, bias = np.asarray(trained.decoder.weight), np.asarray(trained.decoder.bias)
    law = dist.MultivariateNormal(bias, weight @ weight.T + 0.25 * np.eye(4))
    evidence = float(jnp.mean(law.log_prob(data)))
    values = np.asarray(jax.lax.map(lambda k: loss(trained, k), jax.random.split(KEY, 200)))
    bound, error = -values.mean(), values.std(ddof=1) / np.sqrt(200)
    assert bound < evidence + 4 * error and evidence - bound < 0.3
    assert -bound < float(losses[:20].mean()) - 5.0
    one, keys = lambda d, k: trained.of(d).loss(k, 1), jax.random.split(KEY)
    both = jax.vmap(one)(data[:2], keys)
    np.testing.assert_allclose(both, [one(data[i], keys[i]) for i in (0, 1)], rtol=1e-9)


@pytest.mark.slow
def test_a_network_has_positions_that_are_pytrees():
    x = jnp.linspace(-1, 1, 12)[:, None]
    y = jnp.sin(2 * x[:, 0])

    def log_density(w):
        hidden = jnp.tanh(x @ w["in"] + w["bias"])
        prior = sum(jnp.sum(dist.Normal(0.0, 1.0).log_prob(leaf)) for leaf in w.values())
        return prior + jnp.sum(dist.Normal(hidden @ w["out"], 0.2).log_prob(y))

    template = {"in": jnp.zeros((1, 3)), "bias": jnp.zeros(3), "out": jnp.zeros(3)}
    a = tj.anneal.Annealer(None, log_density, steps=8, template=template, dt=0.05)
    fit = tj.anneal.fit(a, optax.adam(0.02), KEY, batch=32, steps=150)
    out = fit.annealer.run(KEY, 64)
    assert {k: v.shape for k, v in out.samples.items()} == {
        "in": (64, 1, 3), "bias": (64, 3), "out": (64, 3),
    }  # fmt: skip
    assert float(out.elbo.value) > float(a.run(KEY, 64).elbo.value) + 20


def test_the_dtype_of_the_template_is_kept():
    a = tj.anneal.Annealer(None, target, steps=3, template=jnp.zeros(2, jnp.float32))
    out = a.run(KEY, 16)
    kinds = {x.dtype for x in jax.tree.leaves(eqx.filter((a, out), eqx.is_inexact_array))}
    assert kinds == {jnp.dtype("float32")}
