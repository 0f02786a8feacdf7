"""Measure one tuned number of `thermojax/_tuning.py` again, or list them all.

    python -m benchmarks.tuning                              # the table
    python -m benchmarks.tuning function_tile --set-up-cpu   # what "in functions" means
    python -m benchmarks.tuning wide_tile --case "forward 1024 x 64"

The program of its case is compiled for each value in the range that was tried, and each is timed in
turns with that of the value in use. What came out so far: [tuning.md](tuning.md).
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import math
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax

import thermojax as tj
from thermojax import _tuning

from .cases import Case, our_gradient, ours, shared_out, stiffness_ramp
from .child import Child
from .race import Program, race
from .report import SET_UP_CPU, header, header_text, table

FLAGS = ("function_bytes", "vector_bits")  # of XLA, which reads them once in a process
WORK = 2**23  # numbers times steps of a run: some 50 ms on a CPU
SHARE = 0.5  # of the memory that a gradient takes without a budget, as its budget

NOTE = """\
"ratio": time / that of the value in use, medians of {rounds} rounds in turns; what the value in use
has against itself is noise. "program": whether the value changes anything here. "MiB": the
compiler's temporary memory of one device; a budget is that of all."""


@dataclasses.dataclass(frozen=True)
class Number:
    """One number of the table, and what is known of it."""

    table: str  # by which name its table is imported
    name: str
    value: Any
    unit: str
    tried: tuple[int, int]
    case: str
    meaning: str

    def values(self) -> list:
        """What to try: both ends, the powers of two between them, and the value in use.

        Of a range of lengths: all lengths that were tried, the value in use, and no length.
        """
        low, high = self.tried
        if isinstance(self.value, range):
            return [range(low, high + 1), self.value, range(self.value.stop, self.value.stop)]
        powers = {2**k for k in range(high.bit_length()) if low < 2**k < high}
        return sorted({low, high, self.value} | powers)

    def __str__(self) -> str:
        low, high = self.tried
        value = f"{self.name} = {self.value} {self.unit}, of {low} to {high}; {self.case}"
        return f"{value}\n    {self.meaning}"


def numbers() -> dict[str, Number]:
    """All of the table, by name."""
    found = [
        Number(name, entry.name, entry.default, **entry.metadata)
        for name in ("ON_CPU", "ON_GPU", "IN_MEMORY")
        for entry in dataclasses.fields(getattr(_tuning, name))
    ]
    return {number.name: number for number in found}


def parsed(case: str, steps: int | None = None) -> tuple[Callable, Case]:
    """What "forward 1024 x 8" or "gradient 1024 x 8" means: the function, and the stiffness ramp.

    **Arguments:** `steps`: of the run; as many as a measurement takes when left out.
    """
    words = re.fullmatch(r"(forward|gradient) (\d+) x (\d+)", case)
    if words is None:
        raise ValueError(f'case = {case!r}: expected "forward" or "gradient", and "batch x dim"')
    batch, dim = int(words[2]), int(words[3])
    usual = 2 ** min(max(int(math.log2(WORK / (batch * dim))), 6), 17)
    ramp = stiffness_ramp(batch, dim, usual if steps is None else steps)
    return ours if words[1] == "forward" else our_gradient, ramp


def put(name: str, old, new) -> None:
    """Replace a table in every module that has imported it."""
    for place, module in list(sys.modules.items()):
        if place.startswith("thermojax") and vars(module).get(name) is old:
            setattr(module, name, new)
    eqx.clear_caches()
    jax.clear_caches()  # what has been traced was laid out by the old one


@contextlib.contextmanager
def replaced(number: Number, value) -> Iterator[None]:
    """While it is entered, the number has this value, for what is traced anew."""
    old = getattr(_tuning, number.table)
    new = dataclasses.replace(old, **{number.name: value})
    put(number.table, old, new)
    try:
        yield
    finally:
        put(number.table, new, old)


@dataclasses.dataclass(frozen=True)
class Question:
    """Which number is to be measured, and by what."""

    number: Number
    case: str
    steps: int | None = None
    devices: int = 1

    def build(self, value, memory: int | None = None) -> Program:
        """The program of the case with this value."""
        function, case = parsed(self.case, self.steps)
        sharding = shared_out(case)
        with replaced(self.number, value):
            inputs = case.inputs(jax.random.key(0), sharding)
            return Program.build(function(case, sharding, memory), inputs)

    def build_with_flags(self, value) -> Program:
        """The same in a process that has not read its flags, where the value is one of them."""
        with replaced(self.number, value):
            tj.set_up_cpu(keep_memory=True)
        jax.config.update("jax_num_cpu_devices", self.devices)
        return self.build(value)


def measure(question: Question, rounds: int) -> list[dict]:
    """The lines of the table, one for each value.

    A gradient whose memory the number is about gets a budget: `SHARE` of what it takes without.
    """
    number, memory, made = question.number, None, {}
    if number.table == "IN_MEMORY":
        memory = int(SHARE * question.build(number.value).temporary_bytes)
    with contextlib.ExitStack() as stack:
        for value in number.values():
            if number.name in FLAGS:
                child = Child(functools.partial(question.build_with_flags, value))
                made[value] = stack.enter_context(child)
            else:
                made[value] = question.build(value, memory)
        in_use = made[number.value]
        return [
            {
                "value": str(value),
                "ratio": race(program, in_use, rounds).ratio,
                "program": "the same" if program.text == in_use.text else "another",
                "compile s": program.compile_seconds,
                "MiB": program.temporary_bytes / 2**20,
            }
            | ({} if memory is None else {"of the budget": program.temporary_bytes / memory})
            for value, program in made.items()
        ]


def main() -> None:
    known = numbers()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tuning", description="Measure one tuned number again."
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="all are listed when left out")
    parser.add_argument("--case", help='another than that of the table: "gradient 1024 x 8"')
    parser.add_argument("--steps", type=int, help="of a run")
    parser.add_argument("--rounds", type=int, default=5, help="per race, 5 when left out")
    parser.add_argument("--devices", type=int, default=1, help="of a CPU, 1 when left out")
    parser.add_argument("--set-up-cpu", action="store_true", help=SET_UP_CPU)
    options = parser.parse_args()
    if options.name is None:
        print("\n".join(map(str, known.values())))
        return
    if options.name not in known:
        parser.error(f"NAME is {options.name!r}: expected one of {', '.join(known)}")
    number = known[options.name]
    question = Question(number, options.case or number.case, options.steps, options.devices)
    if options.rounds < 1:
        parser.error(f"rounds = {options.rounds}: expected a positive number")
    if options.set_up_cpu and number.name not in FLAGS:  # whose processes do so
        tj.set_up_cpu(keep_memory=True)
    jax.config.update("jax_num_cpu_devices", options.devices)
    machine = {"ON_CPU": "cpu", "ON_GPU": "gpu"}.get(number.table)
    if machine not in (None, jax.default_backend()):
        parser.error(f"{number.name} is of a {machine}: JAX runs on a {jax.default_backend()} here")
    try:
        parsed(question.case, question.steps)
    except ValueError as error:
        parser.error(str(error))
    print(f"{header_text(header())}\n\n{number}\n", flush=True)
    rows = measure(question, options.rounds)
    print(f"{NOTE.format(rounds=options.rounds)}\n\nMeasured: {question.case}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
