"""A driven Langevin system: potential + protocol + bath, and a drive where there is one."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Gt
from jaxtyping import Array, PyTree

from ._arguments import flag, function, instance
from ._component import (
    AbstractComponent,
    are_numbers,
    known,
    positive,
    pytree_of_floats,
    require,
    shown,
)
from ._tree import leaf_shapes
from .potential import AbstractPotential, require_potential
from .protocol import AbstractProtocol, Constant, Reversed, reversed_in_time

# Numbers, schedules or pytrees of them; the note is read where a config is checked.
PositiveAny: TypeAlias = Annotated[Any, Gt(0)]


class Bath(AbstractComponent):
    r"""The heat bath of m dv = -grad U dt - gamma v dt + sqrt(2 gamma kT) dW, with k_B = 1.

    **Arguments:** `temperature` kT (energy), `friction` gamma (energy time / length^2: the drag
    coefficient, not a rate), `mass`. Friction and mass are numbers, arrays that broadcast against
    one sample (per coordinate), or pytrees like the position. Each of the three may be a protocol
    (`tj.Linear(2.0, 1.0, duration)`): a schedule that shares the duration of the control.

    **Raises:** ValueError, which names the argument, for a value that is not positive, or a
    temperature that is not one number.
    """

    temperature: Any
    friction: Any
    mass: Any

    def __init__(
        self, temperature: PositiveAny = 1.0, friction: PositiveAny = 1.0, mass: PositiveAny = 1.0
    ):
        self.temperature = checked_bath_parameter("temperature", temperature)
        first = temperature
        if isinstance(temperature, AbstractProtocol):
            first = temperature.initial
        elif not isinstance(self.temperature, jax.Array):
            raise ValueError(
                f"temperature is a {type(temperature).__name__}: expected one number kT, or a "
                "schedule of one; friction and mass may differ between the coordinates"
            )
        if np.shape(first) != ():
            raise ValueError(
                f"temperature has shape {np.shape(first)}: expected one number kT, or a schedule "
                "of one; for several temperatures jax.vmap over tj.Bath"
            )
        self.friction = checked_bath_parameter("friction", friction)
        self.mass = checked_bath_parameter("mass", mass)

    @property
    def scheduled(self) -> bool:
        """Whether any of the three changes in time."""
        members = (self.temperature, self.friction, self.mass)
        return any(isinstance(x, AbstractProtocol) for x in members)


def checked_bath_parameter(name: str, value):
    if isinstance(value, AbstractProtocol):
        for field in ("initial", "final", "values"):
            if hasattr(value, field):
                require(f"{name}.{field}", getattr(value, field), positive, "positive and finite")
        return value
    if isinstance(value, type) and issubclass(value, AbstractProtocol):
        raise ValueError(
            f"{name} is the class {value.__name__} itself: expected numbers or a schedule, an "
            f"instance of tj.{value.__name__}"
        )
    value = jax.tree.map(lambda x: pytree_of_floats(x, name), value, is_leaf=is_list)
    if not jax.tree.leaves(value):
        raise ValueError(f"{name} = {shown(value)}: expected positive numbers")
    for leaf in jax.tree.leaves(value):
        require(name, leaf, positive, "positive and finite")
    return value


def is_list(value) -> bool:
    """Whether a list of numbers, which is one array."""
    return isinstance(value, list | tuple) and are_numbers(value)


class TwoSidedDrive(AbstractComponent):
    r"""A drive with one force for the half kick that ends a step and one for that which begins the
    next, both at the same position.

    Each kicks momenta by a shear, so that work and weights are exact at any step. Where friction
    makes momenta forget between the two, opening f + u and closing f - u carry paths along u, and
    backward in time against it. Called, it is the mean of both.

    **Arguments:** `forces(x, control)`, a pair (closing, opening) of forces of the shape of x.

    **Raises:** ValueError for what is no function, or returns no such pair.

    **Source:** F. Vargas et al., ICLR 2024, arXiv:2307.01050, whose control is u.
    """

    forces: Callable[[PyTree[Array], Any], tuple[PyTree[Array], PyTree[Array]]]
    turned: bool = eqx.field(static=True, default=False)  # of a system that is run backward

    def __check_init__(self):
        function("forces", self.forces, "a function, forces(x, control) -> (closing, opening)")
        flag("turned", self.turned)

    def sides(self, x: PyTree[Array], control) -> tuple[PyTree[Array], PyTree[Array]]:
        """(closing, opening) at one position."""
        pair = self.forces(x, control)
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(
                f"forces returned {shown(pair)}: expected a pair (closing, opening) of forces"
            )
        closing, opening = pair
        if leaf_shapes(closing) != leaf_shapes(opening):
            raise ValueError(
                f"forces returned the shapes {leaf_shapes(closing)} and {leaf_shapes(opening)}: "
                "expected closing and opening forces of one shape, that of x"
            )
        return (opening, closing) if self.turned else (closing, opening)

    def __call__(self, x: PyTree[Array], control) -> PyTree[Array]:
        return jax.tree.map(lambda a, b: 0.5 * (a + b), *self.sides(x, control))

    def reversed(self) -> "TwoSidedDrive":
        """The drive of the system run backward, whose steps end where those of this one begin."""
        return TwoSidedDrive(self.forces, not self.turned)


class AbstractSystem(AbstractComponent):
    """The base class of systems: a potential, a protocol, a bath, perhaps a drive.

    The drive is a non-conservative force f(x, control) on one sample, of the shape of x, beside
    -grad U (active and driven matter), or a `tj.TwoSidedDrive`; its work is booked as
    `ledger.drive_work`.

    **Raises:** ValueError for parts of another kind, and for schedules in the bath that last longer
    or shorter than the protocol (a `tj.Constant` there may have any duration).
    """

    potential: eqx.AbstractVar[AbstractPotential]
    protocol: eqx.AbstractVar[AbstractProtocol]
    bath: eqx.AbstractVar[Bath]
    drive: eqx.AbstractVar[Callable[[PyTree[Array], Any], PyTree[Array]] | None]

    def __check_init__(self):
        require_potential("potential", self.potential)
        ramp = "a protocol such as tj.Linear(0.0, 1.0, duration)"
        instance("protocol", self.protocol, AbstractProtocol, ramp)
        instance("bath", self.bath, Bath, "a tj.Bath(...)")
        if self.drive is not None:
            function(
                "drive", self.drive, "a function, drive(x, control) -> force of the shape of x"
            )
        require_one_duration(self.protocol, self.bath)

    def replace(self, **fields):
        """This system with some of its fields replaced."""
        return dataclasses.replace(self, **fields)


def check_system(system, name: str = "system") -> None:
    """Refuse what is no system. **Raises:** ValueError."""
    instance(name, system, AbstractSystem, "a tj.Underdamped(...) or tj.Overdamped(...)")


def require_one_duration(protocol: AbstractProtocol, bath: Bath) -> None:
    """Refuse a bath schedule of another length than the control's: it would end early or late.

    A `tj.Constant` in the bath is the same at all times, and its duration is not looked at. What is
    traced passes.
    """
    length = known(protocol.duration)
    for name in ("temperature", "friction", "mass"):
        schedule = getattr(bath, name)
        if not isinstance(schedule, AbstractProtocol) or stands_still(schedule):
            continue
        other = known(schedule.duration)
        if length is None or other is None:
            continue
        precision = max(jnp.finfo(jnp.asarray(x).dtype).eps for x in (length, other))
        if not np.all(abs(length - other) <= 8 * precision * np.maximum(length, other)):
            raise ValueError(
                f"the schedule of the bath's {name} lasts {shown(other)}, the protocol "
                f"{shown(length)}: expected one duration for all schedules of a system"
            )


def stands_still(schedule: AbstractProtocol) -> bool:
    inner = schedule.protocol if isinstance(schedule, Reversed) else schedule
    return isinstance(inner, Constant)


class Underdamped(AbstractSystem):
    r"""dx = p/m dt,  dp = (-grad U + f) dt - (gamma/m) p dt + sqrt(2 gamma kT) dW.

    The state is position and momentum, so that a mass that changes in time does work.

    **Arguments:** `potential`; `protocol`; `bath`; `drive(x, control)`, optional: a force of the
    shape of one sample x.
    """

    potential: AbstractPotential
    protocol: AbstractProtocol
    bath: Bath
    drive: Callable[[PyTree[Array], Any], PyTree[Array]] | None = None


class Overdamped(AbstractSystem):
    r"""dx = (-grad U + f) / gamma dt + sqrt(2 kT / gamma) dW. The mass of the bath is not used.

    **Arguments:** `potential`; `protocol`; `bath`; `drive(x, control)`, optional: a force of the
    shape of one sample x.
    """

    potential: AbstractPotential
    protocol: AbstractProtocol
    bath: Bath
    drive: Callable[[PyTree[Array], Any], PyTree[Array]] | None = None


def reverse(system: AbstractSystem) -> AbstractSystem:
    """The time-reversed system: protocol and bath schedules mirrored, outside values swapped.

    Run it from the equilibrium of the forward protocol's end (the default start). A path of the
    forward system, replayed backward with its momenta flipped, does minus its total work. The
    schedules of this package but `tj.Neural` are mirrored in their values, so that programs
    compiled for the system run its reverse; others are read backward.
    """
    check_system(system)
    bath = system.bath
    mirrored = Bath(
        reversed_in_time(bath.temperature),
        reversed_in_time(bath.friction),
        reversed_in_time(bath.mass),
    )
    drive = system.drive.reversed() if isinstance(system.drive, TwoSidedDrive) else system.drive
    protocol = reversed_in_time(system.protocol)
    return system.replace(protocol=protocol, bath=mirrored, drive=drive)
