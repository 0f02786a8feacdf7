"""`tj.check`: tries a potential of your own, and says in words what is wrong with it.

The idea of a command that diagnoses a user's model is that of bayeux (`debug`).
"""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from ._component import finite, pytree_of_floats
from ._tree import cast, dtype_of
from .potential import AbstractPotential

POINTS = 32  # around the template: half at a distance near 0.1, half near 1
SEED = 0  # of those points and directions: a diagnosis that changes from call to call helps nobody


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `ok` or not, and in `message` what was seen and the cure.

    A `warning` is legitimate (so it is `ok`) but seldom meant.
    """

    ok: bool
    name: str
    message: str
    warning: bool = False

    def __str__(self):
        mark = "warning" if self.warning else "ok" if self.ok else "WRONG"
        return f"{mark:8}{self.name}: {self.message}"


@dataclasses.dataclass(frozen=True)
class Report:
    """The findings of `tj.check`, in the order in which they were looked for; iterable."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; warnings do not count."""
        return all(finding.ok for finding in self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __str__(self):
        return "\n".join(str(finding) for finding in self.findings)


def check(potential: AbstractPotential, template: PyTree[Array], control: Any = 0.0) -> Report:
    """Try a potential on one sample and around it, and say in words what is wrong with it.

    Looked at, in this order: that the energy can be evaluated, repeated, traced, and is a finite
    scalar of the dtype of the position; that its gradient is finite and agrees with finite
    differences; that it can be batched; whether it depends on the control. What cannot be looked
    at because of an earlier finding is left out. The points come from a fixed seed.

    **Arguments:** `potential`, an instance; `template`, ONE position, an array `(dim,)` or any
    pytree; `control`, a number or `(k,)`, a value that the protocol will take.

    **Returns:** a `Report`; `print` it, or ask `report.ok`.

    **Raises:** ValueError for a template or a control that are not numbers.

    **Cost:** some hundred energies, and a few compilations.
    """
    if not isinstance(potential, AbstractPotential):
        return Report((wrong("type", not_a_potential(potential)),))
    template = pytree_of_floats(template, "template")
    dtype = dtype_of(template, "template")
    control = finite("control", control).astype(dtype)
    case = Case(cast(potential, dtype), template, control)
    findings: list[Finding] = []
    for look in (evaluates, repeats, traces, is_scalar, keeps_dtype, is_finite):
        finding = look(case)
        findings.append(finding)
        if not finding.ok and look is not keeps_dtype:
            return Report(tuple(findings))
    for look in (gradient_is_finite, gradient_is_right, batches, uses_control):
        finding = look(case)
        findings.append(finding)
        if look is gradient_is_finite and not finding.ok:
            break
    return Report(tuple(findings))


@dataclasses.dataclass(frozen=True)
class Case:
    """A potential and the points at which it is tried, in the dtype of the template."""

    potential: AbstractPotential
    template: PyTree[Array]
    control: Array

    @property
    def name(self) -> str:
        return type(self.potential).__name__

    def energy(self, x):
        return self.potential.energy(x, self.control)

    def points(self) -> list:
        """The template, then POINTS samples around it."""
        draw = np.random.default_rng(SEED)
        spreads = [0.1 if i < POINTS // 2 else 1.0 for i in range(POINTS)]
        shift = lambda s: jax.tree.map(
            lambda x: x + jnp.asarray(s * draw.standard_normal(x.shape), x.dtype), self.template
        )
        return [self.template] + [shift(s) for s in spreads]

    def first(self, compute: Callable, bad: Callable[[Any], bool]):
        """The first point where `compute` is bad, with its count; (None, 0) where none is.

        The template counts for itself: it is where a user's run starts.
        """
        hits = [x for x in self.points() if bad(compute(x))]
        return (hits[0], len(hits)) if hits else (None, 0)

    def where(self, x, hits: int) -> str:
        if x is self.template:
            return f"at the template {digits(x)}"
        return f"at {hits} of {POINTS} points near the template, as {digits(x)}"


def energy_at_point(potential: AbstractPotential, x, control):
    return potential.energy(x, control)


def right(name: str, message: str) -> Finding:
    return Finding(True, name, message)


def wrong(name: str, message: str) -> Finding:
    return Finding(False, name, message)


def not_a_potential(potential) -> str:
    if isinstance(potential, type) and issubclass(potential, AbstractPotential):
        return f"{potential.__name__} is a class: pass an instance, {potential.__name__}(...)"
    return (
        f"a {type(potential).__name__} is no potential: subclass tj.AbstractPotential with a "
        "method energy(self, x, control), or wrap a log density with tj.LogDensity(fn)"
    )


def evaluates(case: Case) -> Finding:
    """The energy raises nothing, asked for outside of any transformation."""
    try:
        case.energy(case.template)
    except Exception as error:  # whatever a user's program raises is the finding
        return wrong(
            "energy",
            f"{case.name}.energy raises {first_line(error)}; called as energy(x, control) with x "
            f"{shape_text(case.template)} and a control of shape {case.control.shape}: make it "
            "accept these, or check with the template and the control that it expects",
        )
    return right("energy", f"evaluates for x {shape_text(case.template)}")


def repeats(case: Case) -> Finding:
    """Repeated calls with the same x and control give the same energy."""
    a, b = (jax.tree.leaves(case.energy(case.template)) for _ in range(2))
    if len(a) != len(b) or not all(map(equal_results, a, b)):
        return wrong(
            "pure",
            "two calls with the same x and control give different energies: use no random "
            "numbers, counters or other state inside energy, only x, control and fields",
        )
    return right("pure", "the same call gives the same energy")


TRACING_CURES: tuple[tuple[type[Exception], str], ...] = (
    (
        jax.errors.TracerArrayConversionError,
        "a NumPy (np., math.) function met a traced value: use jax.numpy (jnp.) throughout",
    ),
    (
        jax.errors.TracerBoolConversionError,
        "Python's if, while, and, or, min, max on a traced value: use jnp.where, jnp.logical_and, "
        "jnp.minimum",
    ),
    (
        jax.errors.TracerIntegerConversionError,
        "a traced value as a Python index or range: use jnp.take or a static field",
    ),
    (
        jax.errors.ConcretizationTypeError,
        "float(), int(), .item() or a math. function on a traced value: use jax.numpy (jnp.) and "
        "leave values as arrays",
    ),
)


def traces(case: Case) -> Finding:
    """JAX can follow the program, and what it compiles gives the same number."""
    try:
        with jax.checking_leaks():
            # Fields are traced too, as in a run: `if self.barrier > 0` fails there.
            compiled = eqx.filter_jit(energy_at_point)(case.potential, case.template, case.control)
    except Exception as error:
        for kind, cure in TRACING_CURES:
            if isinstance(error, kind):
                return wrong("tracing", f"{case.name}.energy cannot be traced by JAX: {cure}")
        if "leak" in str(error).lower():
            return wrong(
                "tracing",
                "energy stores a traced value outside of itself (a list, a global, an attribute): "
                "return the energy only, and look at values with jax.debug.print",
            )
        return wrong(
            "tracing",
            f"{case.name}.energy works on plain arrays but raises when JAX traces it "
            f"({first_line(error)}): use jax.numpy operations only",
        )
    plain = case.energy(case.template)
    tolerance = 1e-3 if dtype_of(case.template) != jnp.float64 else 1e-6
    for a, b in zip(jax.tree.leaves(compiled), jax.tree.leaves(plain), strict=False):
        if not np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True):
            return wrong(
                "tracing",
                f"compiled, the energy is {digits(a)}, otherwise {digits(b)}: it depends on more "
                "than x, control and fields, which JAX reads only once; pass it as a field",
            )
    return right("tracing", "JAX can trace it")


def is_scalar(case: Case) -> Finding:
    shape = jax.eval_shape(case.energy, case.template)
    if not hasattr(shape, "shape"):
        return wrong(
            "scalar",
            f"{case.name}.energy returned a {type(shape).__name__}: return one scalar array"
            + (", is a return missing?" if shape is None else ""),
        )
    if shape.shape != ():
        return wrong(
            "scalar",
            f"{case.name}.energy returned shape {shape.shape} for one sample: sum over the "
            "coordinates with jnp.sum",
        )
    if not jnp.issubdtype(shape.dtype, jnp.floating):
        return wrong(
            "scalar",
            f"{case.name}.energy returned dtype {shape.dtype}: return a real floating number",
        )
    return right("scalar", "one number for one sample")


def keeps_dtype(case: Case) -> Finding:
    """float32 in, float32 out; float64 too where it is enabled."""
    precisions = {dtype_of(case.template), jnp.dtype("float32")}
    precisions.add(jnp.dtype(jnp.result_type(float)))  # float64 where it is enabled
    for dtype in sorted(precisions, key=str):
        potential, x, control = (
            cast(part, dtype) for part in (case.potential, case.template, case.control)
        )
        try:
            result = jax.eval_shape(partial(energy_at_point, potential), x, control).dtype
        except Exception as error:
            return wrong(
                "dtype",
                f"with {dtype} positions it raises {first_line(error)}: use no fixed dtype inside",
            )
        if result == dtype:
            continue
        cause = (
            "a NumPy array or a constant of that dtype raises the precision and slows every "
            "step: keep constants as Python floats or as fields, or write "
            "jnp.asarray(constant, x.dtype)"
            if jnp.finfo(result).bits > jnp.finfo(dtype).bits
            else "an astype or a fixed dtype inside loses digits: remove it, or use x.dtype"
        )
        return wrong("dtype", f"{dtype} positions give a {result} energy: {cause}")
    return right("dtype", "kept: " + ", ".join(sorted(map(str, precisions))))


def is_finite(case: Case) -> Finding:
    energy = jax.jit(case.energy)
    x, hits = case.first(energy, lambda value: not np.isfinite(value))
    if x is not None:
        return wrong(
            "finite",
            f"the energy is {float(energy(x))} {case.where(x, hits)}: check for log, division or "
            "powers outside of their domain; a bounded domain wants other coordinates (x = exp(y)) "
            "or a smooth wall, never infinity",
        )
    return right("finite", f"at the template and {POINTS} points around it")


def gradient_is_finite(case: Case) -> Finding:
    try:
        gradient = jax.jit(jax.grad(case.energy))
        x, hits = case.first(gradient, lambda g: not all_finite(g))
    except Exception as error:
        return wrong(
            "gradient",
            f"the energy has no reverse-mode gradient ({first_line(error)}): use operations that "
            "JAX can differentiate, jax.lax.scan instead of while_loop",
        )
    if x is not None:
        return wrong(
            "gradient",
            f"the gradient is not finite {case.where(x, hits)} though the energy is: a square "
            "root, norm, power or division at its edge; write jnp.sqrt(r2 + 1e-12), or mask the "
            "ARGUMENT with jnp.where before the function and not only its result",
        )
    return right("gradient", "finite at all points")


def gradient_is_right(case: Case) -> Finding:
    """Central differences at two steps, whose difference says how far to trust them.

    A kink between two points is legitimate, so that some disagreement is allowed.
    """
    energy, gradient = jax.jit(case.energy), jax.jit(jax.grad(case.energy))
    draw = np.random.default_rng(SEED + 1)
    dtype = dtype_of(case.template)
    step = float(jnp.finfo(dtype).eps) ** 0.25
    worst, failed = (0.0, 0.0), 0
    points = case.points()[1:]
    for x in points:
        direction = jax.tree.map(
            lambda leaf: jnp.asarray(draw.standard_normal(leaf.shape), dtype), x
        )

        def along(distance, x=x, direction=direction):
            return float(energy(jax.tree.map(lambda a, d: a + distance * d, x, direction)))

        def slope(h, along=along):
            return (along(h) - along(-h)) / (2 * h)

        rough, fine = slope(step), slope(step / 2)
        best = (4 * fine - rough) / 3
        parts = jax.tree.map(lambda g, d: float(jnp.sum(g * d)), gradient(x), direction)
        claimed = sum(jax.tree.leaves(parts))
        noise = 50 * float(jnp.finfo(dtype).eps) * (1 + abs(float(energy(x)))) / step
        allowed = 0.01 * (abs(claimed) + abs(best)) + 5 * abs(rough - fine) + noise
        if not abs(claimed - best) <= allowed:
            failed += 1
            worst = max(worst, (claimed, best), key=lambda pair: abs(pair[0] - pair[1]))
    if failed > len(points) // 4:
        return wrong(
            "differences",
            f"the gradient differs from finite differences at {failed} of {len(points)} points "
            f"({worst[0]:.4g} for {worst[1]:.4g}): look for jax.lax.stop_gradient, rounding, "
            "integers, jnp.argmax or a custom derivative; the force must be minus the slope of "
            "the energy",
        )
    return right("differences", "the gradient agrees with finite differences")


def batches(case: Case) -> Finding:
    points = case.points()
    try:
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *points)
        together = jax.jit(jax.vmap(case.energy))(stacked)
        jax.jit(jax.vmap(jax.grad(case.energy)))(stacked)
    except Exception as error:
        return wrong(
            "batch",
            f"jax.vmap over samples raises {first_line(error)}: write energy for ONE sample with "
            "jax.numpy operations, without callbacks",
        )
    alone = np.array([case.energy(x) for x in points])
    tolerance = 1e-3 if alone.dtype != np.float64 else 1e-8
    if not np.allclose(together, alone, rtol=tolerance, atol=tolerance * np.abs(alone).max()):
        return wrong(
            "batch",
            "a batch gives other energies than its samples one by one: energy must not look at "
            "the batch or keep state between samples",
        )
    return right("batch", "jax.vmap gives the energies of the single samples")


