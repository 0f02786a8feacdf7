"""Where paths start: the equilibrium of the potential before the protocol begins."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._arguments import exceeds, instance, whole
from .._component import known, pytree_of_floats
from .._keys import Purpose, purpose_key
from .._tree import batch_of, cast, dtype_of, like_position
from ..execution import check_layout
from ..potential import at_path, batched_energy, sampler_path
from ..protocol import AbstractProtocol
from ..system import AbstractSystem, Overdamped, check_system
from .burn_in import COARSE, REACH, burn_in
from .pool import Pool
from .resolution import check_momenta
from .shapes import check_shapes, leaf_shapes
from .state import State, as_state, check_dynamics, dynamics_of


class Equilibrium(eqx.Module):
    """The equilibrium of the potential at the protocol's start, as the place to start from.

    Exact where that potential can sample itself (Gaussian, mixture, prior of an interpolation);
    then the template may be left out. Else by burn-in (`tj.BurnInReport` in the result).

    **Arguments:** `template`, ONE position: its shape, its dtype, and the first guess. An array, a
    list of numbers (one array), or a pytree of arrays; integers become floats.

    **Raises:** ValueError for a template that holds no real numbers, or integers beside floats.
    """

    template: PyTree[Array] | None = None

    def __check_init__(self):
        if self.template is not None:
            object.__setattr__(self, "template", as_position("template", self.template))


class Start(eqx.Module):
    """A start made ready outside of tracing: which of the four ways, and with what."""

    state: State | None = None  # given whole
    position: PyTree[Array] | None = None  # given; momenta are drawn
    template: PyTree[Array] | None = None  # to be drawn, in this shape
    sampler: tuple[Any, ...] | None = eqx.field(static=True, default=None)  # see sampler_path
    batch: int = eqx.field(static=True, default=0)
    pool: Pool | None = None  # draws of this very law, to take instead of a burn-in

    @property
    def burns_in(self) -> bool:
        """Whether it takes a burn-in to draw it."""
        return self.template is not None and self.sampler is None

    @property
    def dtype(self):
        position = self.template if self.state is None else self.state.position
        return dtype_of(self.position if position is None else position)


def as_position(name: str, value):
    """One position or a batch of them, every leaf in floats of one dtype.

    **Raises:** ValueError for anything else, with the argument's name.
    """
    position = pytree_of_floats(value, name)
    dtype_of(position, name)
    check_layout(position, name)
    return position


def outside(value):
    """The value of a schedule before the run; a constant is itself."""
    return value.initial if isinstance(value, AbstractProtocol) else value


def prepare_start(system: AbstractSystem, initial, batch: int | None) -> Start:
    """Decide how to start. Asks the potential for facts, so it wants concrete values.

    **Raises:** ValueError where there is nothing to start from, or `batch` contradicts it.
    """
    check_system(system)
    if batch is not None:
        batch = whole("batch", batch)
    if initial is Equilibrium:
        raise ValueError(
            "initial is the class Equilibrium itself: expected an instance, "
            "tj.Equilibrium(template)"
        )
    state = as_state(initial)
    if state is not None:
        cure = "pass its positions as initial=, and momenta are drawn anew"
        check_dynamics("initial", state.dynamics, system, cure)
        state = checked_state(state)
        return Start(state=state, batch=agreed_batch(batch, batch_of(state.position)))
    if initial is not None and not isinstance(initial, Equilibrium):
        position = as_position("initial", initial)
        size = batch_of(position, "initial")
        return Start(position=position, batch=agreed_batch(batch, size))
    if batch is None:
        raise ValueError(
            "batch = None: expected the number of paths, for example batch=1024 (or pass "
            "initial= positions with a batch axis)"
        )
    control, potential = system.protocol.initial, system.potential
    template = template_of(system, initial)
    if template is None:
        raise ValueError(
            f"nothing says what a position of {type(potential).__name__} looks like: pass "
            "initial=tj.Equilibrium(jnp.zeros(dim)), a template of ONE position, or positions"
        )
    sampler = sampler_path(potential, control, outside(system.bath.temperature))
    return Start(template=template, sampler=sampler, batch=batch)


def template_of(system: AbstractSystem, initial, name: str | None = None):
    """One position: that of a `tj.Equilibrium`, else what the potential says; None for neither.

    **Raises:** ValueError with a `name`, for anything else than a `tj.Equilibrium` or None.
    """
    check_system(system)
    if name is not None and initial is not None:
        instance(name, initial, Equilibrium, "tj.Equilibrium(template), or None")
    template = initial.template if isinstance(initial, Equilibrium) else None
    if template is None:
        template = system.potential.template(system.protocol.initial)
    return None if template is None else as_position("template", template)


def checked_state(state: State) -> State:
    """A state with momenta like its positions. **Raises:** ValueError for any other."""
    position = as_position("initial.position", state.position)
    batch_of(position, "initial.position")
    momentum = as_position("initial.momentum", state.momentum)
    if leaf_shapes(position) != leaf_shapes(momentum):
        raise ValueError(
            f"initial.momentum has the shape {leaf_shapes(momentum)} and initial.position "
            f"{leaf_shapes(position)}: expected one momentum for every coordinate"
        )
    return dataclasses.replace(state, position=position, momentum=momentum)


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
        potential = at_path(system.potential, start.sampler)
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
        energy, kt = energy_of(law_of_start(system))
        if start.pool is not None:
            position = start.pool.drawn(position_key, energy, start.batch, kt)
        else:
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
    return State(position, momentum, dynamics_of(system)), score, report


def law_of_start(system: AbstractSystem):
    """The ingredients of the law of positions at the start: potential, control, temperature."""
    return system.potential, system.protocol.initial, outside(system.bath.temperature)


def energy_of(law):
    """x -> U(x) of such a law, and its kT, without their gradients."""
    potential, control, temperature = stopped(law)
    return lambda x: potential.energy(x, control), temperature


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
    # Drawn from a potential in its fields: only the control is left to the score.
    if start.sampler and at_path(potential, start.sampler).reparametrized:
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
    """The system in the dtype of the start, its parts having been tried on one sample.

    **Raises:** ValueError for a system and a position that do not fit (`check_shapes`), and for
    momenta whose squares the dtype does not hold.
    """
    check_momenta(system, start.dtype)
    system = cast(system, start.dtype)
    if start.template is not None:
        sample = start.template
    else:
        batch = start.position if start.state is None else start.state.position
        sample = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), batch)
    check_shapes(system, sample)
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
