"""Calls of potentials, protocols, systems, runs, estimators, pictures and training."""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOptionalMemberAccess=false

from __future__ import annotations

import contextlib
import functools
from typing import Any

import numpy as np
import optax

import thermojax as tj

from .call import (
    BELL,
    CALLS,
    CLOUD,
    HEAVY,
    KEY,
    LEARNS,
    LINE,
    RAMP,
    SERIES,
    START,
    TABLE,
    TRAP,
    WORK,
    Call,
    call,
)

# Potentials.
call("DoubleWell", tj.DoubleWell, barrier=1.0, separation=1.0)
call("Gaussian", tj.Gaussian, mean=np.zeros(2), covariance=np.eye(2))
call(
    "GaussianMixture",
    tj.GaussianMixture,
    means=np.zeros((2, 1)),
    covariances=np.ones(2),
    weights=np.ones(2),
)
call("Harmonic", tj.Harmonic, stiffness=np.eye(2), center=np.zeros(2), control="center")
call("Interpolation", tj.Interpolation, prior=tj.Gaussian(np.zeros(2)), target=tj.Harmonic())
call("LogDensity", tj.LogDensity, fn=lambda x: -x @ x, controlled=False)
call(
    "LogisticRegression",
    tj.LogisticRegression,
    features=np.ones((3, 2)),
    labels=np.array([0.0, 1.0, 1.0]),
)
call("LinearRegression", tj.LinearRegression, features=TABLE, targets=np.ones(3), noise=0.5)
call(
    "SoftmaxRegression",
    tj.SoftmaxRegression,
    features=TABLE,
    labels=np.array([0.0, 1.0, 2.0]),
    classes=3,
)
call("PoissonRegression", tj.PoissonRegression, features=TABLE, counts=np.arange(3), exposure=1.0)
call("GaussianLikelihood", tj.GaussianLikelihood, y=np.ones(3), covariance=0.5, operator=TABLE)
call(
    "RandomEffects",
    tj.RandomEffects,
    {"trials": "number"},
    features=TABLE,
    successes=np.arange(3),
    trials=4,
    groups=np.array([0, 1, 1]),
)
MLP = dict(network=lambda x, row: row @ x["w"], features=TABLE, parameters={"w": np.zeros((2, 1))})
HEAD = {"parameters": "tree"}
call("NetworkRegression", tj.NetworkRegression, HEAD, targets=np.ones((3, 1)), noise=0.5, **MLP)
call("NetworkClassification", tj.NetworkClassification, HEAD, labels=np.array([0, 1, 1]), **MLP)
call(
    "DiagonalGaussian",
    tj.DiagonalGaussian,
    {"mean": "tree", "variance": "tree"},
    mean=np.zeros((2, 3)),
    variance=np.ones(3),
)
call(
    "Tempering",
    tj.Tempering,
    {"likelihoods": "parts"},
    prior=tj.Gaussian(np.zeros(2)),
    likelihoods=[tj.Harmonic()],
)

# Protocols.
KNOTS = dict(
    values=np.array([0.0, 0.5, 1.0]),
    duration=1.0,
    initial=0.0,
    final=1.0,
    lower=-1.0,
    upper=2.0,
    kicks=np.zeros(2),
    pinned=False,
)
BETWEEN = {name: value for name, value in KNOTS.items() if name != "values"} | {"knots": 5}
for name in ("Chebyshev", "CubicSpline", "PiecewiseConstant", "PiecewiseLinear"):
    kind = getattr(tj, name)
    call(name, kind, **KNOTS)
    says = {"initial": "lower|upper", "final": "lower|upper"}  # of the ramp between these
    call(f"{name}.between", kind.between, says=says, **BETWEEN)
