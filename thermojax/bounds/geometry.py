"""Thermodynamic geometry: length, and the protocol of constant speed.

A slow protocol dissipates int dot lambda^T zeta(lambda) dot lambda dt, the square of a speed. The
least of it in a time tau is the square of a length over tau, at constant speed.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import exceeds, function, instance, whole
from .._component import Numbers, finite, known
from ..protocol import PiecewiseLinear
from ..sampling import Equilibrium
from ..system import AbstractSystem, check_system
from .friction import langevin_of, tensor

POINTS = 513  # at which a path is measured


def thermodynamic_length(
    system: AbstractSystem,
    friction: Callable | None = None,
    path: Numbers | None = None,
    template: Equilibrium | None = None,
) -> Float[Array, ""]:
    r"""The length of the way from the first control to the last, in the metric of the friction.

        L = int sqrt(dlambda^T zeta dlambda),     W - Delta F >= L^2 / tau     for slow protocols.

    With a given path, and in one dimension always, the protocol of constant speed reaches L^2/tau.

    **Arguments:** as `tj.bounds.geodesic`. **Returns:** sqrt(energy time), a scalar.

    **Raises:** ValueError as `tj.bounds.geodesic`.

    **Source:** G. E. Crooks, Phys. Rev. Lett. 99, 100602 (2007); Sivak and Crooks (2012), eq. (10).
    """
    return path_lengths(system, friction, path, template)[1][-1]


def geodesic(
    system: AbstractSystem,
    friction: Callable | None = None,
    path: Numbers | None = None,
    *,
    knots: int = 33,
    template: Equilibrium | None = None,
) -> PiecewiseLinear:
    r"""The protocol of constant thermodynamic speed along a path: the best one when time is long.

        dot lambda^T zeta(lambda) dot lambda = L^2 / tau^2

    It has no jumps, which short times want.

    **Arguments:**

    - `system`: its protocol gives both ends, outside values, and the duration.
    - `friction(control)`: zeta, a scalar or `(k, k)`, in terms of jax; `tj.bounds.friction_tensor`
      when left out. Measured ones interpolate: `lambda c: jnp.interp(c, controls, values)`.
    - `path`: `(points, k)` or `(points,)`, from the first control to the last; the straight line
      when left out. Between its points it is straight.
    - `knots` of the schedule, equally spaced in time.

    **Returns:** a `tj.PiecewiseLinear`, ready to be trained from.

    **Raises:** ValueError for a path that does not join both ends, an end that equals the start,
    a friction that is not positive along the way, or what `tj.bounds.friction_tensor` refuses.

    **Source:** D. A. Sivak, G. E. Crooks, Phys. Rev. Lett. 108, 190602 (2012), eqs. (8)-(10).
    """
    knots = whole("knots", knots, 2)
    way, length = path_lengths(system, friction, path, template)
    protocol = system.protocol
    even = jnp.linspace(0, 1, knots) * length[-1]
    values = jax.vmap(lambda c: jnp.interp(even, length, c), 1, 1)(way.reshape(len(way), -1))
    values = values.reshape(knots, *protocol.initial.shape)
    return PiecewiseLinear(values, protocol.duration, protocol.initial, protocol.final)


def path_lengths(system: AbstractSystem, friction, path, template):
    """Many points along the path, and the length up to each."""
    check_system(system)
    if template is not None:
        instance("template", template, Equilibrium, "tj.Equilibrium(template), or None")
    if friction is not None:
        function("friction", friction, "a function, friction(control) -> a number or (k, k)")
    ends = jnp.stack([system.protocol.initial, system.protocol.final])
    path = ends if path is None else finite("path", path)
    if path.ndim < 1 or path.shape[1:] != ends.shape[1:] or path.shape[0] < 2:
        raise ValueError(
            f"path has shape {path.shape}: expected (points, ...) of controls of shape "
            f"{ends.shape[1:]}, two points or more"
        )
    given, wanted = known(path[jnp.array([0, -1])]), known(ends)
    if given is None or wanted is None:
        pass
    elif exceeds(np.abs(given - wanted), 1e-5 * np.max(np.abs(wanted))):
        raise ValueError(
            f"path runs from {given[0]} to {given[1]}: expected the protocol's outside values, "
            f"{wanted[0]} to {wanted[1]}"
        )
    if friction is None:
        friction = eqx.Partial(tensor, langevin_of(system, template))
    way, squares = points_along(friction, path)
    seen = known(squares)
    if seen is not None and not np.all(np.isfinite(seen) & (seen > 0)):
        raise ValueError(
            "the friction is not positive all along the path: measure it better, or choose a path "
            "that moves everywhere"
        )
    return way, jnp.concatenate([jnp.zeros(1, way.dtype), jnp.cumsum(jnp.sqrt(squares))])


@eqx.filter_jit
def points_along(friction: Callable, path: Float[Array, "corners *control"]):
    """Points evenly along a path, and the squared lengths of the segments between them."""
    flat = path.reshape(len(path), -1)
    place, corners = jnp.linspace(0, len(path) - 1, POINTS), jnp.arange(len(path))
    way = jax.vmap(lambda c: jnp.interp(place, corners, c), 1, 1)(flat)
    middle, step = 0.5 * (way[1:] + way[:-1]), jnp.diff(way, axis=0)
    tensors = jax.vmap(friction)(middle.reshape(-1, *path.shape[1:]))
    tensors = tensors.reshape(-1, *step.shape[1:] * 2)
    # Not step tensors step, whose parts may leave the range of the numbers.
    size = jnp.max(jnp.abs(step))
    size = jnp.where(size > 0, size, 1)
    shares = step / size
    squares = jnp.einsum("ni,nij,nj->n", shares, size * tensors * size, shares)
    return way.reshape(-1, *path.shape[1:]), squares
