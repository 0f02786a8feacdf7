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
def met_by_one(point: tuple):
    """`met` for controls of one number each, in reverse mode.

    Reverse mode ends with a sum over the coordinates of all paths for every control, which XLA:CPU
    takes one number at a time. Forward mode along the control ends with one number per path, its
    sum over the coordinates that of the potential itself. Measured, the time of a gradient: 0.85 at
    1024 x 8, 0.65 at 1024 x 16, 0.75 at 256 x 64 of a harmonic well; 0.95 to 1.1 for wells whose
    force has to be differentiated twice. With two or three numbers it can take twice as long.
    """
    return met(point)


@met_by_one.def_fwd
def _forward(perturbed, point):
    del perturbed
    return met(point), None


@met_by_one.def_bwd
def _reverse(residuals, cotangents, perturbed, point):
    del residuals
    potential, position, *controls = point
    moved, rest = eqx.partition(point[:2], perturbed[:2])
    _, pull = jax.vjp(lambda moved: met((*eqx.combine(moved, rest), *controls)), moved)
    (of_moved,) = pull(cotangents)

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
    return *of_moved, *map(along, functions, cotangents, controls)