def uses_control(case: Case) -> Finding:
    try:
        slope = jax.jit(jax.grad(partial(energy_at_point, case.potential), argnums=1))
        slopes = np.array([slope(x, case.control) for x in case.points()])
    except Exception as error:
        return wrong(
            "control",
            f"the energy has no gradient in the control ({first_line(error)}): a protocol could "
            "not train; use operations that JAX can differentiate",
        )
    if not np.all(np.isfinite(slopes)):
        return wrong(
            "control",
            f"dU/dcontrol is not finite at control = {digits(case.control)}: a protocol could not "
            "train there; keep square roots and logarithms of the control away from their edge",
        )
    ignored = ~np.any(slopes != 0, axis=0)
    if not np.any(ignored):
        return right("control", "the energy depends on it")
    which = "the control"
    if ignored.ndim and not np.all(ignored):
        which = f"the components {np.flatnonzero(ignored).tolist()} of the control"
    return Finding(
        True,
        "control",
        f"{which} changes nothing at control = {digits(case.control)}, so that no protocol does "
        "work: fine for a fixed potential, else use the argument `control` in energy",
        warning=True,
    )


def equal_results(a, b) -> bool:
    """Equal, NaN included; anything that is no number is compared as it is."""
    if not np.issubdtype(np.asarray(a).dtype, np.inexact):
        return np.array_equal(a, b)
    return np.array_equal(a, b, equal_nan=True)


def all_finite(tree) -> bool:
    return all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(tree))


def first_line(error: Exception) -> str:
    """The error's type and the first line of what it says."""
    lines = str(error).strip().splitlines() or [""]
    text = lines[0] if len(lines[0]) <= 160 else lines[0][:157] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def shape_text(tree) -> str:
    found = jax.tree.map(lambda x: tuple(x.shape), tree)
    one = isinstance(tree, jax.Array)
    return f"of shape {found}" if one else f"of shapes {found}"


def digits(tree) -> str:
    if isinstance(tree, jax.Array):
        return np.array2string(np.asarray(tree), precision=3, threshold=6, separator=", ")
    return str(jax.tree.map(digits, tree))