MONOTONE = dict(duration=1.0, initial=0.0, final=1.0, kicks=np.zeros(2), pinned=False)
call("Monotone", tj.Monotone, logits=np.zeros(4), **MONOTONE)
call("Monotone.between", tj.Monotone.between, knots=5, **MONOTONE)
call("Constant", tj.Constant, value=0.0, duration=1.0)
call("Linear", tj.Linear, start=0.0, end=1.0, duration=1.0)
NETWORK = tj.Neural.between(0.0, 1.0, 1.0, key=KEY, width=2, depth=1).network
NEURAL = {name: value for name, value in KNOTS.items() if name != "values"}
call("Neural", tj.Neural, network=NETWORK, **NEURAL)
call("Neural.between", tj.Neural.between, key=KEY, width=2, depth=1, **NEURAL)

# Systems.
BATH = {"friction": "tree", "mass": "tree"}
call("Bath", tj.Bath, BATH, temperature=1.0, friction=1.0, mass=1.0)
PARTS = dict(potential=tj.Harmonic(), protocol=RAMP, bath=tj.Bath(), drive=lambda x, control: 0 * x)
call("Overdamped", tj.Overdamped, **PARTS)
call("Underdamped", tj.Underdamped, **PARTS)
call("TwoSidedDrive", tj.TwoSidedDrive, forces=lambda x, control: (0 * x, 0 * x), turned=False)
call("reverse", tj.reverse, system=TRAP)
CHECK = {"template": "tree", "potential": "free"}
call("check", tj.check, CHECK, potential=tj.Harmonic(), template=np.zeros(2), control=0.0)


def set_up_cpu(keep_memory=False):
    """JAX has been used in this process, which is said after the arguments were looked at."""
    with contextlib.suppress(RuntimeError):
        tj.set_up_cpu(keep_memory)


call("set_up_cpu", set_up_cpu, keep_memory=False)

# Runs.
HOW = {
    "adjoint": "part",
    "sharding": "part",
    "noise_dtype": "choice",
    "initial": "tree",
    "save": "any",
}
call("Equilibrium", tj.Equilibrium, {"template": "tree"}, template=np.zeros(1))
call("LocalStep", tj.LocalStep, angle=0.5, spread=1.0)
call("batch_sharding", tj.batch_sharding, {"devices": "any"}, devices=1)
RUN = dict(
    batch=2,
    initial=START,
    integrator=tj.BAOAB(),
    observe=lambda time, *_: time,
    memory=10**6,
    save=2,
)
call("simulate", tj.simulate, HOW, system=TRAP, key=KEY, dt=0.1, **RUN)
call("simulate in steps", tj.simulate, HOW, system=TRAP, key=KEY, time_steps=4, **RUN)
call("start", tj.start, HOW, system=TRAP, key=KEY, batch=2, initial=START)
call("BAOAB", tj.BAOAB)
call("OBABO", tj.OBABO)
call("QUICSORT", tj.QUICSORT, path="grid")
call(
    "OrnsteinUhlenbeck",
    tj.OrnsteinUhlenbeck,
    drift=np.eye(2),
    shift=np.zeros(2),
    diffusion=np.eye(2),
)
OU = dict(stiffness=np.eye(2), center=np.zeros(2), bath=tj.Bath())
call("OrnsteinUhlenbeck.overdamped", tj.OrnsteinUhlenbeck.overdamped, **OU)
call("OrnsteinUhlenbeck.underdamped", tj.OrnsteinUhlenbeck.underdamped, **OU)
PROCESS = tj.OrnsteinUhlenbeck(np.eye(2), np.zeros(2), np.eye(2))
TUNE = {"initial": "tree"}
call(
    "tune",
    tj.tune,
    TUNE,
    system=HEAVY,
    key=KEY,
    batch=8,
    initial=START,
    steps=2000,
    accuracy=0.02,
    adjusted=tj.LocalStep(),
)


@functools.cache
def chained() -> dict[str, Any]:
    return dict(chain=tj.start(TRAP, KEY, batch=2, initial=START))


