"""How the cost grows with batch, steps and dimension, over three decades of each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from .cases import ours, stiffness_ramp
from .race import Program, took
from .report import mark

TOLERANCE = 0.1
LEAST = 0.02  # seconds; a shorter run is called as often as that takes, for its mean

NOTE = f"""\
Cost growth of one forward run (stiffness ramp, float32). Fit: seconds = fixed + each * size, least
squares of relative deviations; linear where no size deviates by more than {TOLERANCE:.0%} from it.
Exponent: slope of log seconds over log size. Seconds are processor time over all threads (wall time
on a GPU), the least of the rounds, in which all sizes take turns, each for 20 ms at least."""


@dataclass(frozen=True)
class Sweep:
    """One quantity grows, the other two stay."""

    quantity: str
    sizes: tuple[int, ...]
    fixed: str
    seconds: np.ndarray  # (sizes,)

    def line(self) -> tuple[float, float]:
        """(fixed, each) of the fit, neither negative."""
        sizes = np.asarray(self.sizes, float)
        system = np.stack([1 / self.seconds, sizes / self.seconds], 1)
        fixed, each = np.linalg.lstsq(system, np.ones(len(sizes)), rcond=None)[0]
        if fixed < 0:
            ratio = sizes / self.seconds
            return 0.0, float(ratio.sum() / (ratio @ ratio))
        return float(fixed), float(each)

    def deviations(self) -> np.ndarray:
        fixed, each = self.line()
        return self.seconds / (fixed + each * np.asarray(self.sizes)) - 1

    def row(self) -> dict:
        fixed, each = self.line()
        worst = float(np.max(np.abs(self.deviations())))
        exponent = float(np.polyfit(np.log(self.sizes), np.log(self.seconds), 1)[0])
        return {
            "grows": self.quantity,
            "from": self.sizes[0],
            "to": self.sizes[-1],
            "the others": self.fixed,
            "fixed ms": fixed * 1e3,
            "each us": each * 1e6,
            "exponent": exponent,
            "worst deviation": worst,
            f"<= {TOLERANCE:g}": mark(worst <= TOLERANCE),
        }


def ladder(first: int, decades: int, per_decade: int = 2) -> tuple[int, ...]:
    count = decades * per_decade + 1
    return tuple(round(first * 10 ** (i / per_decade)) for i in range(count))


def plans(quick: bool) -> list[tuple[str, tuple[int, ...], str, dict]]:
    """(quantity, sizes, what stays in words, and as arguments of `stiffness_ramp`)."""
    decades = 1 if quick else 3
    few = 0.01 if quick else 1
    return [
        ("batch", ladder(1000, decades), "d = 1, 100 steps", dict(dim=1, steps=100)),
        ("steps", ladder(100, decades), "batch 1024, d = 1", dict(batch=round(1024 * few), dim=1)),
        (
            "dim",
            ladder(1, decades),
            "batch 1024, 100 steps",
            dict(batch=round(1024 * few), steps=100),
        ),
    ]


def sweep(quantity: str, sizes, words: str, others: dict, rounds: int) -> Sweep:
    programs, on_cpu = [], jax.default_backend() == "cpu"
    for size in sizes:
        case = stiffness_ramp(**{**others, quantity: size})
        program = Program.build(ours(case), case.inputs(jax.random.key(0)))
        took(program)
        programs.append((program, math.ceil(LEAST / took(program).wall)))

    def cost(program: Program, calls: int) -> float:
        spent = [took(program) for _ in range(calls)]
        return sum(time.cpu if on_cpu else time.wall for time in spent) / calls

    times = [[cost(*program) for program in programs] for _ in range(rounds)]
    return Sweep(quantity, tuple(sizes), words, np.min(times, axis=0))


def plot(sweeps: list[Sweep], file: Path) -> None:
    """Seconds over size, and below them the deviations from the fit."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.2), layout="constrained")
    axes = figure.subplots(2, len(sweeps), sharex="col", height_ratios=(3, 1.2), squeeze=False)
    for (upper, lower), found in zip(axes.T, sweeps, strict=True):
        fixed, each = found.line()
        fine = np.geomspace(found.sizes[0], found.sizes[-1], 100)
        upper.loglog(fine, fixed + each * fine, color="0.6", label="fixed + each × size")
        upper.loglog(found.sizes, found.seconds, "o", color="C0", label="measured")
        upper.set_title(f"{found.quantity} ({found.fixed})", fontsize=10)
        lower.axhspan(-100 * TOLERANCE, 100 * TOLERANCE, color="0.9")
        lower.axhline(0, color="0.6", linewidth=1)
        lower.semilogx(found.sizes, 100 * found.deviations(), "o-", color="C0")
        lower.set_xlabel(found.quantity)
    axes[0, 0].set_ylabel("seconds of a run, all threads")
    axes[0, 0].legend(frameon=False)
    axes[1, 0].set_ylabel("deviation, %")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
