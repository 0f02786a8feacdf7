"""Spins through their field: moments, ln Z and training against enumeration."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import thermojax as tj

KEY = jax.random.key(0)
MOVE = tj.ebm.Moves(dt=0.5, steps=4, friction=1.0, adjusted=True)


def states(n: int) -> np.ndarray:
    return np.array(list(itertools.product([-1.0, 1.0], repeat=n)))


class Exact:
    """ln Z and moments of exp(s K s / 2 + b s), by a sum over all states."""

    def __init__(self, coupling, field):
        s = states(len(field))
        exponent = 0.5 * np.einsum("ki,ij,kj->k", s, coupling, s) + s @ field
        most = exponent.max()
        self.log_z = float(np.log(np.exp(exponent - most).sum()) + most)
        self.p = np.exp(exponent - self.log_z)
        self.mean, self.product = self.p @ s, (s * self.p[:, None]).T @ s


def ring(n: int) -> np.ndarray:
    """Neighbors on a ring, written down here."""
    return np.roll(np.eye(n), 1, axis=1) + np.roll(np.eye(n), -1, axis=1)


def square() -> np.ndarray:
    """Neighbors on a periodic lattice of 3 x 3."""
    return np.kron(ring(3), np.eye(3)) + np.kron(np.eye(3), ring(3))


WEIGHTS = np.array([[0.5, -0.3, 0.8], [-0.6, 0.4, 0.2], [0.3, 0.9, -0.7], [0.1, -0.5, 0.6]])
BESIDE, BELOW = np.array([0.1, -0.2, 0.3, 0.0]), np.array([0.2, 0.0, -0.1])


def machine(beta: float):
    """A restricted machine of 4 and 3 spins, its numbers times beta."""
    model = tj.ebm.RestrictedBoltzmann(beta * WEIGHTS, beta * BESIDE, beta * BELOW)
    whole = np.block([[np.zeros((4, 4)), WEIGHTS], [WEIGHTS.T, np.zeros((3, 3))]])
    return model, Exact(beta * whole, beta * np.append(BESIDE, BELOW))


def ising(matrix: np.ndarray, beta: float):
    field = 0.1 * np.arange(len(matrix)) / len(matrix)
    return tj.ebm.Ising(matrix, field, beta), Exact(beta * matrix, beta * field)


MODELS = {
    "ring": functools.partial(ising, ring(6)),
    "lattice": functools.partial(ising, square()),
    "restricted": machine,
}


@pytest.mark.parametrize("beta", [0.15, 0.3, 0.6])
@pytest.mark.parametrize("name", MODELS)
def test_moments_and_evidence_are_those_of_enumeration(name, beta):
    """To 4.5 standard errors each, for the largest of some fifty numbers."""
    model, exact = MODELS[name](beta)
    found = tj.ebm.spin_moments(model, KEY, walkers=1024, ramp=60, moves=60)
    for estimate, truth in (
        (found.mean, exact.mean),
        (found.product, exact.product),
        (found.log_z, exact.log_z),
    ):
        off = np.abs(np.asarray(estimate.value) - truth)
        assert np.all(off <= 4.5 * np.asarray(estimate.error) + 1e-12)
    assert float(found.log_z.error) < 0.05 and np.max(found.mean.error) < 0.1
    # Draws of spins have the same means.
    weights = np.asarray(found.weights / found.weights.sum())
    error = np.sqrt(np.sum(weights**2))
    assert np.all(np.abs(weights @ np.asarray(found.spins) - exact.mean) < 4.5 * error)
    assert set(np.unique(found.spins)) == {-1.0, 1.0}


def test_a_field_mixes_the_slower_the_stronger_it_couples():
    weak, strong = (
        tj.ebm.spin_moments(ising(square(), beta)[0], KEY, walkers=256, ramp=30, moves=200)
        for beta in (0.05, 0.6)
    )
    assert weak.doubt is None and float(weak.slowdown) < 3 < float(strong.slowdown) / 5
    assert strong.doubt is not None and "forgets itself in about" in strong.doubt


@pytest.mark.parametrize("name", ["lattice", "restricted"])
def test_the_law_of_the_field_is_that_of_the_spins(name):
    """By quadrature in one direction at a time: exp(-U) = sum over spins of the joint density."""
    model, _ = MODELS[name](0.4)
    field, (coupling, bias) = model.potential(), model.couplings_and_fields()
    shift = -np.linalg.eigvalsh(coupling)[0]
    root = np.asarray(field.root)
    np.testing.assert_allclose(root @ root.T, coupling + shift * np.eye(len(bias)), atol=1e-12)
    z = np.asarray(jax.random.normal(KEY, (len(bias),)))
    s = states(len(bias))
    joint = np.exp(-z @ z / 2 + s @ (bias + root @ z)).sum()
    np.testing.assert_allclose(field.energy(jnp.asarray(z), None), -np.log(joint), rtol=1e-10)
    offset = 0.5 * len(bias) * (shift + np.log(2 * np.pi))
    np.testing.assert_allclose(model.log_z_offset(), offset, rtol=1e-12)


def test_the_root_has_the_derivative_of_finite_differences():
    """By a random symmetric change; also of a matrix with equal eigenvalues."""
    change = np.asarray(jax.random.normal(KEY, (9, 9)))
    change = change + change.T
    change = change - np.diag(np.diag(change))
    root = lambda t: tj.ebm.Ising(jnp.asarray(square() + t * change), 0.1, 0.3).potential().root
    for at in (0.1, 0.0):  # without a change many eigenvalues are equal
        slope = jax.jacfwd(root)(at)
        if at:
            numeric = (root(at + 1e-6) - root(at - 1e-6)) / 2e-6
            np.testing.assert_allclose(slope, numeric, atol=1e-6)
        assert np.all(np.isfinite(slope))


def test_hidden_spins_are_summed_and_positions_drawn_exactly():
    """-ln sum over hidden spins, and <z | s> = R^T s, within 4.5 standard errors."""
    model, exact = machine(0.7)
    s = states(7)
    data = s[::8, :4]  # all states of the visible ones
    marginal = exact.p.reshape(16, 8).sum(1)
    energies = jax.vmap(model.data_energy)(jnp.asarray(data))
    np.testing.assert_allclose(np.exp(-energies - exact.log_z), marginal, rtol=1e-9)
    many = jnp.asarray(np.repeat(data[5:6], 4000, axis=0))
    z = model.draw_positions(KEY, many)
    field = model.potential()
    spins = np.asarray(jax.vmap(field.mean_spins)(z))  # of spins that are known: their own law
    conditional = exact.p.reshape(16, 8)[5] / marginal[5]
    hidden = conditional @ s[40:48, 4:]
    visible, below = data[5] @ field.root[:4], hidden @ field.root[4:]
    error = np.std(z, axis=0) / 4000**0.5
    assert np.all(np.abs(np.mean(z, axis=0) - visible - below) < 4.5 * error)
    assert spins.shape == (4000, 7)


@pytest.mark.parametrize("method", ["nonequilibrium", "divergence"])
def test_couplings_are_learned_from_spins(method):
    """From exact draws of a ring: the likelihood that the gradient climbs is the exact one."""
    exact = ising(ring(5), 0.5)[1]
    s = states(5)
    rows = jax.random.choice(KEY, len(s), (4000,), p=jnp.asarray(exact.p))
    data = jnp.asarray(s)[rows]
    methods = {
        "nonequilibrium": tj.ebm.Nonequilibrium(MOVE, walkers=512, witnesses=512),
        "divergence": tj.ebm.ContrastiveDivergence(MOVE),
    }
    start = tj.ebm.Ising(jnp.zeros((5, 5)), jnp.zeros(5))
    fit = tj.ebm.fit(
        start, data, optax.adam(0.02), KEY, method=methods[method], batch=512, steps=150
    )
    model: Any = fit.model
    coupling, field = map(np.asarray, model.couplings_and_fields())
    learned = Exact(coupling, field)
    best = np.mean(np.log(exact.p)[rows])
    mean = float(jnp.mean(jax.vmap(lambda x: -model.joint_energy(x))(data)))
    gap = best - (mean - learned.log_z)
    # 15 parameters of 4000 data: the maximum is above the truth by about 15 / 8000.
    assert -0.005 < gap < 0.01
    if method == "nonequilibrium":
        found = fit.log_likelihood(data)
        assert abs(float(found.value) - (mean - learned.log_z)) < 4.5 * float(found.error) + 0.01


BAD = {
    "shape": (lambda: tj.ebm.Ising(np.ones((2, 3))), r"shape \(2, 3\)"),
    "triangle": (lambda: tj.ebm.Ising([[0.0, 1.0], [0.0, 0.0]]), "is not symmetric"),
    "diagonal": (lambda: tj.ebm.Ising(np.eye(2)), "has a diagonal"),
    "beta": (lambda: tj.ebm.Ising(ring(3), beta=-1.0), "beta = -1"),
    "weights": (lambda: tj.ebm.RestrictedBoltzmann(np.ones(3)), "weights has shape"),
    "lattice": (lambda: tj.ebm.lattice((3, 1)), r"shape\[1\] = 1"),
    "adjusted": (
        lambda: tj.ebm.spin_moments(tj.ebm.Ising(ring(3)), KEY, move=tj.ebm.Moves(0.5, 2)),
        "adjusted=True",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_spin_model_is_refused(case):
    make, words = BAD[case]
    with pytest.raises(ValueError, match=words):
        make()


def test_data_that_are_no_spins_are_refused():
    model = tj.ebm.Ising(ring(3))
    fit = functools.partial(
        tj.ebm.fit, optimizer=optax.adam(0.1), key=KEY, batch=4, steps=1,
        method=tj.ebm.ContrastiveDivergence(MOVE),
    )  # fmt: skip
    with pytest.raises(ValueError, match="of bits x they are 2 x - 1"):
        fit(model, jnp.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"expected \(data, 3\)"):
        fit(model, jnp.ones((4, 2)))


def test_a_lattice_counts_each_bond_once():
    np.testing.assert_array_equal(tj.ebm.lattice((3, 3)), square())
    np.testing.assert_array_equal(tj.ebm.lattice((5,), 0.5), 0.5 * ring(5))
    np.testing.assert_array_equal(tj.ebm.lattice((2,)), [[0, 1], [1, 0]])