CALLS["advance"] = lambda: Call(
    tj.advance,
    chained() | dict(system=TRAP, dt=0.1, steps=2, integrator=tj.BAOAB(), memory=10**6),
    HOW | {"adjusted": "choice"},
)
CALLS["resample"] = lambda: Call(tj.resample, chained() | dict(key=KEY), {})
CALLS["switch"] = lambda: Call(tj.switch, chained() | dict(old=TRAP, new=TRAP), {})


@functools.cache
def ran() -> tj.Result:
    return tj.simulate(TRAP, KEY, time_steps=4, batch=8, initial=START, save=3)


# Estimators.
WORKS = dict(forward=WORK, reverse=-WORK)
BOTH = {"forward": "run", "reverse": "run"}
call(
    "free_energy.jarzynski",
    tj.free_energy.jarzynski,
    {"run": "run"},
    nan=["run"],
    says={"run": "log_weight"},
    run=-WORK,
    alive=np.ones(64),
    system=TRAP,
)
call("free_energy.bar", tj.free_energy.bar, BOTH, nan=["forward", "reverse"], **WORKS)
TI = dict(system=TRAP, key=KEY, batch=4, nodes=4, initial=START)
call("free_energy.thermodynamic_integration", tj.free_energy.thermodynamic_integration, TUNE, **TI)
ALL = ["log_weight", "log_ratio", "forward", "reverse"]
call(
    "fluctuation.integral",
    tj.fluctuation.integral,
    nan=ALL,
    log_weight=WORK,
    log_ratio=0.0,
    alive=np.ones(64),
    says={"log_weight": "alive"},
)
call("fluctuation.crooks", tj.fluctuation.crooks, nan=ALL, **WORKS)
SAYS = {"log_ratio": "works overlap"}  # where it is far from what they show
call(
    "fluctuation.detailed",
    tj.fluctuation.detailed,
    nan=ALL,
    says=SAYS,
    bins=4,
    log_ratio=0.0,
    **WORKS,
)
VALUES = ["values", "ensemble"]  # of chains, some of which may have diverged
call(
    "diagnostics.autocorrelation", tj.diagnostics.autocorrelation, nan=VALUES, values=SERIES, lags=4
)
call(
    "diagnostics.autocorrelation_time",
    tj.diagnostics.autocorrelation_time,
    nan=VALUES,
    values=SERIES,
    window=5.0,
)
call(
    "diagnostics.effective_sample_size",
    tj.diagnostics.effective_sample_size,
    nan=VALUES,
    values=SERIES,
    window=5.0,
    method="window",
)
call(
    "diagnostics.ergodicity",
    tj.diagnostics.ergodicity,
    nan=VALUES,
    values=SERIES,
    ensemble=np.array(0.0),
    window=5.0,
)
call("diagnostics.r_hat", tj.diagnostics.r_hat, nan=VALUES, values=SERIES, rank_normalized=False)
call("knn_entropy", tj.knn_entropy, nan=["samples"], samples=CLOUD, neighbor=4)
call("diagnostics.power", tj.diagnostics.power, system=TRAP)
call(
    "diagnostics.Streaming.start",
    tj.diagnostics.Streaming.start,
    nan=["template"],
    template=np.zeros(4),
)
CALLS["ensemble_ledger"] = lambda: Call(
    tj.ensemble_ledger, dict(system=TRAP, result=ran(), free_energy_start=0.0)
)
CALLS["entropy_production"] = lambda: Call(
    tj.entropy_production,
    dict(system=TRAP, result=ran(), log_density=lambda x: -(x[0] ** 2), free_energy_start=0.0),
)

# Pictures.
GAUSSIANS = dict(mean0=np.zeros(2), covariance0=np.eye(2), mean1=np.ones(2), covariance1=np.eye(2))
PAIR = dict(x_weights=np.ones(40), y_weights=np.ones(40))
ON_GRID = dict(grid=LINE, density0=BELL, density1=BELL)
for name in ("kl_gaussian", "wasserstein_gaussian", "transport_cost_gaussian"):
    call(f"distances.{name}", getattr(tj.distances, name), **GAUSSIANS)
