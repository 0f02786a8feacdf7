"""`tj.OrnsteinUhlenbeck` against thermox: error of the stationary covariance, log_prob, and speed.

    python -m benchmarks.ornstein_uhlenbeck [--quick] [--case "non-normal, 8"]

Needs thermox: pip install thermox==0.0.6
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec

# LAPACK's own threads wait for each other on a busy machine: 16 ms for a solve of 0.05 ms.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import numpy as np

from thermojax.linear import OrnsteinUhlenbeck

from .race import compare
from .report import header, header_text, table

STEP = 0.1
INSTALL = "This comparison needs thermox: pip install thermox==0.0.6"


@dataclass(frozen=True)
class Case:
    """A linear process and how many paths of how many steps to draw of it."""

    kind: str  # "normal" (symmetric) or "non-normal" drift
    dim: int
    batch: int
    steps: int

    def drift(self) -> np.ndarray:
        """Eigenvalues in 1..2; the non-normal one is triangular, coupled above its diagonal."""
        rates = np.linspace(1, 2, self.dim)
        if self.kind == "non-normal":
            return np.diag(rates) + np.diag(np.full(self.dim - 1, 0.8), 1)
        basis, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(self.dim, self.dim)))
        return (basis * rates) @ basis.T

    @property
    def name(self) -> str:
        return f"{self.kind}, {self.dim} x {self.batch} path{'s' * (self.batch > 1)}"

    @property
    def times(self) -> np.ndarray:
        return STEP * np.arange(self.steps + 1)


def all_cases(quick: bool) -> list[Case]:
    sizes = [(2, 1000, 200), (8, 1000, 100), (64, 64, 100), (512, 16, 100), (8, 1, 1000)]
    if quick:
        sizes = [(2, 200, 100), (8, 200, 50)]
    return [Case(kind, *size) for size in sizes for kind in ("normal", "non-normal")]


# Each program takes (key or paths, drift, thermox's preprocessed drift and diffusion).


def our_sample(case: Case, times):
    def draw(key, drift, *_):
        process = OrnsteinUhlenbeck(drift, jnp.zeros(case.dim), 2.0)
        return process.sample(key, times, case.batch, jnp.zeros(case.dim))

    return draw


def peer_sample(case: Case, times, whole: bool):
    """thermox draws one path a call: a vmap over keys. `whole`: with its preprocessing."""
    import thermox

    associative = case.batch == 1  # its default; many paths are faster without, in most cases

    def draw(key, drift, *ready):
        a, d = thermox.preprocess(drift, 2 * jnp.eye(case.dim)) if whole else ready
        zero, when = jnp.zeros(case.dim), jnp.asarray(times)
        one = lambda k: thermox.sample(k, when, zero, a, zero, d, associative)
        return jax.vmap(one, out_axes=1)(jax.random.split(key, case.batch))

    return draw


def our_log_prob(case: Case):
    def value(paths, drift, *_):
        process = OrnsteinUhlenbeck(drift, jnp.zeros(case.dim), 2.0)
        return process.log_prob(paths, case.times)

    return value


def peer_log_prob(case: Case):
    import thermox

    def value(paths, drift, *_):
        a, d = thermox.preprocess(drift, 2 * jnp.eye(case.dim))
        zero, when = jnp.zeros(case.dim), jnp.asarray(case.times)
        return jax.vmap(lambda path: thermox.log_prob(when, path, a, zero, d), 1)(paths)

    return value


def exact_log_prob(paths, case: Case, given_first: bool) -> np.ndarray:
    """By scipy in float64; `given_first` leaves the density of the first position out."""
    from scipy.linalg import expm, solve_continuous_lyapunov
    from scipy.stats import multivariate_normal

    paths, drift = np.asarray(paths, float), case.drift()
    limit = solve_continuous_lyapunov(drift, 2 * np.eye(case.dim))
    decay = expm(-STEP * drift)
    law = multivariate_normal(np.zeros(case.dim), limit - decay @ limit @ decay.T)
    moves = paths[1:] - paths[:-1] @ decay.T
    value = law.logpdf(moves.reshape(-1, case.dim)).reshape(moves.shape[:2]).sum(0)
    first = multivariate_normal(np.zeros(case.dim), limit)
    return value if given_first else value + first.logpdf(paths[0]).reshape(-1)


def covariance_error(program, inputs, case: Case) -> float:
    """The relative Frobenius error of the sample covariance of well separated positions."""
    from scipy.linalg import solve_continuous_lyapunov

    flat = np.asarray(jax.jit(program)(*inputs), float)[3:].reshape(-1, case.dim)
    limit = solve_continuous_lyapunov(case.drift(), 2 * np.eye(case.dim))
    return float(np.linalg.norm(flat.T @ flat / len(flat) - limit) / np.linalg.norm(limit))


def sampling_error(case: Case, count: int) -> float:
    """What that error is expected to be for independent exact draws."""
    from scipy.linalg import solve_continuous_lyapunov

    limit = solve_continuous_lyapunov(case.drift(), 2 * np.eye(case.dim))
    squares = np.linalg.norm(limit) ** 2
    return float(np.sqrt((np.trace(limit) ** 2 + squares) / count / squares))


def rows(case: Case, rounds: int) -> tuple[dict, dict]:
    """One line of each table."""
    import thermox

    key, drift = jax.random.key(0), jnp.asarray(case.drift(), jnp.float32)
    ready = jax.jit(thermox.preprocess)(drift, 2 * jnp.eye(case.dim))
    inputs = (key, drift, *ready)
    drawn = case.batch * case.steps
    ours = our_sample(case, case.times)
    whole = compare(ours, peer_sample(case, case.times, True), inputs, rounds)
    bare = compare(ours, peer_sample(case, case.times, False), inputs, rounds)
    apart = 4.0 * np.arange(4 + (20_000 if case.dim < 512 else 2_000) // case.batch)
    speed = {
        "case": case.name,
        "steps": case.steps,
        "ours ns": whole.timing.first / drawn * 1e9,
        "thermox ns": whole.timing.second / drawn * 1e9,
        "ratio": whole.timing.ratio,
        "prepared ns": bare.timing.second / drawn * 1e9,
        "ratio to prepared": bare.timing.ratio,
        "covariance error": covariance_error(our_sample(case, apart), inputs, case),
        "thermox error": covariance_error(peer_sample(case, apart, False), inputs, case),
        "sampling alone": sampling_error(case, (len(apart) - 3) * case.batch),
    }
    paths = jax.jit(ours)(*inputs)
    inputs = (paths, drift, *ready)
    race = compare(our_log_prob(case), peer_log_prob(case), inputs, rounds)
    values = [jax.jit(f(case))(*inputs) for f in (our_log_prob, peer_log_prob)]
    exact = [exact_log_prob(paths, case, given_first) for given_first in (False, True)]
    errors = [float(np.max(np.abs(v / e - 1))) for v, e in zip(values, exact, strict=True)]
    density = {
        "case": case.name,
        "steps": case.steps,
        "ours ns": race.timing.first / drawn * 1e9,
        "thermox ns": race.timing.second / drawn * 1e9,
        "ratio": race.timing.ratio,
        "relative error": errors[0],
        "thermox error": errors[1],
    }
    return speed, density


NOTE = """\
Float32; ns per path and step of a uniform grid, from the matrices to the result; ratio = ours /
thermox. `prepared`: thermox with its eigendecompositions made beforehand and not timed, ours whole.
Errors of the stationary covariance: relative, Frobenius, beside that of exact independent draws."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ornstein_uhlenbeck")
    parser.add_argument("--quick", action="store_true", help="small sizes only, three rounds")
    parser.add_argument("--case", default="", help='cases that begin so: "normal, 8 x"')
    parser.add_argument("--rounds", type=int, default=5, help="rounds per race")
    options = parser.parse_args()
    cases = [x for x in all_cases(options.quick) if x.name.startswith(options.case)]
    if not cases or options.rounds < 1:
        parser.error("no such case, or rounds that are not positive")
    if find_spec("thermox") is None:
        parser.exit(2, INSTALL + "\n")
    begun = time.perf_counter()
    facts = {**header(), "thermox": version("thermox")}
    print(header_text(facts), flush=True)
    rounds = min(options.rounds, 3) if options.quick else options.rounds
    speeds, densities = zip(*(rows(case, rounds) for case in cases), strict=True)
    print(f"\n{NOTE}\n\nsample\n{table(list(speeds))}\n\nlog_prob\n{table(list(densities))}")
    print(f"\nMedians of {rounds} rounds, interleaved; {time.perf_counter() - begun:.0f} s in all.")


if __name__ == "__main__":
    main()
