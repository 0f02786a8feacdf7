"""Calls of `tj.bounds`."""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOptionalMemberAccess=false

from __future__ import annotations

import numpy as np

import thermojax as tj

from .call import BELL, CLOUD, KEY, LINE, START, TRAP, WELL, call

NORMAL = tj.bounds.Normal(np.zeros(1), np.eye(1))
TEMPLATE = {"template": "part"}
call("bounds.Density", tj.bounds.Density, x=LINE, density=BELL)
call("bounds.Normal", tj.bounds.Normal, mean=np.zeros(1), covariance=np.eye(1))
call("bounds.Samples", tj.bounds.Samples, values=CLOUD)
call("bounds.landauer", tj.bounds.landauer, success=0.9, temperature=1.0)
call("bounds.dissipation", tj.bounds.dissipation, system=TRAP, start=NORMAL, end=NORMAL)
call("bounds.fixed_end", tj.bounds.fixed_end, system=TRAP, start=NORMAL, end=NORMAL)
call("bounds.free_end", tj.bounds.free_end, system=TRAP, start=NORMAL, lower=-1.0, upper=1.0)
call(
    "bounds.equilibrium",
    tj.bounds.equilibrium,
    system=TRAP,
    end="initial",
    template=START,
    cells=64,
)
call(
    "bounds.erasure",
    tj.bounds.erasure,
    system=WELL,
    success=0.9,
    end="free",
    dividing=0.0,
    template=START,
    cells=64,
)
call("bounds.friction_tensor", tj.bounds.friction_tensor, system=TRAP, control=0.0, template=START)
call(
    "bounds.measured_friction",
    tj.bounds.measured_friction,
    system=TRAP,
    control=0.0,
    key=KEY,
    duration=1.0,
    dt=0.1,
    batch=8,
    initial=START,
)
ALONG = dict(friction=lambda control: 1.0 + 0 * control, path=np.array([0.0, 0.5, 1.0]))
call("bounds.geodesic", tj.bounds.geodesic, system=TRAP, knots=5, template=START, **ALONG)
call(
    "bounds.thermodynamic_length",
    tj.bounds.thermodynamic_length,
    system=TRAP,
    template=START,
    **ALONG,
)