for name in ("wasserstein", "transport_cost"):
    samples, density = getattr(tj.distances, name), getattr(tj.distances, f"{name}_density")
    call(f"distances.{name}", samples, x=CLOUD[:, 0], y=CLOUD[:, 1], p=2.0, **PAIR)
    call(f"distances.{name}_density", density, p=2.0, **ON_GRID)
call(
    "distances.sinkhorn_divergence",
    tj.distances.sinkhorn_divergence,
    x=CLOUD,
    y=CLOUD,
    epsilon=0.5,
    **PAIR,
)
STEIN = dict(x=CLOUD, score=-CLOUD, weights=np.ones(40))
call("distances.stein_discrepancy", tj.distances.stein_discrepancy, **STEIN)
call("distances.stein_p_value", tj.distances.stein_p_value, key=KEY, replicas=10, **STEIN)
call("FokkerPlanck", tj.FokkerPlanck, lower=-4.0, upper=4.0, cells=64, boundary="natural")
LAW = {"initial": "law"}
call(
    "FokkerPlanck.solve",
    tj.FokkerPlanck(-6.0, 7.0, 96).solve,
    LAW,
    system=TRAP,
    times=np.array([0.0, 1.0]),
    time_steps=8,
    initial=START,
)
call(
    "moments",
    tj.moments,
    LAW,
    system=TRAP,
    times=np.array([0.0, 1.0]),
    initial=START,
)
IN_STEPS = dict(initial=START, time_steps=16)
call("moments in steps", tj.moments, LAW | {"times": "any"}, system=TRAP, times=2, **IN_STEPS)
call("log_work_moment", tj.log_work_moment, LAW, system=TRAP, order=2.0, initial=START)

# Objectives and training.
call("ControlCost", tj.ControlCost, jump_time=0.1)
call("Dissipation", tj.Dissipation, free_energy_difference=0.0)
call("ErasureError", tj.ErasureError, side="above", boundary=0.0, coordinate=0, width=0.1)
call("FreeEnergyVariance", tj.FreeEnergyVariance, direction="forward")
call(
    "TerminalError",
    tj.TerminalError,
    {"target": "law"},
    target=(np.zeros(1), np.eye(1)),
    measure="moments",
    bandwidth=1.0,
)
call("Smoothed", tj.Smoothed, {"width": "law"}, width=0.1)
call("scale_by_value", tj.scale_by_value, floor=0.1)
TRAIN = dict(
    optimizer=optax.adam(0.1), key=KEY, steps=2, gradient=tj.Pathwise(), time_steps=4, batch=4
)
TRAIN |= dict(patience=3, tolerance=0.1, initial=START, integrator=tj.BAOAB(), memory=10**6)
TRAINING = {"initial": "tree", "checkpoint": "part", "trainable": "function", "sharding": "part"}
TRAINING |= {"callback": "function", "picture": "part", "optimizer": "optimizer"}
call(
    "optimize",
    tj.optimize,
    TRAINING,
    system=LEARNS,
    objective=tj.MeanWork(),
    antithetic=False,
    common_noise=False,
    **TRAIN,
)
call(
    "frontier",
    tj.frontier,
    TRAINING | {"bound": "optional"},
    system=LEARNS,
    objective=tj.MeanWork(),
    durations=np.array([1.0, 2.0]),
    **TRAIN,
)
call(
    "pareto",
    tj.pareto,
    TRAINING,
    system=LEARNS,
    cost=tj.MeanWork(),
    error=tj.TerminalError((np.zeros(1), np.eye(1))),
    weights=np.array([1.0, 2.0]),
    **TRAIN,
)

# Files.
FILE = {"file": "path", "folder": "path", "facts": "facts"}
call("Checkpoint", tj.Checkpoint, FILE, file="no/such.npz", interval=5.0, anyway=False)
call("load", tj.load, FILE, says={"folder": "output folder"}, folder="no/such/folder")
