"""A start along the slowest modes: what a few products tell, and the time that it saves."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import thermojax as tj
from thermojax.linalg.device.spectrum import spectrum_of

KEY = jax.random.key(9)
DIM = 60
RANDOM = np.random.default_rng(4)
VECTORS = np.linalg.qr(RANDOM.normal(size=(DIM, DIM)))[0]
# Three slow modes, far from all others.
VALUES = np.concatenate([[1.0, 2.0, 3.0], np.linspace(40.0, 100.0, DIM - 3)])
A = (VECTORS * VALUES) @ VECTORS.T
B = RANDOM.normal(size=DIM)
X = np.linalg.solve(A, B)


def test_all_products_find_all_modes():
    found = tj.linalg.slow_modes(A, KEY, products=DIM)
    np.testing.assert_allclose(found.values, VALUES, rtol=1e-9)
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(DIM), atol=1e-9)
    np.testing.assert_allclose(found.mean(B), X, rtol=1e-8)
    assert found.products == DIM + 2 and found.highest == pytest.approx(100.0)


def test_residuals_are_those_of_the_vectors():
    """By products of the matrix itself; the Ritz values are above the eigenvalues."""
    found = tj.linalg.slow_modes(lambda x: jnp.asarray(A) @ x, KEY, products=20, modes=5,
                                 first=np.ones(DIM))  # fmt: skip
    images = A @ np.asarray(found.vectors)
    residuals = np.linalg.norm(images - found.vectors * found.values, axis=0)
    np.testing.assert_allclose(found.residuals, residuals, atol=1e-9)
    assert found.vectors.shape == (DIM, 5)
    assert np.all(found.values >= VALUES[:5] - 1e-9)


@pytest.mark.parametrize("matrix", [np.eye(7), np.diag([1.0, 1.0, 5.0, 5.0, 5.0])])
def test_equal_eigenvalues(matrix):
    """The Krylov space ends early, and begins anew."""
    dim = len(matrix)
    for first in (None, np.eye(dim)[1]):
        found = tj.linalg.slow_modes(matrix, KEY, products=dim, first=first)
        np.testing.assert_allclose(found.mean(np.ones(dim)), 1 / np.diag(matrix), rtol=1e-12)
    spectrum = spectrum_of(lx.MatrixLinearOperator(jnp.asarray(matrix)), KEY)
    assert spectrum.low == pytest.approx(1.0, rel=1e-9)
    assert spectrum.high == pytest.approx(np.max(matrix), rel=1e-9)


def test_from_b_it_is_conjugate_gradients():
    """Their iterate after n products, by the textbook recursion."""
    x, residual = np.zeros(DIM), B.copy()
    direction = residual.copy()
    for _ in range(6):
        step = residual @ residual / (direction @ A @ direction)
        x, fresh = x + step * direction, residual - step * A @ direction
        direction = fresh + (fresh @ fresh) / (residual @ residual) * direction
        residual = fresh
    found = tj.linalg.slow_modes(A, KEY, products=6, first=B)
    np.testing.assert_allclose(found.mean(B), x, rtol=1e-8)


@pytest.mark.slow
def test_a_prepared_device_waits_for_the_fast_modes_alone():
    """Steps from the prepared law: what is left of the start is as the exact law says, and far
    less than from a plain start.
    """
    slow = tj.linalg.slow_modes(A, KEY, products=20, modes=3)
    assert np.all(slow.residuals < 0.2 * slow.values)
    time, batch = 0.05, 4000
    bath = tj.Bath()
    coupled = tj.Overdamped(tj.Harmonic(A, X), tj.Constant(), bath)
    prepared = tj.Overdamped(slow.prepared(B), tj.Constant(), bath)
    chain = tj.start(prepared, KEY, batch=batch)
    chain = tj.switch(chain, prepared, coupled)
    chain = tj.advance(coupled, chain, dt=time / 40, steps=40)
    decay = VECTORS @ (np.exp(-VALUES * time)[:, None] * VECTORS.T)
    bias = decay @ (np.asarray(slow.mean(B)) - X)
    x = np.asarray(chain.position)
    error = x.std(axis=0) / np.sqrt(batch)
    assert np.max(np.abs(x.mean(axis=0) - X - bias) / error) < 4.5
    assert np.linalg.norm(bias) < 0.1 * np.linalg.norm(decay @ X)

    # Its covariance too: with V the slow vectors, (1 - V V^T) / rest + V / values V^T at first.
    vectors = np.asarray(slow.vectors)
    before = np.eye(DIM) / slow.highest
    before = before + (vectors * (1 / np.asarray(slow.values) - 1 / slow.highest)) @ vectors.T
    after = np.linalg.inv(A) + decay @ (before - np.linalg.inv(A)) @ decay
    y = x - x.mean(axis=0)
    found, spread = np.cov(y.T), np.sqrt((np.outer(*[np.diag(after)] * 2) + after**2) / batch)
    assert np.max(np.abs(found - after) / spread) < 5.0
    # What the coupling of the prepared device has cost, by definition.
    work = 0.5 * np.trace(A @ before) - 0.5 * DIM + 0.5 * (mean := slow.mean(B)) @ A @ mean
    work = work - X @ A @ np.asarray(mean) + 0.5 * X @ A @ X
    measured = np.asarray(chain.ledger.work)
    assert abs(measured.mean() - work) < 4.5 * measured.std() / np.sqrt(batch)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(products=0), "products = 0"),
        (dict(modes=0), "modes = 0"),
        (dict(first=np.zeros(DIM)), "first is zero"),
        (dict(first=np.ones(3)), r"expected \(60,\)"),
        (dict(A=A + np.eye(DIM, k=1)), "not symmetric"),
        (dict(A=-A), "indefinite"),
        (
            dict(A=np.diag(np.repeat([0.0, 1.0, 2.0], DIM // 3))),
            "singular to rounding.*multiple of the identity",
        ),
        (dict(A=lambda x: x), "pass a lineax operator, or first="),
        (dict(A=1j * A), "complex"),
    ],
)
def test_refusals(change, words):
    with pytest.raises(ValueError, match=words):
        tj.linalg.slow_modes(**dict(A=A, key=KEY) | change)
    with pytest.raises(ValueError, match=r"b has shape \(3,\): expected \(60,\)"):
        tj.linalg.slow_modes(A, KEY, products=4).mean(np.ones(3))
