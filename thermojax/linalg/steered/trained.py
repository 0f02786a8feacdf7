"""A steering that knows no more of a matrix than where its eigenvalues begin and end."""

from __future__ import annotations

import functools
import math

import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax

from ..._arguments import real, whole
from ..._component import positive
from ...optimization import ExactMoments, MeanWork, TerminalError, optimize
from ...protocol import PiecewiseLinear
from ...system import Bath
from ..device.device import device_for
from ..device.exact import Modes
from ..device.operator import require_known
from .steering import COUPLED, IDLE, KNOTS, shares_system

MODES = 6  # eigenvalues that stand for all between the ends, evenly spaced in their logarithm
STEPS_PER_TIME = 4  # of the moment equations, per time of the stiffest mode
LEAST_STEPS, MOST_STEPS = 256, 2**14


@functools.cache
def optimizer() -> optax.GradientTransformationExtraArgs:
    """One object, and so one program for equal shapes."""
    return optax.lbfgs()


def trained_steering(
    low: float,
    high: float,
    *,
    duration: float,
    weight: float = 10.0,
    shift: float = 0.0,
    knots: int = KNOTS,
    steps: int = 60,
    bath: Bath | None = None,
) -> PiecewiseLinear:
    r"""A schedule of springs, couplings and b for any matrix whose spectrum lies between two ends.

    For modes of stiffness k(t) = own(t) high + coupled(t) lambda and force push(t) h, with lambda
    spread over the ends, it minimizes by L-BFGS, in the exact moment equations,

        sum over modes of  W - Delta F + weight kT KL(end || target),

    the dissipated work and what the end lacks. Nothing of a matrix is known but the two ends, which
    a few products tell; nothing is taken from the answer. On an 8 x 8 matrix of condition 15 what
    is found takes 1.03 to 1.09 times the least energy of its deficiency, for durations of 0.3 to 3
    relaxation times (`thermojax run configs/driven_inversion.yaml`).

    **Arguments:**

    - `low` and `high`: the ends of the spectrum. `duration`: of the schedule.
    - `weight`: of the deficiency, against the work.
    - `shift`: how far the mean of each mode is to move, in its final widths sqrt(kT / lambda): 0
      for inverses, 1 and more for solutions, for which the share of b is trained too.
    - `knots` of the schedule, which jumps at both ends; `steps` of the training; `bath`, constant.

    **Returns:** a `tj.PiecewiseLinear` of controls `(3,)`, for `tj.linalg.driven(...,
    steering=...)`.

    **Raises:** ValueError for ends that are not positive or not in order.
    """
    for name, value, what in (
        ("low", low, "the smallest eigenvalue, above zero"),
        ("high", high, "the largest eigenvalue, above zero"),
        ("duration", duration, "a positive time"),
    ):
        real(name, value, what, positive)
    real("weight", weight, "0 or more", lambda w: np.isfinite(w) & (w >= 0))
    real("shift", shift, "a number of widths, 0 or more", lambda x: np.isfinite(x) & (x >= 0))
    knots, steps = whole("knots", knots, 2), whole("steps", steps)
    require_known(low=low, high=high, duration=duration, weight=weight, shift=shift, bath=bath)
    low, high, duration = float(low), float(high), float(duration)
    if low > high:
        raise ValueError(f"low = {low:g}, high = {high:g}: expected low up to high")
    values = jnp.geomspace(low, high, MODES)
    spectrum = Modes(values, jnp.eye(MODES)).spectrum
    device = device_for(spectrum, "overdamped", bath)
    relaxed = high * duration / float(device.bath.friction)
    if not STEPS_PER_TIME * relaxed <= MOST_STEPS:
        raise ValueError(
            f"duration = {duration:.3g} is {relaxed:.3g} relaxation times of the stiffest mode, "
            f"high = {high:.3g}: expected {MOST_STEPS / STEPS_PER_TIME:g} at most, for its moment "
            "equations to be followed"
        )
    # A power of two, so that most durations share one program.
    time_steps = 2 ** math.ceil(math.log2(max(LEAST_STEPS, STEPS_PER_TIME * relaxed)))
    protocol = PiecewiseLinear.between(IDLE, COUPLED, duration, knots)
    operator = lx.DiagonalLinearOperator(values)
    kt = float(device.bath.temperature)
    force = shift * jnp.sqrt(kt * values)
    system = shares_system(operator, force, high, protocol, device.bath)
    target = force / values, kt / values
    fit = optimize(
        system,
        (1 / kt) * MeanWork() + weight * TerminalError(target, "kl"),
        optimizer(),
        picture=ExactMoments(),
        time_steps=time_steps,
        steps=steps,
    )
    assert isinstance(fit.system.protocol, PiecewiseLinear)  # the class of what was to train
    return fit.system.protocol
