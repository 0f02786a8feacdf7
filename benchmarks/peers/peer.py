"""What every peer offers: its name, its target, and a run of the common problem."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from ..cases import Case
from ..exact import mean_work, of_case

FIXED_STIFFNESS = 0.25  # the well of peers that no control can drive: that before the ramp


class Outcome(NamedTuple):
    """Arrays of any library: positions, momenta (or velocities), `(batch, dim)`, and work."""

    position: Any
    momentum: Any
    work: Any  # (batch,), or None from a peer that runs a fixed well


@dataclass(frozen=True)
class Check:
    """A mean over paths beside its exact value."""

    quantity: str
    value: float
    exact: float
    error: float  # one standard error

    @property
    def deviation(self) -> float:
        """In standard errors."""
        return (self.value - self.exact) / self.error

    @property
    def passed(self) -> bool:
        return abs(self.deviation) < 4


class AbstractPeer(abc.ABC):
    """Another program for the stiffness ramp, kT = friction = mass = 1, float32.

    - `name`: as the table shows it. `packages`: (distribution, module) pairs that it imports.
    - `least`, `least_wide`, `least_single`: how many times our time it is to take, at least: at
      d < 64, at d >= 64, and for a batch of 1.
    - `drives`: it runs the ramp and books its work; else it runs a well of fixed stiffness.
    - `share`: it is timed over one step in so many, its time per step being what counts.
    """

    name: ClassVar[str]
    packages: ClassVar[tuple[tuple[str, str], ...]] = ()
    least: ClassVar[float]
    least_wide: ClassVar[float]
    least_single: ClassVar[float]
    drives: ClassVar[bool] = True
    share: ClassVar[int] = 1

    @abc.abstractmethod
    def build(self, case: Case, steps: int, seed: int = 0) -> Callable[[], Outcome]:
        """A call that runs the first `steps` steps of `case`, everything compiled beforehand."""

    def missing(self) -> str | None:
        """What it lacks here, in words; None if it can run."""
        lacking = [name for name, module in self.packages if find_spec(module) is None]
        return ", ".join(lacking) + " not installed" if lacking else None

    def version(self) -> str:
        return ", ".join(version(name) for name, _ in self.packages)

    def takes(self, case: Case) -> bool:
        return case.is_ramp

    def target(self, case: Case) -> float:
        if not case.is_ramp:
            return math.nan
        if case.batch == 1:
            return self.least_single
        return self.least_wide if case.dim >= 64 else self.least

    def steps(self, case: Case) -> int:
        return max(case.steps // self.share, min(case.steps, 10))

    def check(self, case: Case, seed: int = 1) -> Check:
        """Its mean work, or the variance in its fixed well, beside the exact value."""
        outcome = self.build(case, case.steps, seed)()
        if self.drives:
            work = np.asarray(outcome.work, float)
            exact = float(of_case(case, mean_work))
            return Check("work", float(work.mean()), exact, float(work.std() / work.size**0.5))
        squares = np.asarray(outcome.position, float).ravel() ** 2
        error = float(squares.std() / squares.size**0.5)
        return Check("variance", float(squares.mean()), 1 / FIXED_STIFFNESS, error)


def starts(case: Case, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions and momenta at equilibrium before the ramp, numpy, of our own to change."""
    _, state, _ = case.inputs(jax.random.key(seed))
    return np.array(state.position), np.array(state.momentum)
