"""Calls of `tj.linalg`."""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOptionalMemberAccess=false

from __future__ import annotations

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

import thermojax as tj

from .call import KEY, call

COUPLED = np.array([[3.0, 2.0], [2.0, 4.0]])
call("linalg.solve", tj.linalg.solve, A=COUPLED, b=np.ones(2), key=KEY, time=5.0)
call("linalg.inv", tj.linalg.inv, A=COUPLED, key=KEY, time=5.0)
call("linalg.lyapunov", tj.linalg.lyapunov, A=COUPLED, R=np.ones(2), key=KEY, time=5.0)
call("linalg.expm", tj.linalg.expm, A=COUPLED, key=KEY, time=5.0)
call("linalg.expnegm", tj.linalg.expnegm, A=COUPLED, key=KEY, time=5.0)
call(
    "linalg.logdet",
    tj.linalg.logdet,
    A=COUPLED,
    key=KEY,
    time=5.0,
    trajectories=8,
    ramp="linear",
)
call("linalg.runtime", tj.linalg.runtime, problem="solve", A=COUPLED, b=np.ones(2), rtol=0.1)
call("linalg.driven", tj.linalg.driven, A=COUPLED, b=np.ones(2), duration=1.0, times=2)
call("linalg.energy_delay", tj.linalg.energy_delay, A=COUPLED, deficiency=0.1, b=np.ones(2))
call("linalg.slow_modes", tj.linalg.slow_modes, A=COUPLED, key=KEY, products=2, first=np.ones(2))
call(
    "linalg.trained_steering",
    tj.linalg.trained_steering,
    low=1.0,
    high=2.0,
    duration=1.0,
    weight=1.0,
    shift=1.0,
    knots=2,
    steps=1,
)
call(
    "linalg.box_qp",
    tj.linalg.box_qp,
    A=COUPLED,
    b=np.ones(2),
    lower=-1.0,
    upper=np.ones(2),
    key=KEY,
    temperature=0.1,
    time=5.0,
    friction=1.0,
)
call(
    "linalg.gauss_newton",
    tj.linalg.gauss_newton,
    {"outputs": "function", "loss": "function", "params": "tree"},
    outputs=lambda p: jax.flatten_util.ravel_pytree(p)[0],
    loss=lambda z: jnp.sum(z**2),
    params=np.ones(2),
)
call(
    "linalg.natural_gradient",
    tj.linalg.natural_gradient,
    key=KEY,
    damping=0.1,
    steps=3,
    temperature=1.0,
    dynamics="underdamped",
    trajectories=1,
)
call(
    "linalg.Imperfections",
    tj.linalg.Imperfections,
    component_error=0.01,
    input_bits=6,
    rounding="random",
    output_bits=8,
    output_range=3.0,
    white_noise=0.1,
    flicker_noise=0.1,
    flicker_band=(1e-2, 1.0),
    drift=1e-3,
    excess_temperature=0.1,
)
IMPERFECT = tj.linalg.Imperfections(component_error=0.01)
call(
    "linalg.floor",
    tj.linalg.floor,
    A=COUPLED,
    b=np.ones(2),
    imperfections=IMPERFECT,
    time=5.0,
    wait=1.0,
    copies=2,
    trajectories=2,
    extrapolate=True,
    temperature=1.0,
)
call(
    "linalg.split",
    tj.linalg.split,
    A=COUPLED,
    b=np.ones(2),
    time=5.0,
    trajectories=(1, 2),
    equilibration=0.1,
)
