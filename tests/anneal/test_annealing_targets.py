"""The targets whose evidence is known: no bound lies above it, and lost modes are told."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.integrate import quad

import thermojax as tj
from experiments.annealing_targets import TARGETS

KEY = jax.random.key(0)
OPTIMIZER = optax.chain(optax.clip_by_global_norm(50.0), optax.adam(5e-3))
DT = {"many_wells": 0.1, "five_wells": 0.1}


@functools.cache
def target_of(name):
    return TARGETS[name]()


def draws(name, key, n):
    sample = target_of(name).sample
    assert sample is not None
    return sample(key, n)


@functools.cache
def trained(name):
    """An annealer of four steps, trained a little."""
    target = target_of(name)
    how = dict(template=target.template)
    base = tj.anneal.variational(None, target.energy, KEY, steps=500, batch=32, **how)
    drive = tj.anneal.LinearDrive(target.template.size, 2)
    dt = DT.get(name, 0.3)
    start = tj.anneal.Annealer(base, target.energy, steps=4, dt=dt, drive=drive, **how)
    return tj.anneal.fit(start, OPTIMIZER, KEY, batch=32, steps=60).annealer


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_bounds_lie_on_their_side_of_the_evidence(name):
    """ELBO <= ln Z, and from exact draws ln Z <= EUBO, each to four standard errors."""
    annealer, target = trained(name), target_of(name)
    out = annealer.run(jax.random.key(1), 4096)
    assert float(out.elbo.value) < target.log_z + target.error + 4 * float(out.elbo.error)
    assert int(out.diverged) == 0
    if target.sample is None:
        return
    back = annealer.reverse(jax.random.key(2), draws(name, jax.random.key(3), 4096))
    assert float(back.eubo.value) > target.log_z - 4 * float(back.eubo.error)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ionosphere", "sonar", "seeds", "brownian"])
def test_the_evidence_is_that_of_the_literature(name):
    """By annealing from a dense Gaussian, which needs no training on these."""
    target = target_of(name)
    start = tj.anneal.laplace(target.energy, target.template) if name in DENSE else None
    base = tj.anneal.variational(
        start, target.energy, KEY, template=target.template, steps=3000, batch=64
    )
    a = tj.anneal.Annealer(
        base, target.energy, steps=64, dt=0.3, template=target.template, rate=1.0
    )
    found = a.run(jax.random.key(4), 4096).log_z
    assert abs(float(found.value) - target.log_z) < 4.5 * float(found.error) + target.error


DENSE = ("ionosphere", "sonar")


def test_the_wells_are_normalized_as_they_say():
    """By quadrature along each coordinate."""
    one = quad(lambda x: np.exp(-(x**4) + 6 * x**2 + 0.5 * x), -5, 5, points=[-1.7, 1.7])[0]
    truth = 16 * (np.log(one) + 0.5 * np.log(2 * np.pi))
    assert target_of("many_wells").log_z == pytest.approx(truth, abs=1e-7)
    one = quad(lambda x: np.exp(-((x**2 - 2) ** 2)), -5, 5, points=[-1.4, 1.4])[0]
    truth = 5 * np.log(one) + 22.5 * np.log(2 * np.pi)
    assert target_of("five_wells").log_z == pytest.approx(truth, abs=1e-7)


@pytest.mark.parametrize("name", ["funnel", "many_wells", "five_wells", "forty_modes"])
def test_draws_are_those_of_the_density(name):
    """<x . grad U> = the number of coordinates under exp(-U), whatever U is."""
    target = target_of(name)
    x = draws(name, KEY, 4096)
    slope = jax.vmap(jax.grad(lambda x: target.energy.energy(x, None)))(x)
    virial = np.asarray(jnp.sum(x * slope, axis=1))
    error = virial.std() / np.sqrt(len(virial))
    assert abs(virial.mean() - x.shape[1]) < 4.5 * error


@pytest.mark.slow
def test_an_annealer_that_loses_modes_says_so():
    """A narrow base in the middle of forty modes finds few of them, and its paths agree."""
    target = target_of("forty_modes")
    base = tj.anneal.DiagonalBase(2, 3.0)
    a = tj.anneal.Annealer(base, target.energy, steps=16, dt=0.1, rate=1.0)
    out = a.run(jax.random.key(5), 1024)
    back = a.reverse(jax.random.key(6), draws("forty_modes", jax.random.key(7), 1024))
    with pytest.warns(UserWarning, match="the annealer loses modes or tails: by their own weights"):
        sides = tj.anneal.two_sided(out, back)
    assert sides.doubt is not None and float(sides.eubo.value) > 1
    # A wide one does not, and says nothing.
    wide = tj.anneal.Annealer(
        tj.anneal.DiagonalBase(2, 30.0), target.energy, steps=64, dt=0.02, rate=10.0
    )
    out = wide.run(jax.random.key(5), 1024)
    back = wide.reverse(jax.random.key(6), draws("forty_modes", jax.random.key(7), 1024))
    sides = tj.anneal.two_sided(out, back)
    assert sides.doubt is None and abs(float(sides.log_z.value)) < 4.5 * float(sides.log_z.error)
