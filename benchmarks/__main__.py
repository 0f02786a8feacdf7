"""The command: run the races, print two tables, perhaps write them as JSON."""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import jax

from .measure import (
    Case,
    Comparison,
    all_cases,
    forward,
    gradient,
    gradient_cases,
    quick_cases,
)

SPEED, GRADIENT_TIME, GRADIENT_MEMORY = 1.0, 1.5, 0.1  # the targets
LIBRARIES = ("jax", "jaxlib", "diffrax", "equinox")


def cpu_model() -> str:
    """The name of the processor, as Linux gives it where there is a Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def header() -> dict[str, str]:
    """What the numbers depend on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    device = jax.devices()[0]
    return {
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
        "device": f"{device.device_kind} ({device.platform})",
        "cpu": f"{cpu_model()}, {cores} cores",
    }


def mark(met: bool) -> str:
    return "met" if met else "MISSED"


def forward_row(case: Case, race: Comparison) -> dict[str, str | float]:
    """One line of the first table."""
    speed = 1 / race.time_ratio
    return {
        "case": case.name,
        "steps": case.steps,
        "ours ns": race.first_seconds / case.particle_steps * 1e9,
        "scan ns": race.second_seconds / case.particle_steps * 1e9,
        "ours steps/s": case.particle_steps / race.first_seconds,
        "speed ratio": speed,
        f">= {SPEED:g}": mark(speed >= SPEED),
        "compile s": race.first_compile,
        "scan compile s": race.second_compile,
    }


def gradient_row(case: Case, race: Comparison) -> dict[str, str | float]:
    """One line of the second table."""
    return {
        "case": case.name,
        "steps": case.steps,
        "ours ms": race.first_seconds * 1e3,
        "scan ms": race.second_seconds * 1e3,
        "time ratio": race.time_ratio,
        f"<= {GRADIENT_TIME:g}": mark(race.time_ratio <= GRADIENT_TIME),
        "ours MiB": race.first_bytes / 2**20,
        "scan MiB": race.second_bytes / 2**20,
        "memory ratio": race.memory_ratio,
        f"<= {GRADIENT_MEMORY:g}": mark(race.memory_ratio <= GRADIENT_MEMORY),
        "compile s": race.first_compile,
        "scan compile s": race.second_compile,
    }


def shown(value) -> str:
    """Three digits; large numbers in powers of ten."""
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "-"
    if value >= 1e5:
        return f"{value:.2e}"
    return (
        f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}" if value > 1e-3 else f"{value:g}"
    )


def table(rows: list[dict]) -> str:
    """Rows as aligned text, the first column to the left."""
    names = list(rows[0])
    cells = [names] + [[shown(row[name]) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    lines = [
        "  ".join(
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


FORWARD_NOTE = (
    "Forward: ns per particle-step; speed ratio = scan / ours.\n"
    "The scan books the work only; ours books the whole ledger and freezes paths that diverge."
)
GRADIENT_NOTE = (
    "Reverse gradient of the mean work with respect to 64 schedule values (ours: of the total\n"
    "work): ms per gradient and compiled temporary memory; ratios = ours / scan."
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer sizes, three rounds")
    parser.add_argument("--rounds", type=int, help="rounds per race, 5 when left out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there as well")
    options = parser.parse_args()
    rounds = options.rounds or (3 if options.quick else 5)
    if rounds < 1:
        parser.error(f"rounds = {rounds}: expected a positive number")
    cases = quick_cases() if options.quick else all_cases()
    steep = quick_cases() if options.quick else gradient_cases()
    begun = time.perf_counter()
    facts = header()
    print("\n".join(f"{name:>8}  {value}" for name, value in facts.items()), flush=True)
    forwards = [forward_row(case, forward(case, rounds)) for case in cases]
    print(f"\n{FORWARD_NOTE}\n\n{table(forwards)}", flush=True)
    gradients = [gradient_row(case, gradient(case, rounds)) for case in steep]
    print(f"\n{GRADIENT_NOTE}\n\n{table(gradients)}")
    seconds = time.perf_counter() - begun
    print(f"\nMedians of {rounds} rounds, interleaved; {seconds:.0f} s in all.")
    if options.json is not None:
        record = {"header": facts, "rounds": rounds, "forward": forwards, "gradient": gradients}
        options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
