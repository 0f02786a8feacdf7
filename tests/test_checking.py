"""tj.check: one broken potential per finding, and silence for those that ship."""

import time
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj


class Written(tj.AbstractPotential):
    """A potential from a function (x, control) -> energy."""

    function: Callable = eqx.field(static=True)

    def energy(self, x, control):
        return self.function(x, control)


def examine(function, template=None, control: Any = 0.5):
    return tj.check(Written(function), jnp.zeros(2) if template is None else template, control)


def only_wrong(report):
    assert not report.ok
    (finding,) = [finding for finding in report if not finding.ok]
    return finding


GOOD = {
    "harmonic": (tj.Harmonic(2.0, control="center"), jnp.zeros(3), 0.5),
    "double_well": (tj.DoubleWell(4.0, 1.0), jnp.zeros(1), jnp.array([1.0, 0.2])),
    "sum": (tj.DoubleWell(4.0, 1.0) + 2.0 * tj.Harmonic(), jnp.ones(2), 0.5),
    "ramp": (
        tj.Interpolation(tj.Gaussian(jnp.zeros(2)), tj.GaussianMixture(jnp.eye(2))),
        jnp.zeros(2),
        0.3,
    ),
    "float32": (tj.Harmonic(2.0, control="center"), jnp.zeros(3, jnp.float32), 0.5),
    "pytree": (
        Written(lambda x, c: jnp.sum((x["a"] - c) ** 2) + jnp.sum(x["b"] ** 4)),
        {"a": jnp.zeros(()), "b": jnp.ones((2, 2))},
        0.0,
    ),
    "kinks": (Written(lambda x, c: jnp.sum(jnp.abs(x - c))), jnp.ones(2), 0.2),
    "large": (Written(lambda x, c: 1e6 + jnp.sum((x - c) ** 2)), jnp.ones(2), 0.2),
}


@pytest.mark.parametrize("name", GOOD)
def test_sound_potentials_pass_without_warning(name):
    report = tj.check(*GOOD[name])
    assert report.ok, str(report)
    assert not any(finding.warning for finding in report), str(report)
    assert len(report) == 10
    assert all(line.startswith("ok") for line in str(report).splitlines())


def test_kinks_are_told_from_wrong_gradients_in_float32():
    potential = Written(lambda x, c: jnp.sum(jnp.abs(x - c)) + jnp.sum(x**4))
    report = tj.check(potential, jnp.ones(2, jnp.float32), 0.2)
    assert report.ok, str(report)


def raises(x, control):
    raise RuntimeError("no table for this temperature\nsecond line")


BROKEN = {
    # name: (function, finding, words that must appear)
    "raises": (raises, "energy", "RuntimeError: no table for this temperature;"),
    "shape": (lambda x, c: x @ jnp.ones(3), "energy", "x of shape (2,)"),
    "random": (lambda x, c: np.random.default_rng().normal() + x[0], "pure", "random numbers"),
    "numpy": (lambda x, c: jnp.sum(np.sin(x)), "tracing", "use jax.numpy"),
    "branch": (lambda x, c: x[0] ** 2 if x[0] > 0 else -x[0], "tracing", "jnp.where"),
    "float": (lambda x, c: jnp.sum(x**2) * float(c), "tracing", "leave values as arrays"),
    "clock": (lambda x, c: jnp.sum(x) + time.perf_counter_ns(), "pure", "only x, control"),
    "vector": (lambda x, c: x**2, "scalar", "sum over the coordinates"),
    "nothing": (lambda x, c: None, "scalar", "is a return missing?"),
    "tuple": (lambda x, c: (x[0], x[1]), "scalar", "returned a tuple"),
    "integer": (lambda x, c: jnp.argmax(x), "scalar", "floating number"),
    "loses": (lambda x, c: jnp.sum((x - c).astype(jnp.float32) ** 2), "dtype", "loses digits"),
    "raises_precision": (
        lambda x, c: jnp.sum(np.array([1.0, 2.0]) * (x - c) ** 2),
        "dtype",
        "jnp.asarray(constant, x.dtype)",
    ),
    "log": (lambda x, c: jnp.sum(jnp.log(x) + c * x), "finite", "the template [0., 0.]"),
    "norm": (lambda x, c: jnp.sqrt(jnp.sum(x**2)) * c, "gradient", "1e-12"),
    "while": (
        lambda x, c: jax.lax.while_loop(lambda y: y > 1, lambda y: y / 2, jnp.sum(x**2)) * c,
        "gradient",
        "scan instead of while_loop",
    ),
    "stopped": (
        lambda x, c: jnp.sum(jax.lax.stop_gradient(x) ** 2) + c * x[0],
        "differences",
        "stop_gradient",
    ),
    "control_edge": (lambda x, c: jnp.sum(x**2) * jnp.sqrt(c - 0.5), "control", "not finite at"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_every_fault_has_its_finding_and_its_cure(name):
    function, where, words = BROKEN[name]
    finding = only_wrong(examine(function))
    assert finding.name == where
    assert words in finding.message
    assert "\n" not in finding.message
    assert str(finding).startswith("WRONG")


def test_a_domain_met_only_near_the_template_is_found():
    finding = only_wrong(examine(lambda x, c: jnp.sum(c * x - jnp.log(x)), jnp.full(2, 0.1)))
    assert finding.name == "finite"
    assert "points near the template" in finding.message


def test_callbacks_that_cannot_be_batched():
    def function(x, control):
        shape = jax.ShapeDtypeStruct((), x.dtype)
        outside = jax.pure_callback(lambda c: np.asarray(c), shape, jax.lax.stop_gradient(control))
        return jnp.sum(x**2) + outside

    finding = only_wrong(
        examine(lambda x, c: jnp.sum(x**2) + function(jax.lax.stop_gradient(x), c))
    )
    assert finding.name in ("differences", "batch")


def test_a_stored_tracer_is_found():
    class Remembers(tj.AbstractPotential):
        seen: ClassVar[list] = []

        def energy(self, x, control):
            self.seen.append(x)
            return jnp.sum((x - control) ** 2)

    finding = only_wrong(tj.check(Remembers(), jnp.zeros(2), 0.5))
    assert finding.name == "tracing"
    assert "jax.debug.print" in finding.message


def test_a_branch_on_a_field_is_found():
    class Branches(tj.AbstractPotential):
        barrier: float = 1.0

        def energy(self, x, control):
            return jnp.sum((x - control) ** 2) * (self.barrier if self.barrier > 0 else 1.0)

    finding = only_wrong(tj.check(Branches(), jnp.zeros(2), 0.5))
    assert finding.name == "tracing"
    assert "jnp.where" in finding.message


def test_an_ignored_control_is_a_warning_and_no_error():
    report = tj.check(tj.Harmonic(1.0), jnp.zeros(2), 0.5)
    assert report.ok
    (finding,) = [finding for finding in report if finding.warning]
    assert "the control changes nothing" in finding.message
    report = examine(lambda x, c: jnp.sum((x - c[0]) ** 2), control=jnp.array([1.0, 2.0]))
    assert report.ok
    assert "components [1]" in str(report)


def test_what_is_no_potential():
    things: list[tuple[Any, str]] = [(Written, "pass an instance")]
    things.append((lambda x: x, "subclass tj.AbstractPotential"))
    for thing, words in things:
        finding = only_wrong(tj.check(thing, jnp.zeros(2)))
        assert finding.name == "type"
        assert words in finding.message


def test_a_template_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="template = 'origin': expected real numbers"):
        tj.check(tj.Harmonic(1.0), "origin")
