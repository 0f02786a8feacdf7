"""A fair race: two programs timed in turns, medians of the rounds."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax


class Took(NamedTuple):
    """Seconds of one call."""

    wall: float
    cpu: float  # of all threads of this process


def took(call: Callable) -> Took:
    """The time of one call, its results ready, after one that is not measured.

    For a while after a peer's work is done, its threads (of OpenMP) keep the cores busy.
    """
    jax.block_until_ready(call())
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(call())
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


@dataclass(frozen=True)
class Program:
    """A function compiled ahead of time, the seconds that took, and its temporary memory."""

    compiled: Callable
    inputs: tuple
    compile_seconds: float
    temporary_bytes: float
    text: str  # what the compiler made of it

    @classmethod
    def build(cls, function, inputs) -> Program:
        start = time.perf_counter()
        compiled = jax.jit(function).lower(*inputs).compile()
        seconds = time.perf_counter() - start
        memory = compiled.memory_analysis()
        size = math.nan if memory is None else float(memory.temp_size_in_bytes)
        inputs = jax.block_until_ready(inputs)
        return cls(compiled, inputs, seconds, size, compiled.as_text() or "")

    def __call__(self):
        return self.compiled(*self.inputs)


@dataclass(frozen=True)
class Timing:
    """Median seconds of two programs, and the medians over the rounds of first / second."""

    first: float
    second: float
    ratio: float
    cpu_ratio: float  # of processor time, which other work on the machine disturbs far less


def race(first: Callable, second: Callable, rounds: int) -> Timing:
    """Time two calls in turns.

    What disturbs a machine disturbs neighbors alike: the ratio is taken round by round, and who
    goes first alternates.
    """
    times = []
    for i in range(rounds):
        if i % 2:
            late, early = took(second), took(first)
            times.append((early, late))
        else:
            times.append((took(first), took(second)))
    return Timing(
        statistics.median(x.wall for x, _ in times),
        statistics.median(y.wall for _, y in times),
        statistics.median(x.wall / y.wall for x, y in times),
        statistics.median(x.cpu / y.cpu for x, y in times),
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
