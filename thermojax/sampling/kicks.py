"""Momentum kicks: delta functions in the control at the ends of a protocol.

The optimal protocols of underdamped systems have them (Gomez-Marin, Schmiedl, Seifert,
J. Chem. Phys. 129, 024114 (2008)).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .._tree import depends
from ..dynamics import DriftTerm
from ..potential import AbstractPotential
from ..system import Overdamped


def impulse(potential: AbstractPotential, x, control, strength):
    """grad_x of (dU/dcontrol . strength) of one sample: the impulse of control = strength delta."""

    def power(x, control):
        _, tangent = jax.jvp(lambda c: potential.energy(x, c), (control,), (strength,))
        return tangent

    return jax.grad(power)(x, control)


def kick(drift: DriftTerm, position, momentum, strength, control):
    """p <- p - grad_x dU/dcontrol strength, for the whole batch.

    **Raises:** ValueError on an overdamped system, and where the impulse depends on the control,
    for then a delta function in the control means nothing definite.
    """
    potential = drift.system.potential
    if isinstance(drift.system, Overdamped):
        raise ValueError("kicks act on the momentum: an overdamped system takes none, use jumps")
    sample = jax.tree.map(lambda x: x[0], position)
    if depends_on_control(potential, sample, control, strength):
        raise ValueError(
            f"kicks are refused: grad_x dU/dcontrol of {type(potential).__name__} depends on the "
            "control; use a potential that is linear in it, or kicks=None"
        )
    push = jax.vmap(lambda x: impulse(potential, x, control, strength))(position)
    return jax.tree.map(jnp.subtract, momentum, push)


def depends_on_control(potential: AbstractPotential, x, control, strength) -> bool:
    """Whether the impulse, as a program, uses the value of the control."""
    return depends(lambda c: impulse(potential, x, c, strength), control)
