"""Effective samples per second: chains of `tj.tune` against BlackJAX's NUTS with its adaptation.

    python -m benchmarks.sampling [--chains 4] [--target funnel]

Needs blackjax for the comparison: pip install blackjax==1.7.1. Without it, ours alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np

import thermojax as tj

from .cases import posterior_ramp
from .race import Program
from .report import SET_UP_CPU, header, header_text, table

GATE = 0.05  # no variance may be off by more


@dataclass(frozen=True)
class Target:
    """A log density and the variances it has; `judged`: how many of its coordinates count.

    `keep`: steps of ours between two positions that are kept; `local`: that many steps are a
    proposal of Metropolis, every path's of a size of its own. `steps`, and times as many of
    adaptation as the others take: of a chain where there are 64; fewer chains take more, `most`
    times as many.
    """

    name: str
    log_density: Callable
    dim: int
    variances: np.ndarray
    judged: int
    keep: int
    steps: int
    local: tj.LocalStep | None = None
    adaptation: int = 1
    most: int = 1

    def times(self, chains: int) -> int:
        return min(self.most, max(1, 64 // chains))


def gaussian(rotated: bool) -> Target:
    """100 dimensions, variances from 1 to 1000 evenly in the logarithm."""
    lengths = np.logspace(0, 3, 100)
    basis = np.eye(100)
    if rotated:
        basis, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(100, 100)))
    precision = jnp.asarray((basis / lengths) @ basis.T, jnp.float32)
    variances = np.diag((basis * lengths) @ basis.T)
    name = "Gaussian, rotated" if rotated else "Gaussian, aligned"
    log_density = lambda x: -0.5 * x @ (precision @ x)
    return Target(name, log_density, 100, variances, 100, 16 if rotated else 4, 16384)


def funnel() -> Target:
    """Neal's funnel, v ~ N(0, 9) and nine x ~ N(0, exp(v)); v alone is judged.

    The variance of x^2 is 2e8: no run of any sampler would know that of x. Its neck and its mouth
    want steps that differ by a hundred: every path of ours has its own here.
    """

    def log_density(x):
        v, rest = x[0], x[1:]
        return -(v**2) / 18 - 0.5 * rest.size * v - 0.5 * jnp.sum(rest**2) * jnp.exp(-v)

    variances = np.array([9.0])
    return Target("funnel", log_density, 10, variances, 1, 32, 2**21, tj.LocalStep(), 16, 4)


def logistic() -> Target:
    """Posterior of the breast-cancer data; its variances by a long run of another kind."""
    ramp = posterior_ramp(4, 10).potential
    assert isinstance(ramp, tj.Interpolation)
    posterior = ramp.target
    log_density = lambda x: -posterior.energy(x, 0.0)
    variances, error = posterior_variances(log_density, 31)
    print(f"reference of the logistic posterior: variances to {100 * error:.1f} %")
    print("  standard deviations:", np.round(np.sqrt(variances[:5]), 4), flush=True)
    return Target("logistic", log_density, 31, variances, 31, 4, 16384)


def posterior_variances(log_density, dim: int) -> tuple[np.ndarray, float]:
    """Hamiltonian Monte Carlo in the coordinates in which the mode's Gaussian is the unit one.

    Metropolis-adjusted, with full masses: neither of the two samplers that are judged. Returns
    the variances and the largest relative standard error.
    """
    mode = jnp.zeros(dim)
    gradient, hessian = jax.jit(jax.grad(log_density)), jax.jit(jax.hessian(log_density))
    for _ in range(20):
        mode = mode - jnp.linalg.solve(hessian(mode), gradient(mode))
    root = jnp.linalg.cholesky(jnp.linalg.inv(-hessian(mode)))
    chains, draws, leaps, step, burn = 256, 600, 8, 0.2, 50
    energy = lambda z: -jax.vmap(log_density)(mode + z @ root.T)
    slope = jax.grad(lambda z: jnp.sum(energy(z)))

    def move(z, key):
        of_p, of_choice = jax.random.split(key)
        p = jax.random.normal(of_p, z.shape)
        leap = lambda _, s: (s[0] + step * s[1], s[1] - step * slope(s[0] + step * s[1]))
        y, q = jax.lax.fori_loop(0, leaps, leap, (z, p - 0.5 * step * slope(z)))
        q = q + 0.5 * step * slope(y)
        gain = energy(z) - energy(y) + 0.5 * jnp.sum(p**2 - q**2, axis=1)
        taken = jnp.log(jax.random.uniform(of_choice, gain.shape)) < gain
        z = jnp.where(taken[:, None], y, z)
        return z, mode + z @ root.T

    run = jax.jit(lambda z, keys: jax.lax.scan(move, z, keys)[1])
    start, *keys = jax.random.split(jax.random.key(7), draws + 1)
    x = np.asarray(run(jax.random.normal(start, (chains, dim)), jnp.stack(keys))[burn:], float)
    squares = (x - x.mean((0, 1))) ** 2
    variances = squares.mean((0, 1))
    return variances, float(np.max(relative(squares)))


def relative(squares) -> np.ndarray:
    """Relative standard errors of the means of `(time, chains, dim)` squares."""
    tau = np.asarray(tj.diagnostics.autocorrelation_time(squares).value)
    return squares.std((0, 1)) / squares.mean((0, 1)) * np.sqrt(tau / squares[..., 0].size)


def ours(target: Target, adaptation_steps: int):
    """(adapt, sample): adapt(key, positions), then sample(key, *what adapt returned)."""
    potential = tj.LogDensity(target.log_density)

    def adapt(key, positions):
        system = tj.Underdamped(potential, tj.Constant(), tj.Bath())
        steps = adaptation_steps * target.adaptation * target.times(len(positions))
        tuned = tj.tune(system, key, initial=positions, steps=steps, adjusted=target.local)
        return tuned.system.bath, tuned.dt, tuned.chain

    def sample(key, bath, dt, chain):
        steps = target.steps * target.times(len(chain.ledger.work))
        if target.local is not None:
            return proposed(tj.Underdamped(potential, tj.Constant(), bath), dt, chain, steps)
        protocol = tj.Constant(duration=steps * dt)
        out = tj.simulate(
            tj.Underdamped(potential, protocol, bath),
            key,
            time_steps=steps,
            initial=chain.state,
            save=steps // target.keep + 1,
            observe=lambda t, state, ledger: state.position,
        )
        assert out.saved is not None
        return out.saved.values[1:], jnp.asarray(steps, jnp.float32)

    def proposed(system, dt, chain, steps):
        options = dict(dt=dt, steps=target.keep, adjusted=target.local)

        def segment(chain, _):
            chain = tj.advance(system, chain, **options)
            return chain, chain.position

        segments = steps // target.keep
        _, values = jax.lax.scan(segment, chain, None, length=segments)
        # Each piece computes the gradient at its start again, and twice for its step.
        return values, jnp.asarray(steps + 3 * segments, jnp.float32)

    return adapt, sample


def nuts(target: Target, warmup: int, draws: int):
    """The same two of BlackJAX: window adaptation of each chain (diagonal masses), then NUTS."""
    import blackjax

    windows = blackjax.window_adaptation(blackjax.nuts, target.log_density)

    def adapt(key, positions):
        def one(key, x):
            (state, parameters), _ = windows.run(key, x, num_steps=warmup)
            return state, parameters

        return jax.vmap(one)(jax.random.split(key, len(positions)), positions)

    def sample(key, states, parameters):
        chains = len(parameters["step_size"])

        def one(key, state, parameters):
            return blackjax.nuts(target.log_density, **parameters).step(key, state)

        def step(states, key):
            keys = jax.random.split(key, chains)
            states, info = jax.vmap(one)(keys, states, parameters)
            return states, (states.position, info.num_integration_steps)

        _, (positions, leaps) = jax.lax.scan(step, states, jax.random.split(key, draws))
        return positions, jnp.sum(jnp.mean(leaps.astype(jnp.float32), axis=1))

    return adapt, sample


class Racer:
    """One sampler on one target: its two compiled programs, and what its rounds have shown."""

    def __init__(self, target: Target, programs, positions):
        self.target, self.positions = target, positions
        adapt, sample = programs
        key = jax.random.key(0)
        self.adapt = Program.build(adapt, (key, positions))
        ready = jax.eval_shape(adapt, key, positions)
        self.sample = Program.build(sample, (key, *ready))
        self.seconds, self.rates, self.bare, self.per_gradient = [], [], [], []
        self.values = []

    @property
    def compile_seconds(self) -> float:
        return self.adapt.compile_seconds + self.sample.compile_seconds

    def round(self, seed: int) -> None:
        first, second = jax.random.split(jax.random.key(seed))
        begun = time.perf_counter()
        ready = jax.block_until_ready(self.adapt.compiled(first, self.positions))
        adapted = time.perf_counter()
        values, gradients = jax.block_until_ready(self.sample.compiled(second, *ready))
        done = time.perf_counter()
        values = values[..., : self.target.judged]
        effective = least_effective(values)
        self.seconds.append((adapted - begun, done - adapted))
        self.rates.append(effective / (done - begun))
        self.bare.append(effective / (done - adapted))
        self.per_gradient.append(effective / float(gradients) / values.shape[1])
        self.values.append(np.asarray(values, float))

    def row(self, name: str, chains: int) -> dict[str, str | float]:
        """One line of the table."""
        off, error = self.worst_variance()
        return {
            "target": self.target.name,
            "chains": chains,
            "sampler": name,
            "ESS/s": statistics.median(self.rates),
            "without adaptation": statistics.median(self.bare),
            "ESS/gradient": statistics.median(self.per_gradient),
            "adapt s": statistics.median(a for a, _ in self.seconds),
            "sample s": statistics.median(b for _, b in self.seconds),
            "compile s": self.compile_seconds,
            "worst variance %": f"{100 * off:+.1f} ± {100 * error:.1f}",
            "gate": verdict(off, error),
        }

    def worst_variance(self) -> tuple[float, float]:
        """The relative error that is largest, over all rounds together, and its standard error."""
        x = np.concatenate(self.values, axis=1)  # rounds are more chains
        squares = (x - x.mean((0, 1))) ** 2
        off = squares.mean((0, 1)) / self.target.variances[: self.target.judged] - 1
        spread = relative(squares)
        worst = int(np.argmax(np.abs(off)))
        return float(off[worst]), float(spread[worst])


def least_effective(values) -> float:
    """The least effective sample size, over coordinates, of x and of (x - mean)^2."""
    if not bool(jnp.all(jnp.isfinite(values))):
        return 0.0
    centered = values - jnp.mean(values, axis=(0, 1))
    sizes = (tj.diagnostics.effective_sample_size(v) for v in (centered, centered**2))
    return min(float(jnp.min(size)) for size in sizes)


def verdict(off: float, error: float) -> str:
    """A number counts if no variance is off by more than the gate, or more than chance explains."""
    if abs(off) <= GATE:
        return "passed"
    return "too noisy" if abs(off) - 3.5 * error <= GATE else "FAILED"


def race(target: Target, chains: int, options, rounds: int) -> list[dict]:
    """Ours and NUTS in turns from the same standard normal positions."""
    positions = jax.random.normal(jax.random.key(1), (chains, target.dim), jnp.float32)
    racers = {"ours": Racer(target, ours(target, options.adaptation), positions)}
    if find_spec("blackjax") is not None:
        programs = nuts(target, options.warmup, options.draws)
        racers["NUTS"] = Racer(target, programs, positions)
    for i in range(rounds):
        for racer in list(racers.values())[:: -1 if i % 2 else 1]:
            racer.round(i + 1)
    rows = [racer.row(name, chains) for name, racer in racers.items()]
    if "NUTS" in racers:
        both = zip(racers["ours"].rates, racers["NUTS"].rates, strict=True)
        rows[0]["ratio"] = statistics.median(a / b if b else float("inf") for a, b in both)
        rows[1]["ratio"] = 1.0
    return rows


NOTE = """\
float32. ESS/s: the least effective sample size over coordinates, of x and of (x - mean)^2, by the
second, adaptation counted, compilation apart. The gate: no variance off by more than 5 %."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampling")
    parser.add_argument("--target", default="", help="targets whose names begin so")
    parser.add_argument("--chains", type=int, nargs="+", default=[4, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--adaptation", type=int, default=3072, help="steps of tj.tune")
    parser.add_argument("--warmup", type=int, default=1000, help="NUTS: draws of its adaptation")
    parser.add_argument("--draws", type=int, default=1000, help="NUTS: draws per chain after it")
    parser.add_argument("--set-up-cpu", action="store_true", help=SET_UP_CPU)
    options = parser.parse_args()
    if options.set_up_cpu:
        tj.set_up_cpu(keep_memory=True)
    makers = {
        "Gaussian, rotated": lambda: gaussian(True),
        "Gaussian, aligned": lambda: gaussian(False),
        "logistic": logistic,
        "funnel": funnel,
    }
    chosen = [make for name, make in makers.items() if name.startswith(options.target)]
    if not chosen or options.rounds < 1:
        parser.error(f"no such target, or no rounds; targets: {', '.join(makers)}")
    begun = time.perf_counter()
    peer = version("blackjax") if find_spec("blackjax") else "missing: pip install blackjax==1.7.1"
    facts = {**header(), "blackjax": peer}
    print(header_text(facts), flush=True)
    print(
        f"NUTS: {options.warmup} + {options.draws} draws per chain; ours: {options.adaptation} "
        f"steps of adaptation.\n{NOTE}"
    )
    for make in chosen:
        target = make()
        for chains in options.chains:
            print(f"\n{table(race(target, chains, options, options.rounds))}", flush=True)
    print(f"\nMedians of {options.rounds} rounds, in turns; {time.perf_counter() - begun:.0f} s.")


if __name__ == "__main__":
    main()
