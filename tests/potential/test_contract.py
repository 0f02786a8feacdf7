"""Laws that every potential obeys."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy import integrate

import thermojax as tj
from tests.components import FEATURES, LABELS, POTENTIALS, start_positions
from thermojax.potential import Sum

CASES = pytest.mark.parametrize("name", POTENTIALS)


@CASES
def test_energy_is_scalar_and_gradient_is_the_finite_difference(name):
    potential, template, _, control = POTENTIALS[name]
    x = jax.tree.map(lambda leaf: leaf[0], start_positions(template, 1))
    flat, unravel = ravel_pytree(x)
    energy = jax.jit(jax.value_and_grad(lambda v: potential.energy(unravel(v), control)))
    flat = np.asarray(flat)
    value, gradient = energy(flat)
    assert value.shape == ()
    for i, direction in enumerate(np.eye(flat.size)):
        step = 1e-5 * direction
        slope = np.asarray(energy(flat + step)[0] - energy(flat - step)[0]) / 2e-5
        np.testing.assert_allclose(gradient[i], slope, rtol=1e-6, atol=1e-7)


@CASES
def test_batch_is_a_loop_and_jit_is_eager(name):
    potential, template, _, control = POTENTIALS[name]
    x = start_positions(template, 3)
    batched = eqx.filter_jit(tj.potential.batched_energy)(potential, x, control)
    sample = lambda i: jax.tree.map(lambda a: a[i], x)
    loop = [potential.energy(sample(i), control) for i in range(3)]
    np.testing.assert_allclose(batched, np.stack(loop), rtol=1e-13)


def lowered(tree):
    """The floats of a tree in float32, as a run of float32 positions has them."""
    low = lambda a: jnp.asarray(a, jnp.float32) if eqx.is_inexact_array_like(a) else a
    return jax.tree.map(low, tree)


@CASES
def test_float32_is_kept(name):
    """By energy, gradient and free energy. (All other tests run in float64.)"""
    potential, template, _, control = POTENTIALS[name]
    args = lowered((potential, template, control))
    both = eqx.filter_eval_shape(lambda u, x, c: jax.value_and_grad(u.energy)(x, c), *args)
    free = eqx.filter_eval_shape(lambda u, x, c: u.free_energy(c, jnp.float32(1), x), *args)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves((both, free)))


@pytest.mark.parametrize("name", ["pytree", "tempering"])
def test_a_run_keeps_float32(name):
    potential, template, _, control = POTENTIALS[name]
    out = tj.simulate(
        tj.Underdamped(potential, tj.Linear(control, control, 1.0), tj.Bath()),
        jax.random.key(0),
        time_steps=2,
        initial=lowered(start_positions(template, 2)),
    )
    for leaf in jax.tree.leaves((out.position, out.momentum, out.ledger)):
        assert leaf.dtype == jnp.float32


def sampler(name):
    """What draws the equilibrium of a potential exactly, None where nothing does."""
    potential, _, control, _ = POTENTIALS[name]
    return potential.sampled_by(jnp.asarray(control), jnp.ones(()))


# What burns in has tests of its own, in tests/sampling/test_start.py.
@pytest.mark.parametrize("name", [name for name in POTENTIALS if sampler(name) is not None])
def test_exact_sampler_draws_the_equilibrium(name):
    """<x . grad U> = kT dim for every equilibrium (virial theorem), and <grad U> = 0."""
    potential, template, control, _ = POTENTIALS[name]
    control = jnp.asarray(control)
    n, own = 40_000, sampler(name)

    @jax.jit
    def drawn(key):
        x = own.sample(key, control, 1.0, n, template)
        return x, tj.potential.batched_gradient(potential, x, control)

    flat = lambda tree: np.concatenate(
        [np.reshape(leaf, (n, -1)) for leaf in jax.tree.leaves(tree)], axis=1
    )
    x, force = map(flat, drawn(jax.random.key(3)))
    virial = np.sum(x * force, axis=1)
    error = virial.std() / np.sqrt(n)
    assert abs(virial.mean() - x.shape[1]) < 4 * error
    assert np.all(abs(force.mean(0)) < 4.5 * force.std(0) / np.sqrt(n))


MIXTURE = tj.GaussianMixture([[0.5], [-1.0]], [0.3, 0.8], [1.0, 2.0])
KNOWN = tj.Harmonic(2.5, 0.3), tj.Gaussian(jnp.array([0.3]), 0.7), tj.DoubleWell(3.0, 0.7)


@pytest.mark.parametrize(
    ("potential", "temperature"),
    [(potential, kt) for potential in KNOWN for kt in (1.0, 0.6)] + [(MIXTURE, 1.0)],
    ids=lambda x: type(x).__name__ if isinstance(x, tj.AbstractPotential) else str(x),
)
def test_free_energy_is_the_configuration_integral(potential, temperature):
    value = potential.free_energy(0.0, jnp.asarray(temperature), jnp.zeros(1))
    weight = jax.jit(lambda x: jnp.exp(-potential.energy(x[None], 0.0) / temperature))
    integral, _ = integrate.quad(lambda x: float(weight(x)), -15, 15, epsabs=1e-12, points=[0.0])
    np.testing.assert_allclose(value, -temperature * np.log(integral), atol=1e-9)


def test_a_mixture_knows_its_free_energy_at_its_own_temperature_alone():
    assert MIXTURE.free_energy(0.0, jnp.asarray(0.6), jnp.zeros(1)) is None


@pytest.mark.parametrize("control", [(1, 0), (1, 3), (0, -40), (-2, 0), (0.5, 10)])
def test_both_wells_are_drawn_in_their_shares(control):
    """However high the barrier: moments and shares against quadrature."""
    well, kt, n = tj.DoubleWell(14.0, 1.3), 0.9, 40_000
    shape = jnp.array(control, float)
    draw = jax.jit(lambda key: well.sample(key, shape, kt, n, jnp.zeros(2)))
    x = np.asarray(draw(jax.random.key(5)))
    assert x.shape == (n, 2)
    line = np.linspace(-4, 4, 20_001)
    energy = np.asarray(jax.vmap(lambda x: well.energy(x[None], shape))(jnp.asarray(line)))
    weight = np.exp(-(energy - energy.min()) / kt)
    average = lambda values: np.sum(values * weight) / np.sum(weight)
    for f in (lambda x: x > 0, lambda x: x, lambda x: x**2):
        exact = average(f(line))
        error = average((f(line) - exact) ** 2) ** 0.5 / np.sqrt(x.size)
        assert abs(f(x.ravel()).mean() - exact) < 4.5 * error + 1e-6


def test_free_energy_in_two_dimensions_matches_the_determinant():
    covariance = np.array([[2.0, 0.3], [0.3, 1.0]])
    template = jnp.zeros(2)
    harmonic = tj.Harmonic(np.linalg.inv(covariance)).free_energy(0.0, 0.7, template)
    exact = -0.7 * 0.5 * np.log(np.linalg.det(2 * np.pi * 0.7 * covariance))
    np.testing.assert_allclose(harmonic, exact, rtol=1e-12)
    gaussian = tj.Gaussian(jnp.zeros(2), covariance).free_energy(0.0, 0.7, template)
    shift = 0.5 * np.log(np.linalg.det(2 * np.pi * covariance))
    np.testing.assert_allclose(gaussian, exact + shift, rtol=1e-12)


def test_algebra():
    a, b = tj.Harmonic(1.0, control="center"), tj.DoubleWell(2.0)
    x, c = jnp.array([0.3, -0.4]), 0.7
    left = (2.0 * (a + b) + a * 0.5).energy(x, c)
    np.testing.assert_allclose(left, 2.5 * a.energy(x, c) + 2.0 * b.energy(x, c))
    total = a + b + a
    assert isinstance(total, Sum) and len(total.terms) == 3
    with pytest.raises(TypeError, match="only a number"):
        _ = a * b
    with pytest.raises(TypeError):
        _ = a + 1.0  # pyright: ignore[reportOperatorIssue]  # refused


def test_interpolation_is_the_line_between_its_ends():
    prior, target = tj.Gaussian(jnp.zeros(2)), tj.Gaussian(jnp.ones(2), 0.5)
    line, x = tj.Interpolation(prior, target), jnp.array([0.2, 0.4])
    np.testing.assert_allclose(line.energy(x, 0.0), prior.energy(x, None))
    np.testing.assert_allclose(line.energy(x, 1.0), target.energy(x, None))
    assert line.sampled_by(jnp.zeros(()), 1.0) is prior
    assert line.sampled_by(jnp.ones(()), 1.0) is target
    assert line.sampled_by(jnp.array(0.5), 1.0) is None


class Outer(tj.AbstractPotential):
    """Hides what it samples by in a list, two potentials deep."""

    parts: tuple[tj.Interpolation, ...]
    wrong: bool = False

    def energy(self, x, control):
        return self.parts[1].energy(x, jnp.zeros(()))

    def sampled_by(self, control, temperature):
        return tj.Gaussian(jnp.zeros(2)) if self.wrong else self.parts[1].prior


def test_a_sampler_is_found_wherever_the_fields_hold_it():
    """Its parameters keep their gradient: the mean of the draws is that of the inner prior."""
    target = tj.Gaussian(jnp.ones(2))

    def mean(center, wrong=False):
        inner = tj.Interpolation(tj.Gaussian(center), target)
        potential = Outer((tj.Interpolation(target, target), inner), wrong)
        system = tj.Overdamped(potential, tj.Constant(0.0), tj.Bath())
        start = tj.Equilibrium(jnp.zeros(2))
        chain = tj.start(system, jax.random.key(0), batch=8, initial=start)
        return jnp.mean(chain.state.position, axis=0)

    slope = jax.jacfwd(mean)(jnp.zeros(2))
    np.testing.assert_allclose(slope, np.eye(2), atol=1e-12)
    with pytest.raises(ValueError, match="sampled_by returned a Gaussian: expected the potential"):
        mean(jnp.zeros(2), wrong=True)


def test_logistic_likelihood_against_its_definition():
    x = np.array([0.3, -1.0, 2.0])
    p = 1 / (1 + np.exp(-FEATURES @ x))
    exact = -np.sum(LABELS * np.log(p) + (1 - LABELS) * np.log(1 - p))
    potential = tj.LogisticRegression(FEATURES, LABELS)
    np.testing.assert_allclose(potential.energy(jnp.asarray(x), None), exact, rtol=1e-12)
    # At x = 0 every |z| is zero, where the derivative of |z| must not matter.
    hessian = jax.hessian(potential.energy)(jnp.zeros(3), None)
    np.testing.assert_allclose(hessian, FEATURES.T @ FEATURES / 4, rtol=1e-12)
    far = potential.energy(jnp.full(3, 1e4), None)
    assert np.isfinite(far)


def test_a_float_field_is_a_leaf_that_differentiates():
    class Well(tj.AbstractPotential):
        barrier: float = 4.0

        def energy(self, x, control):
            return self.barrier * jnp.sum((x**2 - 1) ** 2) - control * x[0]

    well = Well()
    assert isinstance(well.barrier, jax.Array) and well.barrier.dtype == jnp.float64
    slope = jax.grad(lambda w: w.energy(jnp.zeros(1), 0.0))(well).barrier
    assert slope == 1


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: tj.Harmonic(-1.0), "stiffness = -1.0: expected positive"),
        (lambda: tj.Harmonic([[1.0, 2.0], [0.0, 1.0]]), "not symmetric"),
        (lambda: tj.Harmonic([[1.0, 2.0], [2.0, 1.0]]), "eigenvalue -1"),
        (lambda: tj.Harmonic(np.ones((2, 3))), "shape"),
        (
            lambda: tj.Harmonic(control="spring"),  # pyright: ignore[reportArgumentType]
            "expected 'center' or 'stiffness' or None",
        ),
        (lambda: tj.Gaussian(0.0), r"expected \(dim,\)"),
        (lambda: tj.Gaussian(jnp.zeros(2), [[np.nan, 0.0], [0.0, 1.0]]), "not finite"),
        (lambda: tj.DoubleWell(-2.0), "barrier = -2.0"),
        (lambda: tj.GaussianMixture(jnp.zeros(2)), "expected \\(components, dim\\)"),
        (lambda: tj.GaussianMixture(jnp.zeros((2, 1)), weights=[1.0, -1.0]), "weights"),
        (lambda: tj.LogisticRegression([[1.0], [np.nan]], [0, 1]), r"features\[1, 0\] = nan"),
        (lambda: tj.LogisticRegression([[1.0], [2.0]], [0, 2]), "labels hold 2"),
        (lambda: tj.LogisticRegression([[1.0], [2.0]], [0, 1, 1]), "expected"),
        (lambda: tj.DoubleWell().energy(jnp.zeros(1), jnp.zeros(3)), "the pair"),
        (
            lambda: tj.Interpolation(tj.Gaussian([0.0]), tj.Gaussian([1.0])).energy(
                jnp.zeros(1), jnp.zeros(2)
            ),
            "expected a scalar",
        ),
    ],
)
def test_bad_input_is_refused_in_words(build, words):
    with pytest.raises(ValueError, match=words):
        build()
