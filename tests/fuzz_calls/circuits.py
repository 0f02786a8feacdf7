"""Calls of `tj.circuits`."""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

import math

import numpy as np

import thermojax as tj

from .call import KEY, call

C = np.array([[3.0, -1.0], [-1.0, 2.0]]) * 1e-9
MORE = {"temperature": 300.0, "noise": 1e-20, "source": 1e-6}
SHAPES = "shapes are|expected one of the two"
# Where arrays disagree the message lists all of them.
call(
    "circuits.RC",
    tj.circuits.RC,
    says={x: f"{x}|{SHAPES}" for x in ("capacitance", "resistance", "noise", "source")},
    capacitance=C,
    resistance=np.array([1e3, 2e3]),
    **MORE,
)
call(
    "circuits.RC of a network",
    tj.circuits.RC,
    says={x: f"{x}|{SHAPES}" for x in ("capacitance", "conductance", "noise", "source")},
    capacitance=C,
    conductance=C * 1e6,
    **MORE,
)
call(
    "circuits.RL",
    tj.circuits.RL,
    says={x: f"{x}|{SHAPES}" for x in ("inductance", "resistance", "noise", "source")},
    inductance=1e-6,
    resistance=np.array([[2.0, 1.0], [1.0, 3.0]]),
    **MORE,
)
call(
    "circuits.RLC",
    tj.circuits.RLC,
    says={
        x: f"{x}|{SHAPES}" for x in ("capacitance", "resistance", "inductance", "noise", "source")
    },
    capacitance=C,
    resistance=1e3,
    inductance=1e-6,
    **MORE,
)
call("circuits.johnson_noise", tj.circuits.johnson_noise, resistance=1e3, temperature=300.0)
call("circuits.thermal_voltage", tj.circuits.thermal_voltage, temperature=300.0)
call(
    "circuits.program",
    tj.circuits.program,
    says={"value_range": "value_range|elements from", "matrix": "matrix|elements from"},
    matrix=C * 1e9,
    into="capacitance",
    value_range=(1e-12, 1e-8),
    series="E24",
    tolerance=0.01,
    key=KEY,
    capacitance=1e-9,
    resistance=1e3,
    inductance=1e-6,
    noise=1e-20,
    temperature=300.0,
)
call(
    "circuits.program in resistors",
    tj.circuits.program,
    says={"matrix": "matrix|b has shape"},
    matrix=C * 1e9,
    into="conductance",
    noise=1e-20,
    b=np.ones(2),
)
call(
    "circuits.Bill",
    tj.circuits.Bill,
    kinds={"work": "any"},  # a number as well
    says={
        "time": "time|period",
        "operations": "operations",
        "joules_per_operation": "operations|joules",
    },
    time=1.0,
    work=tj.Estimate(1.0, 0.1, 10),
    injected=1.0,
    bias=1.0,
    readout=1.0,
    heat=1.0,
    idle_power=1.0,
    period=2.0,
    bits=8.0,
    temperature=300.0,
    operations=10.0,
    joules_per_operation=1e-12,
)
call(
    "circuits.GaussianPosterior",
    tj.circuits.GaussianPosterior,
    says={"prior_mean": "prior_mean|prior_covariance"},
    prior_mean=np.zeros(2),
    prior_covariance=np.eye(2),
    likelihood_covariance=np.array([[1.0, 0.2], [0.2, 2.0]]),
    data=np.ones(2),
    inductance=1e-6,
    resistance=1e3,
    unit=1e-3,
    temperature=300.0,
)
call(
    "circuits.TransistorPair",
    tj.circuits.TransistorPair,
    bias=1e-6,
    supply=3.0,
    temperature=300.0,
    gain=math.inf,
)
call(
    "circuits.LogisticPosterior",
    tj.circuits.LogisticPosterior,
    says={"features": "features|labels"},
    features=np.array([[1.0, 0.5], [1.0, -0.3], [1.0, 2.0]]),
    labels=np.array([0, 1, 1]),
    prior_variance=1.0,
    prior_mean=0.0,
    capacitance=1e-9,
    pair=tj.circuits.TransistorPair(),
)
