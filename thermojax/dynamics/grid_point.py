"""What a grid point needs of the potential, and its derivative by the controls."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from ..potential import batched_energy, batched_gradient


def met(point: tuple):
    """U(x, old), U(x, new) and grad U(x, kick) at `point` = (potential, x, old, new, kick).

    Asked for together, since the compiler shares the potential's work at one x.
    """
    potential, position, old, new, kick = point
    before = batched_energy(potential, position, old)
    after = batched_energy(potential, position, new)
    return before, after, batched_gradient(potential, position, kick)


@eqx.filter_custom_vjp
def met_few(point: tuple):
    """`met` for controls of few numbers, in reverse mode.

    Reverse mode ends with a sum over all coordinates of all paths for each of the controls, which
    XLA:CPU takes one number at a time. Forward mode along a control gives one number per path, its
    sum over the coordinates the potential's own.
    """
    return met(point)


@met_few.def_fwd
def _forward(perturbed, point):
    del perturbed
    return met(point), None


@met_few.def_bwd
def _reverse(residuals, cotangents, perturbed, point):
    del residuals
    potential, position, *controls = point
    moved, rest = eqx.partition(point[:2], perturbed[:2])
    _, pull = jax.vjp(lambda moved: met((*eqx.combine(moved, rest), *controls)), moved)
    (found,) = pull(cotangents)

    def times_energy(x, factor, control):
        return factor * potential.energy(x, control)

    def slope(x, direction, control):
        return jax.jvp(lambda x: potential.energy(x, control), (x,), (direction,))[1]

    functions = times_energy, times_energy, slope
    of_controls = [
        along(jax.vmap(function, in_axes=(0, 0, None)), position, cotangent, control)
        for function, cotangent, control in zip(functions, cotangents, controls, strict=True)
    ]
    return *found, *of_controls


def along(function, position, cotangent, control):
    """The derivative of the sum of `function` by each number of the control."""

    def one(direction):
        at = lambda control: function(position, cotangent, control)
        return jnp.sum(jax.jvp(at, (control,), (direction,))[1])

    basis = jnp.eye(control.size, dtype=control.dtype).reshape(-1, *control.shape)
    each = one(basis[0]) if control.size == 1 else jax.vmap(one)(basis)
    return each.reshape(control.shape)
