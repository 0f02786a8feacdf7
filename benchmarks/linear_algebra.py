"""`tj.linalg` against thermox, and against what a computer does: error, time, time at equal error.

    python -m benchmarks.linear_algebra [--quick] [--case "expm, non-normal, 8"]

Needs thermox: pip install thermox==0.0.6
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

# LAPACK's own threads wait for each other on a busy machine: 16 ms for a solve of 0.05 ms.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import numpy as np

import thermojax as tj

from .report import header, header_text, table

INSTALL = "This comparison needs thermox: pip install thermox==0.0.6"
PROBLEMS = ("solve", "inv", "expm")
SIDE_BY_SIDE = {"solve": 1, "inv": 1024, "expm": 1024}  # of our trajectories; thermox has one
COOL = tj.Bath(temperature=0.5)  # that of thermox's solve, whose noise has half the power
MOST = 64.0  # times as long at equal error, before the comparison is given up


@dataclass(frozen=True)
class Case:
    """A problem and a matrix; both sides watch a device over `samples` units of time."""

    problem: str
    kind: str  # "symmetric" or "non-normal"
    dim: int
    samples: int

    @property
    def name(self) -> str:
        return f"{self.problem}, {self.kind}, {self.dim}"

    @property
    def matrix(self) -> np.ndarray:
        """Eigenvalues in 1..2; the non-normal one is triangular, coupled above its diagonal."""
        rates = np.linspace(1, 2, self.dim)
        if self.kind == "non-normal":
            return np.diag(rates) + np.diag(np.full(self.dim - 1, 0.8), 1)
        basis, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(self.dim, self.dim)))
        return (basis * rates) @ basis.T

    @property
    def right_side(self) -> np.ndarray:
        return np.random.default_rng(1).normal(size=self.dim)

    @property
    def answer(self) -> np.ndarray:
        """By LAPACK in float64."""
        from scipy.linalg import expm

        if self.problem == "solve":
            return np.linalg.solve(self.matrix, self.right_side)
        return np.linalg.inv(self.matrix) if self.problem == "inv" else expm(-self.matrix)

    def error(self, value) -> float:
        """Relative, in the norm of Frobenius."""
        return float(np.linalg.norm(value - self.answer) / np.linalg.norm(self.answer))


def all_cases(quick: bool) -> list[Case]:
    sizes = [(8, 10_240), (64, 10_240), (512, 10_240), (1000, 10_240)]
    sizes = [(8, 2_048), (64, 1_024)] if quick else sizes
    kinds = ("symmetric", "non-normal")
    return [Case(p, kind, *size) for p in PROBLEMS for size in sizes for kind in kinds]


def ours(case: Case) -> Callable[[Any, float], jax.Array]:
    """The answer of a key and a total time; of asymmetric A by the normal equations."""
    a, b = jnp.asarray(case.matrix, jnp.float32), jnp.asarray(case.right_side, jnp.float32)
    symmetric = case.kind == "symmetric"
    normal = a if symmetric else a.T @ a

    def answer(key, time):
        count = SIDE_BY_SIDE[case.problem]
        each = {"time": time / count, "trajectories": count, "method": "exact"}
        if case.problem == "solve":
            side = b if symmetric else a.T @ b
            return tj.linalg.solve(normal, side, key, bath=COOL, **each).value
        if case.problem == "inv":
            value = tj.linalg.inv(normal, key, interval=1.0, **each).value
            return value if symmetric else value @ a.T
        return tj.linalg.expnegm(a, key, shift=0.0, **each).value

    return answer


def theirs(case: Case, prepared: bool) -> Callable[[Any], jax.Array]:
    """The answer of a key; `prepared`, without the decomposition of A (only their `solve`)."""
    import thermox

    a, b = jnp.asarray(case.matrix, jnp.float32), jnp.asarray(case.right_side, jnp.float32)
    if case.problem == "inv":
        draw = jax.jit(lambda a, key: thermox.linalg.inv(a, case.samples, key=key))
        return lambda key: draw(a, key)
    if case.problem == "expm":
        draw = jax.jit(lambda a, key: thermox.linalg.expnegm(a, case.samples, key=key))
        return lambda key: draw(a, key)
    if not prepared:
        draw = jax.jit(lambda a, b, key: thermox.linalg.solve(a, b, case.samples, key=key))
        return lambda key: draw(a, b, key)

    ready = jax.block_until_ready(jax.jit(thermox.utils.preprocess_drift_matrix)(a))
    draw = jax.jit(lambda a, b, key: thermox.linalg.solve(a, b, case.samples, key=key))
    return lambda key: draw(ready, b, key)


def digital(case: Case) -> tuple[Callable[[], Any], Callable[[], Any] | None]:
    """By Cholesky (or what stands in its place), and by conjugate gradients to a thousandth."""
    a, b = case.matrix.astype(np.float32), case.right_side.astype(np.float32)
    import scipy.linalg as lapack

    spd = a if case.kind == "symmetric" else a.T @ a
    side = b if case.kind == "symmetric" else a.T @ b
    if case.problem == "expm":
        return lambda: lapack.expm(-a), None
    rows = np.eye(case.dim, dtype=np.float32) if case.problem == "inv" else side
    rows = a.T @ rows if case.problem == "inv" and case.kind != "symmetric" else rows
    return (
        lambda: lapack.cho_solve(lapack.cho_factor(spd), rows),
        lambda: conjugate_gradients(spd, rows),
    )


def conjugate_gradients(a, b, rtol: float = 1e-3):
    """For every column of b at once, until the residual is a thousandth of b."""
    x, r = np.zeros_like(b), b.copy()
    p, old = r, np.sum(r * r, axis=0)
    for _ in range(len(a)):
        product = a @ p
        step = old / np.sum(p * product, axis=0)
        x, r = x + step * p, r - step * product
        new = np.sum(r * r, axis=0)
        if np.all(new <= rtol**2 * np.sum(b * b, axis=0)):
            break
        p, old = r + new / old * p, new
    return x


def seconds(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Medians of calls that take turns; in the first round nothing is timed, but compiled."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(rounds + 1):
        for name in list(calls) if i % 2 == 0 else reversed(list(calls)):
            begun = time.perf_counter()
            jax.block_until_ready(calls[name]())
            times[name].append(time.perf_counter() - begun)
    return {name: statistics.median(found[1:]) for name, found in times.items()}


def row(case: Case, rounds: int) -> dict:
    """One line of the table; errors are root mean squares of as many keys as rounds."""
    keys = jax.random.split(jax.random.key(0), rounds)
    mine, other = ours(case), theirs(case, prepared=False)
    rms = lambda values: float(np.sqrt(np.mean([case.error(np.asarray(x)) ** 2 for x in values])))
    found = rms([mine(k, float(case.samples)) for k in keys])
    peer = rms([other(k) for k in keys])
    direct, gradients = digital(case)
    calls = {
        "ours": lambda: mine(keys[0], float(case.samples)),
        "thermox": lambda: other(keys[0]),
        "direct": direct,
    }
    if np.isfinite(peer):
        equal = case.samples * float(np.clip((found / peer) ** 2, 1 / MOST, MOST))
        calls["equal"] = lambda: mine(keys[0], equal)
    if gradients is not None:
        calls["gradients"] = gradients
    if case.problem == "solve":
        prepared = theirs(case, prepared=True)
        calls["prepared"] = lambda: prepared(keys[0])
    times = seconds(calls, rounds)
    milli = lambda name: 1e3 * times[name] if name in times else float("nan")
    return {
        "case": case.name,
        "samples": case.samples,
        "ours ms": milli("ours"),
        "thermox ms": milli("thermox"),
        "times as fast": times["thermox"] / times["ours"],
        "than prepared": milli("prepared") / milli("ours"),
        "error": found,
        "thermox error": peer,
        "at equal error": milli("thermox") / milli("equal"),
        "direct ms": milli("direct"),
        "CG ms": milli("gradients"),
    }


NOTE = """\
Float32, end to end after compilation, from the matrix to the answer: a device watched over
`samples` units of time, in one trajectory (thermox, and our solve) or 1,024 side by side (our inv
and expm, a sample each unit). "times as fast": thermox / ours; "than prepared": thermox with its
eigendecomposition made beforehand and not timed, ours whole; "at equal error": ours watched for as
long as it takes for thermox's own error, 1/64 to 64 times as long at most. Errors: relative, rms; -
is NaN. thermox's solve calls a digital solver (prepared: its eigenvectors) for the answer itself
and adds the noise of a device at kT = 1/2 to it; ours runs at this temperature too. Its law of a
step holds for normal matrices only. Our solve and inv of an asymmetric A are by A^T A. "direct":
Cholesky, or scipy's expm; "CG": conjugate gradients to 1e-3."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.linear_algebra")
    parser.add_argument("--quick", action="store_true", help="small sizes only")
    parser.add_argument("--case", default="", help='cases that begin so: "expm, non-normal"')
    parser.add_argument("--rounds", type=int, default=5, help="rounds per race; at most 1 from 512")
    options = parser.parse_args()
    cases = [x for x in all_cases(options.quick) if x.name.startswith(options.case)]
    if not cases or options.rounds < 1:
        parser.error("no such case, or rounds that are not positive")
    if find_spec("thermox") is None:
        parser.exit(2, INSTALL + "\n")
    begun = time.perf_counter()
    print(header_text({**header(), "thermox": version("thermox")}), flush=True)
    rows = []
    for case in cases:
        rows.append(row(case, options.rounds if case.dim < 512 else 1))
        print(f"{time.strftime('%H:%M:%S')}  {case.name}", flush=True)
    print(f"\n{NOTE}\n\n{table(rows)}\n\n{time.perf_counter() - begun:.0f} s in all.")


if __name__ == "__main__":
    main()
