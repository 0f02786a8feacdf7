"""Computations that share programs give what each would give alone, and fail alone."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import thermojax.execution.together as module
from thermojax._calls import Call, alone
from thermojax.execution.together import at_once, signature, together


@eqx.filter_jit
def power(x, key, degree):
    return x**degree + jax.random.normal(key, (3,))


def refused(x):
    raise ValueError("nobody computes this")


def computation(x, key, degree=2, calls=2):
    x = jnp.full(3, x)
    for number in range(calls):
        x = yield Call(power, (x, jax.random.fold_in(key, number), degree), own=first)
    if not np.all(np.isfinite(x)):
        raise ValueError("diverged")
    return x


def first(arguments):
    return arguments[0]


def test_equal_calls_are_one_program(monkeypatch):
    key = jax.random.key(0)
    starts = [0.5, 1.5, jnp.nan, 0.7, 0.9]
    make = lambda: [
        computation(x, key, 3 if i == 4 else 2, calls=3 if i == 3 else 2)
        for i, x in enumerate(starts)
    ]
    expected: list[Any] = [alone(one) if i != 2 else None for i, one in enumerate(make())]
    sizes, joint = [], module.joint
    monkeypatch.setattr(
        module, "joint", lambda f, common, own: sizes.append(len(own)) or joint(f, common, own)
    )
    found: list[Any] = together(make())
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        if i != 2:
            np.testing.assert_allclose(a, b, rtol=1e-6)
    assert isinstance(found[2], ValueError) and str(found[2]) == "diverged"
    # Twice the four of one degree; then one of them is left over, and one was never like them.
    assert sizes == [4, 4]
    # Other keys: noise of its own for each.
    keys = [jax.random.key(i) for i in range(3)]
    alone_ = [alone(computation(1.0, k)) for k in keys]
    joined: list[Any] = together([computation(1.0, k) for k in keys])
    for a, b in zip(joined, alone_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_what_is_the_same_for_all_is_computed_once():
    key = jax.random.key(0)
    call = Call(power, (jnp.ones(3), key, 2))
    first, second = at_once([call, Call(power, (jnp.ones(3), jax.random.key(0), 2))])
    assert first is second


def test_errors_go_to_those_who_asked():
    """A program that nobody can compute together is tried for each, and only those fail."""

    def asking(x):
        try:
            return (yield Call(refused, (jnp.full(2, x),)))
        except ValueError as error:
            return f"refused: {error}"

    assert alone(asking(1.0)) == "refused: nobody computes this"
    key = jax.random.key(0)
    found: list[Any] = together([asking(1.0), asking(2.0), computation(1.0, key)])
    assert found[0] == found[1] == "refused: nobody computes this"
    np.testing.assert_allclose(found[2], alone(computation(1.0, key)))


def stop(*arguments):
    raise KeyboardInterrupt


def test_ctrl_c_reaches_all():
    closed = []

    def asking(function):
        try:
            yield Call(function, (jnp.ones(3), jax.random.key(0), 2))
            yield Call(stop, ())
        finally:
            closed.append(function)

    found = together([asking(power), asking(power), asking(power)])
    assert all(isinstance(one, KeyboardInterrupt) for one in found) and len(closed) == 3


def test_signatures():
    assert signature({"a": jnp.ones(2), "b": 1}) == signature({"a": jnp.zeros(2), "b": 1})
    for other in ({"a": jnp.zeros(3), "b": 1}, {"a": jnp.zeros(2), "b": 2}, {"a": jnp.zeros(2)}):
        assert signature(other) != signature({"a": jnp.ones(2), "b": 1})
    assert signature([1]) != signature([True])
