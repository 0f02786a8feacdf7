"""Calls of `tj.bayes`, and of `tj.from_numpyro`."""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOptionalMemberAccess=false

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import thermojax as tj

from .call import CALLS, CLOUD, KEY, TABLE, Call, call

MODEL = tj.bayes.Model(tj.Gaussian(np.zeros(2)), tj.LinearRegression(TABLE, np.ones(3), 0.5))
call("bayes.doubts", tj.bayes.doubts, model=MODEL)
call(
    "bayes.Model",
    tj.bayes.Model,
    {"template": "tree", "constrain": "any", "prior": "optional", "likelihood": "function"},
    prior=tj.Gaussian(np.zeros(2)),
    likelihood=tj.LinearRegression(TABLE, np.ones(3), 0.5),
    template=np.zeros(2),
)
call(
    "bayes.infer",
    tj.bayes.infer,
    {"prior": "optional"},
    says={"prior": "fn", "likelihood": "fn"},
    prior=tj.Gaussian(np.zeros(2)),
    likelihood=tj.LinearRegression(TABLE, np.ones(3), 0.5),
    key=KEY,
    error=0.1,
    effective=0.5,
    samples=64,
    budget=1e5,
    schedule="linear",
    duration=3.0,
    resample=0.5,
)
call(
    "bayes.compare_schedules",
    tj.bayes.compare_schedules,
    {"schedules": "any"},
    model=MODEL,
    key=KEY,
    durations=[3.0],
    log_evidence=-5.0,
    schedules=["linear"],
    samples=64,
)
call(
    "bayes.minibatch",
    tj.bayes.minibatch,
    {"prior": "optional"},
    says={"prior": "fn", "likelihood": "fn"},
    prior=tj.Gaussian(np.zeros(2)),
    likelihood=tj.LinearRegression(np.tile(TABLE, (3, 1)), np.ones(9), 0.5),
    key=KEY,
    rows=8,
    samples=64,
    dt=0.05,
    center=True,
    compensated=True,
)
call(
    "bayes.modes",
    tj.bayes.modes,
    {"starts": "tree"},
    model=MODEL,
    key=KEY,
    starts=np.zeros((2, 2)),
    n=4,
    steps=5,
)
call(
    "bayes.calibrate",
    tj.bayes.calibrate,
    model=MODEL,
    key=KEY,
    sampler=lambda model, key: tj.bayes.infer(model, key),
    simulations=20,
    narrow=0.1,
    power=0.95,
    level=0.05,
    finer=lambda model, key: tj.bayes.infer(model, key),
    data=True,
)
call(
    "bayes.pit",
    tj.bayes.pit,
    nan=("value", "draws"),
    value=np.zeros(2),
    draws=CLOUD,
    key=KEY,
    log_weight=np.zeros(40),
)
call("bayes.ecdf_band", tj.bayes.ecdf_band, n=20, level=0.95)
call("bayes.ecdf_p_value", tj.bayes.ecdf_p_value, values=np.linspace(0.1, 0.9, 20))
call("bayes.scalars_needed", tj.bayes.scalars_needed, narrow=0.1, power=0.95, level=0.05)
call(
    "bayes.as_blackjax",
    tj.bayes.as_blackjax,
    {"mass": "tree", "friction": "tree", "adjusted": "part"},
    logdensity_fn=lambda x: -x @ x,
    dt=0.1,
    mass=1.0,
    friction=1.0,
    steps=2,
)
call(
    "bayes.NumPyroKernel",
    tj.bayes.NumPyroKernel,
    {"potential_fn": "any", "mass": "tree", "adjusted": "part"},
    says={"potential_fn": "both"},
    model=lambda: None,
    step_size=0.1,
    mass=1.0,
    steps=2,
)


def from_numpyro(model):
    return tj.from_numpyro(model)


def numpyro_model():
    import numpyro

    law = numpyro.distributions.Normal()
    numpyro.sample("y", law, obs=numpyro.sample("x", law))


call("from_numpyro", from_numpyro, model=numpyro_model)
LINE_PRIOR = tj.Gaussian(np.zeros(1))
LINE_DATUM = tj.Gaussian(np.ones(1))
call(
    "bayes.exact",
    tj.bayes.exact,
    {"times": "any"},
    prior=LINE_PRIOR,
    likelihood=LINE_DATUM,
    duration=1.0,
    schedule="linear",
    friction=1.0,
    times=2,
    start=(np.zeros(1), np.ones(1)),
)
call(
    "bayes.particles",
    tj.bayes.particles,
    {"template": "tree"},
    prior=LINE_PRIOR,
    key=KEY,
    samples=8,
    capacity=2,
    template=np.zeros(1),
)


@functools.cache
def held() -> dict[str, Any]:
    return dict(state=tj.bayes.particles(LINE_PRIOR, KEY, samples=8, capacity=2))


@functools.cache
def observed() -> dict[str, Any]:
    return dict(state=held()["state"].with_datum(LINE_DATUM))


COUPLE = dict(key=KEY, steps=2, duration=1.0, schedule="linear", friction=1.0)
CALLS["bayes.observe"] = lambda: Call(
    tj.bayes.observe, dict(**held(), datum=LINE_DATUM, weight=1.0, **COUPLE)
)
CALLS["bayes.attend"] = lambda: Call(
    tj.bayes.attend, dict(**observed(), attention=np.zeros(1), **COUPLE)
)
