"""Noising: independent units that forces hold to an image, and that let it go."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import flag, instance, whole
from .._component import (
    AbstractComponent,
    Numbers,
    floating,
    known,
    positive_number,
    require,
)
from .._keys import Purpose, check_key, purpose_key
from ..dynamics import OBABO
from ..execution import count_steps
from ..protocol import AbstractProtocol, PiecewiseLinear
from ..sampling import simulate
from ..system import Bath, Overdamped
from .computer import COARSE, Computer, position, stride
from .network import FieldEnergy
from .on_site import OnSite

STRENGTH = 2.0  # of the forces at first
HELD = 0.75  # of the time until they are gone


class NoisedPaths(NamedTuple):
    """A batch of noising paths at all grid points, `time` T + 1 of them.

    - `position`, `(T + 1, batch, units)`. `fields`, `(batch, units)`: the forces of strength 1 on
      each path. `strength`, `(T + 1,)`: their strength in time. `dt`, a number.
    """

    position: Float[Array, "time batch units"]
    fields: Float[Array, "batch units"]
    strength: Float[Array, " time"]
    dt: Float[Array, ""]


class Noising(AbstractComponent):
    r"""Paths from images to noise, of units that do not know of each other.

    dx = mu (-V_0'(x) + a(t) f) dt + sqrt(2 mu kT) dW. The force f on visible units is the image s,
    normalized to mean 0 and variance 1, and P^T s on hidden ones, P a random matrix of variance
    1 / visible. Its strength falls in a straight line, a(t) = 2 (1 - t / (0.75 duration)), to 0.
    Units start in equilibrium with a(0) f, drawn exactly: what the published machine reaches to
    within e^(-2 mu J_2 duration) by letting units relax for one duration from 0.

    **Arguments:** `images`, `(count, ...)`, of any shape; `hidden`, the number of hidden units;
    `key`, of P; `duration`, time; `protocol`, the strength in time, any `tj` schedule with one
    number in place of that above; `normalize`, False to take images as they are.

    **Raises:** ValueError for images that hold no finite numbers, and constant ones, whose variance
    is 0.

    **Source:** S. Whitelam, arXiv:2506.15121 (2025).
    """

    fields: Float[Array, "count units"]
    protocol: AbstractProtocol
    visible: int = eqx.field(static=True)

    def __init__(
        self,
        images: Numbers,
        hidden: int,
        key: PRNGKeyArray,
        *,
        duration: float = 2.5,
        protocol: AbstractProtocol | None = None,
        normalize: bool = True,
    ):
        seen = flattened(images, flag("normalize", normalize))
        hidden = whole("hidden", hidden)
        check_key(key)
        time = positive_number("duration", duration, "time")
        self.visible = seen.shape[1]
        shape = self.visible, hidden
        projection = jax.random.normal(key, shape, seen.dtype) / np.sqrt(self.visible)
        latent = jnp.matmul(seen, projection, precision=jax.lax.Precision.HIGHEST)
        self.fields = jnp.concatenate([seen, latent], axis=1)
        if protocol is None:
            self.protocol = fading(time, seen.dtype)
        else:
            what = "a schedule such as tj.Linear(2.0, 0.0, duration), or None"
            self.protocol = instance("protocol", protocol, AbstractProtocol, what)
            if jnp.shape(protocol.initial) != ():
                raise ValueError(
                    f"protocol has controls of shape {jnp.shape(protocol.initial)}: expected one "
                    "number, the strength of the forces"
                )

    @property
    def duration(self) -> Float[Array, ""]:
        """The duration of the paths, and of a run that is to reverse them."""
        return self.protocol.duration

    def paths(self, computer: Computer, key: PRNGKeyArray, *, batch: int, dt: float) -> NoisedPaths:
        """Paths of units like those of a computer; every image as often as any other, within one.

        **Returns:** `NoisedPaths`. **Raises:** ValueError for a computer of another size, and for
        steps that are too coarse for the curvature of V_0 where images hold the units.
        """
        check_key(key)
        batch = whole("batch", batch)
        steps = check_fits(computer, self, dt)
        return noised(computer, self, key, batch, steps)


def flattened(images: Numbers, normalize: bool) -> Float[Array, "count pixels"]:
    """Images as rows, each of mean 0 and variance 1. **Raises:** ValueError for what cannot be."""
    seen = floating(images, "images")
    if seen.ndim < 2 or seen.size == 0:
        raise ValueError(
            f"images have shape {seen.shape}: expected (count, ...), at least one image; of one "
            "image take image[None]"
        )
    require("images", seen, np.isfinite, "finite numbers")
    seen = seen.reshape(len(seen), -1)
    if not normalize:
        return seen
    off = seen - jnp.mean(seen, axis=1, keepdims=True)
    spread = jnp.std(seen, axis=1, keepdims=True)
    found = known(spread)
    if found is not None and not np.all(found > 0):
        raise ValueError(
            f"images[{int(np.argmin(found[:, 0]))}] is constant and cannot be normalized to "
            "variance 1: leave it out, or pass normalize=False"
        )
    return off / spread


def fading(duration, dtype) -> PiecewiseLinear:
    """The strength of the forces, 2 at first and 0 from three quarters of the time on."""
    knots = STRENGTH * jnp.maximum(1 - jnp.linspace(0, 1, 5, dtype=dtype) / HELD, 0)
    return PiecewiseLinear(knots, duration, pinned=True)


def check_fits(computer: Computer, noising: Noising, dt) -> int:
    """The number of steps. **Raises:** ValueError where sizes do not fit, or dt is too coarse."""
    instance("computer", computer, Computer, "a tj.generate.Computer(...)")
    instance("noising", noising, Noising, "a tj.generate.Noising(images, hidden, key)")
    hidden = noising.fields.shape[1] - noising.visible
    for kind, here, there in (
        ("visible", computer.visible, noising.visible),
        ("hidden", computer.hidden, hidden),
    ):
        if here != there:
            raise ValueError(
                f"the computer has {here} {kind} units and the noising is of {there}: make both of "
                "one number"
            )
    steps = count_steps(noising.duration, dt, None)
    force = jnp.abs(noising.protocol.initial) * jnp.sqrt(jnp.mean(noising.fields**2))
    length = known(stride(computer, noising.duration / steps, resting(computer, force)))
    if length is not None and not length <= COARSE:
        raise ValueError(
            f"dt = {float(dt):g} is too coarse: where images hold units, mobility * dt * V'' is "
            f"{float(length):.2g}; take a dt {float(length) / 0.2:.0f} times smaller"
        )
    return steps


def resting(computer: Computer, force: Float[Array, ""]) -> Float[Array, ""]:
    """The place x > 0 where a force holds a unit, by bisection."""
    low, high = jnp.zeros_like(force), computer.on_site.reach(force, computer.temperature)
    for _ in range(40):
        middle = 0.5 * (low + high)
        below = computer.on_site.slope(middle) < force
        low, high = jnp.where(below, middle, low), jnp.where(below, high, middle)
    return low


def noised(computer: Computer, noising: Noising, key, batch: int, steps: int) -> NoisedPaths:
    """Paths that have no derivative; couplings are no part of their program."""
    bath = Bath(computer.temperature, 1 / computer.mobility)
    return noised_paths(computer.on_site, bath, noising, key, batch, steps)


@eqx.filter_jit
def noised_paths(
    unit: OnSite, bath: Bath, noising: Noising, key: PRNGKeyArray, batch: int, steps: int
) -> NoisedPaths:
    """The compiled part of `Noising.paths`."""
    unit, bath, noising = jax.lax.stop_gradient((unit, bath, noising))
    count = len(noising.fields)
    order = jax.random.permutation(purpose_key(key, Purpose.COMPONENT), count)
    which = jnp.resize(order, (batch,))
    system = Overdamped(FieldEnergy(unit, noising.fields[which]), noising.protocol, bath)
    out = simulate(
        system, key, time_steps=steps, batch=1, integrator=OBABO(), save=steps + 1, observe=position
    )
    assert out.saved is not None
    times = noising.duration * jnp.arange(steps + 1) / steps
    strength = jax.vmap(noising.protocol)(times)
    dt = jnp.asarray(noising.duration / steps, noising.fields.dtype)
    fields = noising.fields[which]
    return NoisedPaths(out.saved.values[:, 0], fields, strength.astype(dt.dtype), dt)
