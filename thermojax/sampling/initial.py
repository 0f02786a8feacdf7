"""Where paths start: the equilibrium of the potential before the protocol begins."""

from __future__ import annotations

import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._arguments import exceeds
from .._component import floating, known
from .._keys import Purpose, purpose_key
from .._tree import batch_of, cast, dtype_of, like_position
from ..potential import batched_energy
from ..protocol import AbstractProtocol
from ..system import AbstractSystem, Overdamped
from .burn_in import COARSE, REACH, burn_in
from .resolution import check_momenta
from .state import State, as_state


class Equilibrium(eqx.Module):
    """The equilibrium of the potential at the protocol's start, as the place to start from.

    Exact where that potential can sample itself (Gaussian, mixture, prior of an interpolation);
    then the template may be left out. Else by burn-in (`tj.BurnInReport` in the result).

    **Arguments:** `template`, ONE position: its shape, its dtype, and the first guess.
    """

    template: PyTree[Array] | None = None


class Start(eqx.Module):
    """A start made ready outside of tracing: which of the four ways, and with what."""

    state: State | None = None  # given whole
    position: PyTree[Array] | None = None  # given; momenta are drawn
    template: PyTree[Array] | None = None  # to be drawn, in this shape
    sampler: tuple[str, ...] | None = eqx.field(static=True, default=None)
    batch: int = eqx.field(static=True, default=0)

    @property
    def dtype(self):
        position = self.template if self.state is None else self.state.position
        return dtype_of(self.position if position is None else position)


def outside(value):
    """What a schedule holds before the run; a constant is itself."""
    return value.initial if isinstance(value, AbstractProtocol) else value


def prepare_start(system: AbstractSystem, initial, batch: int | None) -> Start:
    """Decide how to start. Asks the potential for facts, so it wants concrete values.

    **Raises:** ValueError where there is nothing to start from, or `batch` contradicts it.
    """
    state = as_state(initial)
    if state is not None:
        return Start(state=state, batch=agreed_batch(batch, batch_of(state.position)))
    if initial is not None and not isinstance(initial, Equilibrium):
        position = jax.tree.map(floating, initial)
        size = batch_of(position)
        return Start(position=position, batch=agreed_batch(batch, size))
    if batch is None or batch < 1:
        raise ValueError(
            f"batch = {batch}: expected the number of paths, for example batch=1024 (or pass "
            "initial= positions with a batch axis)"
        )
    control, potential = system.protocol.initial, system.potential
    template = template_of(system, initial)
    if template is None:
        raise ValueError(
            f"nothing says what a position of {type(potential).__name__} looks like: pass "
            "initial=tj.Equilibrium(jnp.zeros(dim)), a template of ONE position, or positions"
        )
    sampler = potential.sampled_by(control, outside(system.bath.temperature))
    return Start(template=template, sampler=sampler, batch=batch)


def template_of(system: AbstractSystem, initial):
    """One position: that of a `tj.Equilibrium`, else what the potential says; None for neither."""
    template = initial.template if isinstance(initial, Equilibrium) else None
    if template is None:
        template = system.potential.template(system.protocol.initial)
    return jax.tree.map(floating, template)


def agreed_batch(batch: int | None, size: int) -> int:
    if batch is not None and batch != size:
        raise ValueError(
            f"batch = {batch}, but initial holds {size} samples: leave batch out or make them agree"
        )
    return size


def draw_start(
    system: AbstractSystem, key: PRNGKeyArray, start: Start, antithetic: bool = False
) -> tuple[State, Any, Any]:
    """The state to start from, its score weights `(batch,)`, and the burn-in report or None.

    With `antithetic` the samples 2j and 2j + 1 lie opposite to each other: their momenta, and their
    positions where these are drawn from a potential that knows what is opposite.
    """
    control, temperature = system.protocol.initial, outside(system.bath.temperature)
    report = None
    position_key = purpose_key(key, Purpose.POSITION)
    if start.state is not None:
        position = start.state.position
    elif start.position is not None:
        position = start.position
    elif start.sampler is not None:
        potential = system.potential
        for name in start.sampler:
            potential = getattr(potential, name)
        inner = control if start.sampler == () else None
        mirror = potential.opposite if antithetic else lambda x, control: None
        paired = jax.eval_shape(mirror, start.template, inner) is not None
        size = start.batch // 2 if paired else start.batch
        position = potential.sample(position_key, inner, temperature, size, start.template)
        if paired:
            other = jax.vmap(lambda x: mirror(x, inner))(position)
            position = alternating(position, other)
        if not potential.reparametrized:
            position = jax.lax.stop_gradient(position)
    else:
        frozen, c, kt = stopped((system.potential, control, temperature))
        energy = lambda x: frozen.energy(x, c)
        position, report = burn_in(position_key, energy, start.template, start.batch, kt)
    score = score_weight(system, position, start)
    if start.state is not None:
        return start.state, score, None
    momentum_key = purpose_key(key, Purpose.MOMENTUM)
    if antithetic:
        momentum = draw_momentum(system, momentum_key, jax.tree.map(lambda x: x[::2], position))
        momentum = alternating(momentum, jax.tree.map(jnp.negative, momentum))
    else:
        momentum = draw_momentum(system, momentum_key, position)
    return State(position, momentum), score, report


