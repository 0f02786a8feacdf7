"""What a valid call is, the table of all of them, and what many of them share."""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOptionalMemberAccess=false

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import thermojax as tj

KEY = jax.random.key(0)
START = tj.Equilibrium(jnp.zeros(1))
RAMP = tj.Linear(0.0, 1.0, 1.0)
TRAP = tj.Overdamped(tj.Harmonic(1.0, control="center"), RAMP, tj.Bath())
LEARNS = TRAP.replace(protocol=tj.PiecewiseLinear.between(0.0, 1.0, 1.0, knots=4))
HEAVY = tj.Underdamped(tj.Harmonic(1.0, control="center"), tj.Constant(), tj.Bath())
WELL = tj.Overdamped(tj.DoubleWell(4.0), tj.Constant(), tj.Bath())
WORK = np.random.default_rng(0).normal(0.5, 1.0, 64)
SERIES = np.random.default_rng(1).normal(size=(64, 4))
CLOUD = np.random.default_rng(2).normal(size=(40, 2))
LINE = np.linspace(-6.0, 6.0, 201)
BELL = np.exp(-(LINE**2) / 2) / np.sqrt(2 * np.pi)
TABLE = np.array([[1.0, 0.5], [1.0, -0.3], [1.0, 2.0]])


@dataclasses.dataclass(frozen=True)
class Call:
    """A call that works.

    - `valid`: its arguments by name. The fuzz replaces one of them at a time.
    - `kinds`: what an argument is where its value does not tell (see `test_fuzz.kind_of`).
    - `says`: what an error may name in place of an argument.
    - `nan`: the arguments in which NaN is a value: that of a path that diverged, or no bound.
    """

    function: Callable
    valid: dict[str, Any]
    kinds: dict[str, str] = dataclasses.field(default_factory=dict)
    nan: frozenset[str] = frozenset()
    says: dict[str, str] = dataclasses.field(default_factory=dict)


CALLS: dict[str, Callable[[], Call]] = {}


def call(
    name: str,
    function: Callable,
    kinds: dict[str, str] | None = None,
    nan=(),
    says: dict[str, str] | None = None,
    **valid,
):
    CALLS[name] = lambda: Call(function, valid, kinds or {}, frozenset(nan), says or {})
