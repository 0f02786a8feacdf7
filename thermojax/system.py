"""A driven Langevin system: potential + protocol + bath, and a drive where there is one."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import equinox as eqx
import jax
from jaxtyping import Array, PyTree

from ._component import AbstractComponent, floating, positive, require
from .potential import AbstractPotential
from .protocol import AbstractProtocol, reversed_in_time

# Numbers, schedules or pytrees of them; the note is read where a config is checked.
PositiveAny: TypeAlias = Annotated[Any, "> 0"]


class Bath(AbstractComponent):
    r"""The heat bath of m dv = -grad U dt - gamma v dt + sqrt(2 gamma kT) dW, with k_B = 1.

    **Arguments:** `temperature` kT (energy), `friction` gamma (energy time / length^2: the drag
    coefficient, not a rate), `mass`. Friction and mass are numbers, arrays that broadcast against
    one sample (per coordinate), or pytrees like the position. Each of the three may be a protocol
    (`tj.Linear(2.0, 1.0, duration)`): a schedule that shares the duration of the control.

    **Raises:** ValueError for a value that is not positive.
    """

    temperature: Any
    friction: Any
    mass: Any

    def __init__(
        self, temperature: PositiveAny = 1.0, friction: PositiveAny = 1.0, mass: PositiveAny = 1.0
    ):
        self.temperature = checked("temperature", temperature)
        self.friction = checked("friction", friction)
        self.mass = checked("mass", mass)

    @property
    def scheduled(self) -> bool:
        """Whether any of the three changes in time."""
        members = (self.temperature, self.friction, self.mass)
        return any(isinstance(x, AbstractProtocol) for x in members)


def checked(name: str, value):
    if isinstance(value, AbstractProtocol):
        for part in ("initial", "final", "values"):
            if hasattr(value, part):
                require(f"{name}.{part}", getattr(value, part), positive, "positive and finite")
        return value
    value = floating(value) if isinstance(value, list) else jax.tree.map(floating, value)
    for leaf in jax.tree.leaves(value):
        require(name, leaf, positive, "positive and finite")
    return value


class AbstractSystem(AbstractComponent):
    """What every system has: a potential, a protocol, a bath, perhaps a drive.

    The drive is a non-conservative force f(x, control) on one sample, of the shape of x, beside
    -grad U (active and driven matter); its work is booked as `ledger.drive_work`.
    """

    potential: eqx.AbstractVar[AbstractPotential]
    protocol: eqx.AbstractVar[AbstractProtocol]
    bath: eqx.AbstractVar[Bath]
    drive: eqx.AbstractVar[Callable[[PyTree[Array], Any], PyTree[Array]] | None]

    def __check_init__(self):
        expected = {
            "potential": (AbstractPotential, "a tj.AbstractPotential"),
            "protocol": (AbstractProtocol, "a protocol such as tj.Linear(0.0, 1.0, duration)"),
            "bath": (Bath, "a tj.Bath"),
        }
        for name, (kind, cure) in expected.items():
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise ValueError(f"{name} is a {type(value).__name__}: expected {cure}")

    def replace(self, **fields):
        """This system with some of its fields replaced."""
        return dataclasses.replace(self, **fields)


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
    bath = system.bath
    mirrored = Bath(
        reversed_in_time(bath.temperature),
        reversed_in_time(bath.friction),
        reversed_in_time(bath.mass),
    )
    return system.replace(protocol=reversed_in_time(system.protocol), bath=mirrored)
