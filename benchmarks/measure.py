"""Cases, the two programs of each, and a fair race between them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import thermojax as tj

from .plain_scan import plain_scan

DATA = Path(__file__).parents[1] / "data" / "breast_cancer.csv"
KNOTS = 64
STEP = 0.1


@dataclass(frozen=True)
class Case:
    """One problem: a potential whose control is ramped by `KNOTS` values between two ends.

    The values stop a tenth short of both ends: both programs pay for a jump there.
    """

    name: str
    potential: tj.AbstractPotential
    ends: tuple[float, float]
    batch: int
    dim: int
    steps: int

    @property
    def particle_steps(self) -> int:
        return self.batch * self.steps

    def inputs(self, key):
        """(schedule values, State, key): what both programs take."""
        first, last = self.ends
        inside = np.linspace(first + 0.1 * (last - first), last - 0.1 * (last - first), KNOTS)
        of_x, of_p, of_noise = jax.random.split(key, 3)
        shape = (self.batch, self.dim)
        x = jax.random.normal(of_x, shape, jnp.float32)
        # The width of the equilibrium before the ramp, where the case is a stiffness.
        width = first**-0.5 if isinstance(self.potential, tj.Harmonic) else 1.0
        p = jax.random.normal(of_p, shape, jnp.float32)
        return jnp.asarray(inside, jnp.float32), tj.State(width * x, p), of_noise


def stiffness_ramp(batch: int, dim: int, steps: int) -> Case:
    """Harmonic wells whose stiffness goes from 1/4 to 1."""
    well = tj.Harmonic(1.0, jnp.zeros(dim, jnp.float32), control="stiffness")
    return Case(f"stiffness ramp {batch} x {dim}", well, (0.25, 1.0), batch, dim, steps)


def posterior_ramp(batch: int, steps: int) -> Case:
    """Logistic regression of 569 rows, 30 features and a bias, from prior to posterior."""
    table = np.loadtxt(DATA, delimiter=",", skiprows=1)
    features, labels = table[:, :-1], table[:, -1]
    features = (features - features.mean(0)) / features.std(0)
    features = np.concatenate([np.ones((len(features), 1)), features], 1).astype(np.float32)
    prior = tj.Gaussian(jnp.zeros(features.shape[1], jnp.float32))
    ramp = tj.Interpolation(prior, prior + tj.LogisticRegression(features, labels))
    return Case(f"posterior ramp {batch} x 31", ramp, (0.0, 1.0), batch, features.shape[1], steps)


def all_cases(widest: int = 1024) -> list[Case]:
    """Small and large batches and dimensions; `widest`, the batch of the largest dimension."""
    return [
        stiffness_ramp(1024, 1, 1000),
        stiffness_ramp(1024, 8, 1000),
        stiffness_ramp(widest, 64, 1000),
        stiffness_ramp(65536, 1, 200),
        stiffness_ramp(1, 1, 20000),
        posterior_ramp(256, 200),
    ]


def gradient_cases() -> list[Case]:
    """The same, but for a plain scan whose gradient would keep 1.5 GiB at the full width."""
    return all_cases(widest=256)


def quick_cases() -> list[Case]:
    return [stiffness_ramp(1024, 1, 400), stiffness_ramp(1, 1, 5000), posterior_ramp(256, 50)]


def ours(case: Case):
    """f(values, state, key) -> `tj.Result`, everything that `tj.simulate` books."""

    def run(values, state, key):
        protocol = tj.PiecewiseLinear(values, case.steps * STEP, *case.ends)
        system = tj.Underdamped(case.potential, protocol, tj.Bath())
        return tj.simulate(system, key, time_steps=case.steps, initial=state)

    return run


def plain(case: Case):
    """f(values, state, key) -> position, momentum, work."""

    def run(values, state, key):
        x, p = state.position, state.momentum
        return plain_scan(
            case.potential.energy, values, case.ends, x, p, key, h=STEP, steps=case.steps
        )

    return run


def our_gradient(case: Case):
    """The gradient of the mean total work with respect to the values of the schedule."""

    def mean_work(values, state, key):
        result = ours(case)(values, state, key)
        return result.mean(result.ledger.total_work).value

    return jax.grad(mean_work)


def plain_gradient(case: Case):
    """The gradient of the mean work with respect to the values of the schedule."""
    return jax.grad(lambda *inputs: jnp.mean(plain(case)(*inputs)[2]))


@dataclass(frozen=True)
class Program:
    """A function compiled ahead of time, the seconds that took, and its temporary memory."""

    call: Callable
    compile_seconds: float
    temporary_bytes: float

    @classmethod
    def build(cls, function, inputs) -> Program:
        start = time.perf_counter()
        compiled = jax.jit(function).lower(*inputs).compile()
        seconds = time.perf_counter() - start
        memory = compiled.memory_analysis()
        size = math.nan if memory is None else float(memory.temp_size_in_bytes)
        return cls(compiled, seconds, size)

    def seconds(self, inputs) -> float:
        """The wall time of one call, its results ready."""
        start = time.perf_counter()
        jax.block_until_ready(self.call(*inputs))
        return time.perf_counter() - start


@dataclass(frozen=True)
class Comparison:
    """Two programs on the same inputs; `time_ratio` is first / second."""

    first_seconds: float
    second_seconds: float
    time_ratio: float
    first_bytes: float
    second_bytes: float
    first_compile: float
    second_compile: float

    @property
    def memory_ratio(self) -> float:
        return self.first_bytes / self.second_bytes if self.second_bytes else math.nan


def compare(first, second, inputs, rounds: int) -> Comparison:
    """Time two functions in turns: medians of the times, and the median of the rounds' ratios.

    What disturbs a machine disturbs neighbors alike: the ratio is taken round by round, and who
    goes first alternates.
    """
    jax.block_until_ready(inputs)
    a, b = Program.build(first, inputs), Program.build(second, inputs)
    for program in (a, b):
        program.seconds(inputs)
    times = []
    for i in range(rounds):
        if i % 2:
            late, early = b.seconds(inputs), a.seconds(inputs)
            times.append((early, late))
        else:
            times.append((a.seconds(inputs), b.seconds(inputs)))
    return Comparison(
        statistics.median(x for x, _ in times),
        statistics.median(y for _, y in times),
        statistics.median(x / y for x, y in times),
        a.temporary_bytes,
        b.temporary_bytes,
        a.compile_seconds,
        b.compile_seconds,
    )


def forward(case: Case, rounds: int, seed: int = 0) -> Comparison:
    """`tj.simulate` against the plain scan."""
    return compare(ours(case), plain(case), case.inputs(jax.random.key(seed)), rounds)


def gradient(case: Case, rounds: int, seed: int = 0) -> Comparison:
    """The reverse gradients of the two."""
    inputs = case.inputs(jax.random.key(seed))
    return compare(our_gradient(case), plain_gradient(case), inputs, rounds)
