"""A program by its numbers is the program: values, and what it refuses."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from thermojax.execution.gpu.numbers import Numbers, Unknown, entries, has_rule, numbers
from thermojax.execution.gpu.program import prepared

KEY = jax.random.key(1)
MATRIX = jnp.array([[2.0, 0.5, 0.1], [0.5, 1.5, -0.2], [0.1, -0.2, 1.0]])


def by_numbers(function, x, row=None, most=10_000):
    """`function` of every sample of x, (batch, n), by its numbers: a vector for each path."""
    program = jax.make_jaxpr(function)(x[0])
    program, read = prepared(program, lambda constant: row in np.shape(constant)[-1:], has_rule)
    given = entries((), lambda _: x) if row else entries(x.shape[1:], lambda at: x[:, at])
    known = [entries((), lambda _, c=c: c[None]) for c in read]
    (found,) = Numbers(most, row).evaluated(program, known, [given])
    shape = jax.eval_shape(function, x[0]).shape
    if row and shape[-1:] == (row,):
        return jnp.broadcast_to(found[()], x.shape)
    one = lambda value: jnp.broadcast_to(value, len(x))
    return jnp.stack([one(value) for value in found.flat], 1).reshape(len(x), *shape)


FUNCTIONS = {
    "moves": lambda x: jnp.concatenate([x[::-1], jnp.pad(x, 1), jnp.roll(x, 1), x[None].T[0]]),
    "picks": lambda x: x[jnp.array([2, 0, 2])] * jax.lax.dynamic_slice(x, (1,), (1,)),
    "folds": lambda x: jnp.stack([jnp.sum(x), jnp.max(x), jnp.min(x), jnp.mean(x**3), jnp.var(x)]),
    "products": lambda x: jnp.outer(x, x) @ MATRIX @ x + jnp.einsum("ij,j->i", MATRIX, x),
    "solves": lambda x: jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(MATRIX), True), x),
    "chooses": lambda x: jnp.where(x > 0.1, jnp.tanh(x), jnp.clip(x, -0.5, 0.5)),
    "calls": lambda x: jax.nn.logsumexp(jax.nn.softplus(jax.checkpoint(jnp.sin)(x)))[None],
    "derivative": jax.grad(lambda x: jnp.prod(jnp.stack([x[0], x[1] ** 2 + x[2]])) + x @ x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numbers(name):
    x = jax.random.normal(KEY, (7, 3))
    found = by_numbers(FUNCTIONS[name], x)
    np.testing.assert_allclose(found, jax.vmap(FUNCTIONS[name])(x), rtol=1e-12, atol=1e-14)


ROW_FUNCTIONS = {
    "each": lambda x: jnp.sin(x) * jnp.sum(x) + jnp.arange(8.0),
    "folds": lambda x: jnp.max(x) + jnp.sum(x**2) + x @ jnp.cos(x),
    "constants": lambda x: x / (1 + jnp.asarray(np.arange(8.0) + 0.5)),
    "derivative": jax.grad(lambda x: jnp.log(jnp.sum(jnp.cosh(x))) + x @ x),
}


@pytest.mark.parametrize("name", ROW_FUNCTIONS)
def test_rows_stay_whole(name):
    x = jax.random.normal(KEY, (7, 8))
    found = by_numbers(ROW_FUNCTIONS[name], x, row=8, most=100)
    np.testing.assert_allclose(found, jax.vmap(ROW_FUNCTIONS[name])(x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("options", [*itertools.product([False, True], repeat=4)])
def test_triangular_solve(options):
    names = ("left_side", "lower", "transpose_a", "unit_diagonal")
    options = dict(zip(names, options, strict=True), conjugate_a=False)
    right = jax.random.normal(KEY, (3, 2) if options["left_side"] else (2, 3))
    found = Numbers(1000).substituted(numbers(MATRIX), numbers(right), **options)
    wanted = jax.lax.linalg.triangular_solve(MATRIX, right, **options)
    np.testing.assert_allclose(np.array(found.tolist(), float), wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("function", "row", "most"),
    [
        (lambda x: jax.lax.fori_loop(0, 2, lambda i, y: y * 2, x), None, 100),  # a loop
        (lambda x: jnp.linalg.inv(jnp.outer(x, x)), None, 100),  # of the sample itself
        (lambda x: x[jnp.argmax(x)], None, 100),  # a place that is not known
        (lambda x: jnp.sort(x), None, 100),
        (lambda x: jnp.outer(x, x), None, 10),  # too many operations
        (lambda x: jnp.roll(x, 1), 8, 100),  # within a row
        (lambda x: x[2:4], 8, 100),
        (lambda x: jnp.outer(x, x), 8, 100),
    ],
)
def test_what_has_no_rule(function, row, most):
    with pytest.raises(Unknown):
        by_numbers(function, jnp.ones((5, 8)), row, most)
