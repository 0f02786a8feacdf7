"""Box-constrained quadratic programs: where a cold device comes to rest between walls."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..._arguments import real, whole
from ..._component import Numbers, finite, positive
from ..._keys import Purpose, check_key, part_key
from ...estimate import Estimate
from ...potential import Harmonic
from ...sampling import start
from ...system import Bath
from ..device.answer import DeviceEnergy, DeviceTime, energy_of, time_of
from ..device.device import Device, Plan, Reading, averaged, device_for, plan_for, window
from ..device.operator import OF_PROBLEM, Springs, operator_of, require_known
from ..device.relaxation import decaying, remembered
from ..device.settings import require_affordable
from ..device.spectrum import Spectrum, spectrum_of
from .box import Box, Walled, box_of
from .extrapolated import left_of_temperature

REHEARSAL = 4.0  # relaxation times, in which the forces on the walls show
LAYER = 1.0  # of the time through the layer at a wall: the mean there is off by 1.2 kT / force
BETWEEN = 8  # steps between two samples


class BoxAnswer(eqx.Module):
    """The minimum of a quadratic function in a box as a device says it, and what that has cost.

    - `value`, `error`: `(dim,)`. The error has the scatter of the average, a standard error, and
      `bias`, `(dim,)`, what the temperature leaves after the extrapolation to kT = 0, about: a
      longer time lessens the one, a lower temperature the other.
    - `warm`: the mean at the temperature itself, off its active bounds by about kT / force.
    - `active`: -1 at the lower bound, 1 at the upper one, 0 between them.
    - `residual`: |x - P(x - (A x - b) / L)| of the value, P the nearest point of the box, L the
      largest eigenvalue: zero at the minimum alone (Karush, Kuhn, Tucker). `distance`: from the
      minimum, at most.
    - `samples`, `time`, `energy`, `products`: of all that was run.
    - `digital`: products of A with a vector after which the bound of an accelerated projected
      gradient, (1 - 1 / sqrt(kappa))^n of the energy, is as small as the squared relative error.
    """

    value: Float[Array, " dim"]
    error: Float[Array, " dim"]
    bias: Float[Array, " dim"]
    warm: Float[Array, " dim"]
    active: Int[np.ndarray, " dim"]
    residual: float
    distance: float
    samples: int
    time: DeviceTime
    energy: DeviceEnergy
    products: int
    digital: int

    def __str__(self):
        return (
            f"{Estimate(self.value, self.error, self.samples)}\n"
            f"of which the temperature leaves {float(jnp.linalg.norm(self.bias)):.2g} in all;\n"
            f"{np.count_nonzero(self.active)} of {self.active.size} bounds active, residual "
            f"{self.residual:.3g}, from the minimum at most {self.distance:.3g};\n"
            f"in {self.time.total:.4g} relaxation times, {self.energy};\n"
            f"simulated by {self.products:,} products of A with a vector, where an accelerated "
            f"projected gradient needs {self.digital:,}"
        )


def box_qp(
    A: Any,
    b: Numbers,
    lower: Numbers,
    upper: Numbers,
    key: PRNGKeyArray,
    *,
    temperature: float,
    time: float,
    friction: float = 1.0,
    trajectories: int = 1,
    idle_power: float = 0.0,
    max_products: float = 1e9,
) -> BoxAnswer:
    r"""The minimum of x . A x / 2 - b . x with lower <= x <= upper, by a device between walls.

    The walls reflect. The equilibrium is then the Gaussian of `tj.linalg.solve` cut off at them,
    and its mean goes to the minimum as kT goes to zero: a coordinate that the force f presses
    against a wall stands off by kT / f, and what is coupled to it is off in proportion. The device
    runs at kT and at kT / 2, and the value is 2 mean(kT / 2) - mean(kT), in which this is gone;
    what is left is of the order kT^2, and of sqrt(kT) at a wall that is touched without force. How
    much it is about, the law of each coordinate by itself says; it is in the error.

    The function is convex: there is no barrier that a slow cooling would help over.

    **Arguments:**

    - `A`, symmetric positive definite: `(dim, dim)`, a lineax operator, or a function x -> A x,
      known by its products alone; `b`, `(dim,)`; `lower`, `upper`: `(dim,)` or one number,
      infinite where there is no wall.
    - `temperature`: kT, of the unit of the function. `time`: of the average at kT / 2, and at
      least at kT, in the unit of friction / stiffness.
    - `friction`; `trajectories`, `idle_power`, `max_products`: as of `tj.linalg.solve`.

    **Returns:** a `BoxAnswer`.

    **Raises:** ValueError, with the cure, as `tj.linalg.solve`, for bounds that are none, and for a
    temperature so low that its steps take more than `max_products`.

    **Cost:** three runs in steps of half of the stiffest mode's time, or of what a coordinate takes
    through its layer at a wall where that is shorter: friction kT / f^2, f the largest force on a
    coordinate, its noise included, read in a rehearsal. The device is overdamped: a coordinate with
    inertia that a wall sends back again and again is heated by the steps.

    **Source:** of the distance, at most 2 kappa residuals: J.-S. Pang, Math. Oper. Res. 12, 474
    (1987), theorem 3.1; of the gradient method, Y. Nesterov, Lectures on Convex Optimization
    (2018), section 2.2.
    """
    check_key(key)
    real("temperature", temperature, "a positive kT, of the unit of the function", positive)
    real("time", time, "a positive time of the device", positive)
    real("idle_power", idle_power, "a power, 0 or more", lambda p: p >= 0)
    real("friction", friction, "a positive number", positive)
    real("max_products", max_products, "a positive number of products", positive)
    trajectories = whole("trajectories", trajectories, cure="devices side by side")
    require_known(
        A=A, b=b, lower=lower, upper=upper, key=key, temperature=temperature, time=time,
        friction=friction, idle_power=idle_power, max_products=max_products,
    )  # fmt: skip
    b = jnp.atleast_1d(finite("b", b))
    cures = OF_PROBLEM["box_qp"]
    operator = operator_of(A, b, cures.shape)
    box = box_of(lower, upper, b)
    spectrum = spectrum_of(operator, key, cures)
    device = device_for(spectrum, "overdamped", Bath(temperature, friction))
    program = Program(Springs(operator, b), box, trajectories)

    # For what the temperature leaves.
    looking = 0 if isinstance(operator, lx.MatrixLinearOperator) else 2 * len(b)
    rehearsed, rehearsing = program.planned(device, REHEARSAL * device.relaxation)

    def planned(device: Device) -> tuple[Device, Plan]:
        """The run at half of kT. All three are paid for beforehand, with the steps of now."""
        half, plan = program.planned(heated(device, 0.5), float(time))
        because = f"temperature = {float(temperature):.3g} asks for steps of {half.dt:.3g}: "
        cure = "a higher temperature, of which the extrapolation removes the first order"
        products, most = rehearsing.products + 2 * plan.products + looking, float(max_products)
        require_affordable(products, most, float(time), device.relaxation, because, cure)
        return half, plan

    planned(device)  # a layer at a wall, which nobody knows yet, makes the steps shorter only
    rehearsal = program.run(rehearsed, rehearsing, key, 0)
    force = float(jnp.max(jnp.abs(operator.mv(rehearsal.reading.value) - b)))
    device = device._replace(dt=within_layer(device, force))
    half, plan = planned(device)
    cold = program.run(half, plan, key, 1)
    warm = program.run(heated(half, 2.0), plan, key, 2)

    value = box.nearest(2 * cold.reading.value - warm.reading.value)
    apart = warm.reading.value - cold.reading.value
    bias = left_of_temperature(operator, b, box, value, apart, float(temperature))
    bias = jnp.asarray(bias, value.dtype)
    # Walls around a convex energy make no motion slower than its softest mode without them.
    memory, averaging = decaying(device.relaxation), window(half, plan)[1]
    factor = remembered(memory, 1, device.relaxation, plan, averaging, stacklevel=3)
    scatter = factor * jnp.hypot(2 * cold.reading.error, warm.reading.error)
    error = jnp.hypot(scatter, bias)
    runs = rehearsal, warm, cold
    elapsed = DeviceTime(
        sum(run.time.equilibration for run in runs) + rehearsal.time.averaging,
        warm.time.averaging + cold.time.averaging,
        device.relaxation,
    )
    work = jnp.sum(jnp.stack([run.reading.work for run in runs]), axis=0)
    heat = jnp.sum(jnp.stack([run.reading.heat for run in runs]), axis=0)
    target = value - (operator.mv(value) - b) / spectrum.high
    residual = float(jnp.linalg.norm(value - box.nearest(target)))
    distance = 2 * spectrum.condition * residual
    return BoxAnswer(
        value=value,
        error=error,
        bias=bias,
        warm=warm.reading.value,
        active=np.asarray(target >= box.upper, int) - np.asarray(target <= box.lower, int),
        residual=residual,
        distance=distance,
        samples=trajectories * (warm.plan.samples + cold.plan.samples),
        time=elapsed,
        energy=energy_of(work, heat, elapsed, idle_power),
        products=spectrum.products + 3 + looking + sum(run.plan.products for run in runs),
        digital=gradient_products(spectrum, float(jnp.linalg.norm(error) / jnp.linalg.norm(value))),
    )


class Run(NamedTuple):
    """One average of a device."""

    reading: Reading
    plan: Plan
    time: DeviceTime


class Program(NamedTuple):
    """The matrix, the walls and the number of devices: a program that runs at any temperature."""

    springs: Springs
    box: Box
    trajectories: int

    def planned(self, device: Device, time: float) -> tuple[Device, Plan]:
        """The steps of an average over a time."""
        return plan_for(device, time, self.trajectories, BETWEEN * device.dt)

    def run(self, device: Device, plan: Plan, key: PRNGKeyArray, index: int) -> Run:
        """The mean position in the box, from equilibrium, `index` for the noise."""
        b = self.springs.b
        center, rest = self.box.nearest(jnp.zeros_like(b)), jnp.full_like(b, device.rest)
        begin = device.system(Harmonic(jnp.asarray(device.rest, b.dtype), center))
        chain = start(begin, part_key(key, Purpose.STAGE, index), batch=plan.trajectories)
        # At rest the walls are there, too: an image far away has no energy of its own.
        uncoupled = Springs(lx.DiagonalLinearOperator(rest), rest * center)
        idle, coupled = (device.system(Walled(x, self.box)) for x in (uncoupled, self.springs))
        dt = jnp.asarray(device.dt, b.dtype)
        reading = averaged(idle, coupled, chain, dt, plan, MeanInside(self.box))
        return Run(reading, plan, time_of(device, plan))


class MeanInside(eqx.Module):
    """The mean over a batch of what the coordinates are in the box."""

    box: Box

    def __call__(self, y: Float[Array, "batch dim"]) -> Float[Array, " dim"]:
        return jnp.mean(self.box(y), axis=0)


def within_layer(device: Device, force: float) -> float:
    """The step of a device, short enough for the layer kT / force that a force makes at a wall.

    It is shortened by powers of sqrt(2), so that one compiled program does for all keys.
    """
    if force == 0:
        return device.dt
    through = float(device.bath.friction * device.bath.temperature) / force**2
    shorter = max(0, math.ceil(2 * math.log2(device.dt / (LAYER * through))))
    return device.dt / 2 ** (shorter / 2)


def heated(device: Device, factor: float) -> Device:
    """The device at `factor` times its temperature and its step.

    What the step does to the mean in a layer is then in proportion to kT, too, and goes with it.
    """
    bath = Bath(factor * device.bath.temperature, device.bath.friction)
    return device._replace(bath=bath, dt=factor * device.dt)


def gradient_products(spectrum: Spectrum, error: float) -> int:
    """Steps of an accelerated projected gradient until the bound of its energy is error^2."""
    if not 0 < error < 1:
        return 1
    rate = 1 / math.sqrt(spectrum.condition)
    return 1 if rate >= 1 else math.ceil(2 * math.log(error) / math.log1p(-rate))
