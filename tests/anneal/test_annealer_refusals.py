"""Annealers refuse what does not fit, in one sentence with the cure."""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false

from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

import thermojax as tj

KEY = jax.random.key(0)


def log_density(x):
    return -0.5 * jnp.sum(x**2)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no template": (dict(template=None), "pass template=, ONE position"),
    "target": (dict(target="text"), "target = 'text': expected a potential"),
    "no target": (dict(target=[]), "target is empty"),
    "vector": (dict(target=lambda x: x), "expected a scalar of one position"),
    "base": (dict(base="normal"), "base = 'normal': expected a tj.anneal.DiagonalBase"),
    "dimension": (
        dict(base=tj.anneal.DiagonalBase(2)),
        "the base has 2 coordinates and the target 3",
    ),
    "steps": (dict(steps=0), "steps = 0: expected a positive whole number"),
    "dt": (dict(dt=-0.1), "dt = -0.1: expected positive numbers"),
    "dts": (dict(dt=[0.1, 0.2]), r"dt has shape \(2,\): expected one number, or \(4,\)"),
    "mass": (dict(mass=jnp.ones(2)), r"mass has shape \(2,\): expected one number, or \(3,\)"),
    "drive": (dict(drive="linear"), "drive is a str: expected a tj.anneal.LinearDrive"),
    "width": (dict(drive=tj.anneal.LinearDrive(2)), "the drive does not take the 3 coordinates of"),
    "integrator": (dict(integrator=tj.QUICSORT()), "integrator is a QUICSORT: expected tj.OBABO"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_parts_are_refused_in_words(case):
    given, words = BAD[case]
    given = dict(base=None, target=log_density, steps=4, template=jnp.zeros(3)) | given
    base, target = given.pop("base"), given.pop("target")
    with pytest.raises(ValueError, match=words):
        tj.anneal.Annealer(base, target, **given)


def test_bad_calls_are_refused_in_words():
    a = tj.anneal.Annealer(None, log_density, steps=4, template=jnp.zeros(3), integrator=tj.BAOAB())
    for call, words in (
        (lambda: a.loss(KEY, 8, "kl"), "objective = 'kl': expected"),
        (lambda: a.loss(KEY, 8, "detached"), "needs the density of a step, which BAOAB"),
        (lambda: a.run(0, 8), "key must be a typed key"),
        (lambda: a.run(KEY, 8, resample=2.0), "resample = 2.0: expected a share"),
        (lambda: a.reverse(KEY, jnp.zeros((5, 2))), "samples have the shape"),
        (lambda: a.replace(base=tj.anneal.DiagonalBase(2)), "the base has 2 coordinates"),
        (lambda: tj.anneal.fit(a, None, KEY, batch=8, steps=2), "optimizer is None: expected"),
        (lambda: tj.anneal.fit(a, optax.adam(0.1), KEY, batch=1, steps=2), "batch = 1"),
        (lambda: tj.anneal.DenseBase(jnp.zeros(2), -jnp.eye(2)), "positive definite"),
        (lambda: tj.anneal.DiagonalBase(jnp.zeros(2), jnp.ones(3)), "scale has shape"),
        (lambda: tj.anneal.two_sided(a, a), "there is an? Annealer: expected"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