def alternating(first, second):
    """Two batches as one, their samples in turns."""
    weave = lambda a, b: jnp.stack([a, b], axis=1).reshape(-1, *a.shape[1:])
    return jax.tree.map(weave, first, second)


def equilibrium_positions(system: AbstractSystem, key: PRNGKeyArray, batch: int, initial=None):
    """`batch` positions from the equilibrium before the protocol begins; warns as a run does."""
    start = prepare_start(system, initial, batch)
    system = checked_start(system, start)
    state, _, report = draw(system, key, start)
    warn_burn_in(report, system.potential)
    return state.position


@eqx.filter_jit
def draw(system: AbstractSystem, key: PRNGKeyArray, start: Start):
    return draw_start(system, key, start)


def stopped(tree):
    """`tree` without its gradient; what is no array passes."""
    return jax.tree.map(lambda x: jax.lax.stop_gradient(x) if eqx.is_array(x) else x, tree)


def score_weight(system: AbstractSystem, position, start: Start):
    """-beta (U(x0) - stop_gradient U(x0)) for the part of the law that the draw does not carry."""
    control, temperature = system.protocol.initial, outside(system.bath.temperature)
    size = batch_of(position)
    if start.template is None or start.sampler == ():
        potential = system.potential
        if start.template is None or potential.reparametrized:
            return jnp.zeros(size, dtype_of(position))
    else:
        potential = system.potential
    x = jax.lax.stop_gradient(position)
    if start.sampler:  # drawn along the path of a part: only the control is left to the score
        inner = potential
        for name in start.sampler:
            inner = getattr(inner, name)
        if inner.reparametrized:
            potential, temperature = stopped((potential, temperature))
    exponent = -batched_energy(potential, x, control) / temperature
    return exponent - jax.lax.stop_gradient(exponent)


def draw_momentum(system: AbstractSystem, key: PRNGKeyArray, position):
    """Maxwell-Boltzmann momenta: N(0, m kT), or N(0, kT) in the overdamped units."""
    temperature = outside(system.bath.temperature)
    mass = 1.0 if isinstance(system, Overdamped) else outside(system.bath.mass)
    structure = jax.tree.structure(position)
    keys = structure.unflatten(jax.random.split(key, structure.num_leaves))
    return jax.tree.map(
        lambda k, x, m: jnp.sqrt(temperature * m) * jax.random.normal(k, x.shape, x.dtype),
        keys,
        position,
        like_position(mass, position),
    )


def checked_start(system: AbstractSystem, start: Start) -> AbstractSystem:
    """The system in the dtype of the start, the energy having been tried on one sample.

    **Raises:** ValueError for a potential that is not scalar, or a position it cannot take, and for
    momenta whose squares the dtype does not hold.
    """
    check_momenta(system, start.dtype)
    system = cast(system, start.dtype)
    if start.template is not None:
        sample = start.template
    else:
        whole = start.position if start.state is None else start.state.position
        sample = jax.tree.map(lambda x: x[0], whole)
    control = system.protocol.initial
    shape = jax.eval_shape(system.potential.energy, sample, control)
    name = type(system.potential).__name__
    if not hasattr(shape, "shape") or shape.shape != ():
        got = getattr(shape, "shape", type(shape).__name__)
        raise ValueError(
            f"{name}.energy returned shape {got} for one sample: expected a scalar; sum over the "
            "coordinates"
        )
    if system.drive is not None:
        drive = jax.eval_shape(system.drive, sample, control)
        if jax.tree.map(jnp.shape, drive) != jax.tree.map(jnp.shape, sample):
            raise ValueError("drive(x, control) must return a force of the shape of one sample x")
    return system


def warn_burn_in(report, potential) -> bool:
    """Say in words when a burn-in has not converged; silent while tracing. Whether it was said."""
    if report is None or known(report.converged) is None or bool(report.converged):
        return False
    numbers = {
        "acceptance": f"{float(report.acceptance):.2f}",
        "lowest effective share": f"{float(report.lowest_ess):.2g}",
        "drift": f"{float(report.drift):.1f} standard errors",
        "reach": f"{float(report.reach):.2g}",
        "ln Z": f"{float(report.log_normalizer):.6g} ± {float(report.log_normalizer_error):.2g}",
    }
    found = ", ".join(f"{name} {value}" for name, value in numbers.items())
    if exceeds(report.rounding, COARSE):
        cure = (
            f"its energies are rounded to {float(report.rounding):.2g} kT, subtract their constant "
            "or use float64 (jax.config.update('jax_enable_x64', True))"
        )
    elif exceeds(report.reach, REACH):
        cure = (
            "its samples spread as far as they were let, as where the energy does not bound every "
            "coordinate and there is no equilibrium; confine them, pass a better template to "
            "tj.Equilibrium, or your own positions as initial="
        )
    else:
        cure = "pass a better template to tj.Equilibrium, or your own positions as initial="
    warnings.warn(
        f"the burn-in of {type(potential).__name__} has not converged ({found}): {cure}",
        stacklevel=3,
    )
    return True
