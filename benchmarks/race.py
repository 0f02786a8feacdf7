"""A fair race: two programs timed in turns, medians of the rounds."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax


def seconds_of(call: Callable) -> float:
    """The wall time of one call, its results ready."""
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


@dataclass(frozen=True)
class Program:
    """A function compiled ahead of time, the seconds that took, and its temporary memory."""

    compiled: Callable
    inputs: tuple
    compile_seconds: float
    temporary_bytes: float

    @classmethod
    def build(cls, function, inputs) -> Program:
        start = time.perf_counter()
        compiled = jax.jit(function).lower(*inputs).compile()
        seconds = time.perf_counter() - start
        memory = compiled.memory_analysis()
        size = math.nan if memory is None else float(memory.temp_size_in_bytes)
        return cls(compiled, jax.block_until_ready(inputs), seconds, size)

    def __call__(self):
        return self.compiled(*self.inputs)


@dataclass(frozen=True)
class Timing:
    """Median seconds of two programs, and the median over the rounds of first / second."""

    first: float
    second: float
    ratio: float


def race(first: Callable, second: Callable, rounds: int) -> Timing:
    """Time two calls in turns, after one unmeasured call of each.

    What disturbs a machine disturbs neighbors alike: the ratio is taken round by round, and who
    goes first alternates.
    """
    for call in (first, second):
        jax.block_until_ready(call())
    times = []
    for i in range(rounds):
        if i % 2:
            late, early = seconds_of(second), seconds_of(first)
            times.append((early, late))
        else:
            times.append((seconds_of(first), seconds_of(second)))
    return Timing(
        statistics.median(x for x, _ in times),
        statistics.median(y for _, y in times),
        statistics.median(x / y for x, y in times),
    )


@dataclass(frozen=True)
class Comparison:
    """Two compiled programs on the same inputs; ratios are first / second."""

    first: Program
    second: Program
    timing: Timing


def compare(first, second, inputs, rounds: int) -> Comparison:
    """Compile two functions of the same inputs and race them."""
    a, b = Program.build(first, inputs), Program.build(second, inputs)
    return Comparison(a, b, race(a, b, rounds))
