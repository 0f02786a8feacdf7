"""Forces as loops evaluate them: in memory order, with what reverse mode is to keep marked."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from ..dynamics import AbstractForces, evaluate_force
from ..system import AbstractSystem
from .cpu.memory_order import MemoryOrder
from .residuals import kept


class ArrangedForces(AbstractForces):
    """Forces whose gradient lies in memory as the arrays of the loop do.

    `along_control`: whether the derivative by a control of one number is taken in forward mode.
    """

    system: AbstractSystem
    order: MemoryOrder = eqx.field(static=True)
    along_control: bool = eqx.field(static=True)

    def evaluate(self, position, control_before, control_after, control):
        point = self.system.potential, position, control_before, control_after, control
        if self.along_control:
            before, after, gradient = evaluate_along_control(point)
        else:
            before, after, gradient = evaluate_force(*point)
        return before, after, self.order.in_memory_order(gradient)

    def remember(self, tree):
        return kept(tree, self.order)


@eqx.filter_custom_vjp
def evaluate_along_control(point: tuple):
    """`evaluate_force` for controls of one number each, in reverse mode.

    Reverse mode ends with a sum over the coordinates of all paths for every control, which XLA:CPU
    takes one number at a time. Forward mode along the control ends with one number per path, its
    sum over the coordinates that of the potential itself. With two or three numbers it can take
    twice as long.
    """
    return evaluate_force(*point)


@evaluate_along_control.def_fwd
def _forward(perturbed, point):
    del perturbed
    return evaluate_force(*point), None


@evaluate_along_control.def_bwd
def _reverse(residuals, cotangents, perturbed, point):
    del residuals
    potential, position, *controls = point
    trained, rest = eqx.partition(point[:2], perturbed[:2])
    found, pull = jax.vjp(
        lambda trained: evaluate_force(*eqx.combine(trained, rest), *controls), trained
    )
    # None comes back for what an integrator did not read, as for the force at a step's end.
    filled = lambda cotangent, x: jnp.zeros_like(x) if cotangent is None else cotangent
    cotangents = jax.tree.map(filled, cotangents, found, is_leaf=lambda x: x is None)
    (of_trained,) = pull(cotangents)

    def times_energy(x, factor, control):
        return factor * potential.energy(x, control)

    def slope(x, direction, control):
        return jax.jvp(lambda x: potential.energy(x, control), (x,), (direction,))[1]

    def along(function, cotangent, control):
        """The derivative of the sum of `function` over all paths."""
        of_paths = jax.vmap(function, in_axes=(0, 0, None))
        at = lambda control: of_paths(position, cotangent, control)
        return jnp.sum(jax.jvp(at, (control,), (jnp.ones_like(control),))[1]).reshape(control.shape)

    functions = times_energy, times_energy, slope
    return *of_trained, *map(along, functions, cotangents, controls)
