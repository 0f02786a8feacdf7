"""Log evidence of the breast-cancer regression: error at equal gradients, ours and other packages.

    python -m benchmarks.evidence [--only nuts ours] [--budgets 1e5 1e6] [--repeats 8]

Needs blackjax and numpyro for the comparison: pip install blackjax==1.7.1 numpyro==0.22.0. Without
them, ours alone.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import thermojax as tj

from .cases import breast_cancer
from .evidence_peers import Outcome, Problem, Run, hmc, mala, nested, nuts, persistent, tempered
from .report import SET_UP_CPU, header, header_text, installed, table

REFERENCE = -55.2233  # +- 0.0004: importance sampling in float64, 7e6 draws; see evidence.md

STEP, FRICTION = 0.3, 0.5  # where the fitted Gaussian is the unit one, mass 1
KEPT_EVERY = 8  # steps of a chain
NEWTON_STEPS = 12
GROUPS, EACH = 16, 16  # groups that are resampled, after so many steps each time


def log_weights(potential, steps: int, dt: float, friction: float, values):
    """(forward, reverse): compiled ramps of `steps` steps along the values of a schedule, mass 1.

    `forward(key, positions)` returns log weights and where the paths end.
    """
    protocol = tj.PiecewiseLinear(values, steps * dt, 0.0, 1.0)
    system = tj.Underdamped(potential, protocol, tj.Bath(friction=friction))

    @jax.jit
    def forward(key, positions):
        out = tj.simulate(system, key, time_steps=steps, initial=positions)
        return out.log_weight, out.position

    @jax.jit
    def reverse(key, positions):
        return tj.simulate(tj.reverse(system), key, time_steps=steps, initial=positions).log_weight

    return forward, reverse


def from_prior(this: Problem, budget: float, steps: int = 512) -> Run:
    """Ramps from the prior and back from where they ended, resampled, joined by Bennett.

    lambda = s^4, mass = friction = 1: the best of what was tried (evidence.md).
    """
    values = jnp.linspace(0, 1, 65, dtype=jnp.float32) ** 4
    path = tj.Interpolation(this.prior, this.prior + this.likelihood)
    forward, reverse = log_weights(path, steps, 0.13, 1.0, values)
    n = max(16, round(budget / 2 / (steps + 1)))

    def outcome(seed: int) -> Outcome:
        keys = jax.random.split(jax.random.key(seed), 4)
        weights, ends = forward(keys[0], this.draw(keys[1], n))
        chosen = jax.random.categorical(keys[2], weights, shape=(n,))
        back = reverse(keys[3], ends[chosen])
        found = tj.free_energy.bar(weights, back).log_ratio
        return Outcome(float(found.value), float(found.error), 2.0 * n * (steps + 1))

    return outcome


def resampled(this: Problem, budget: float, steps: int = 512) -> Run:
    """Ramps from the prior as in `from_prior`, in 16 groups, each of which is resampled among
    itself where fewer than half of it are effective: evidence by the mean of the groups."""
    values = jnp.linspace(0, 1, 65, dtype=jnp.float32) ** 4
    path = tj.Interpolation(this.prior, this.prior + this.likelihood)
    protocol = tj.PiecewiseLinear(values, steps * 0.13, 0.0, 1.0)
    system = tj.Underdamped(path, protocol, tj.Bath())
    n = max(4, round(budget / GROUPS / (steps + 1)))

    def log_mean_weight(key):
        of_start, of_chain, of_copies = jax.random.split(key, 3)
        chain = tj.start(system, of_chain, initial=this.draw(of_start, n))

        def segment(chain, key):
            chain = tj.advance(system, chain, dt=0.13, steps=EACH)
            few = chain.effective_samples < n / 2
            return jax.lax.cond(few, lambda c: tj.resample(c, key), lambda c: c, chain), None

        chain, _ = jax.lax.scan(segment, chain, jax.random.split(of_copies, steps // EACH))
        # A chain has the control of the middle of its last step: one more brings it to the end.
        chain = tj.advance(system, chain, dt=0.13, steps=1)
        return jax.nn.logsumexp(chain.log_weight) - math.log(n)

    all_groups = jax.jit(jax.vmap(log_mean_weight))

    def outcome(seed: int) -> Outcome:
        weights = all_groups(jax.random.split(jax.random.key(seed), GROUPS))
        found = tj.free_energy.jarzynski(weights).log_ratio
        return Outcome(float(found.value), float(found.error), float(GROUPS * n * (steps + 1)))

    return outcome


def laplace(log_density: Callable, dim: int):
    """The mode by Newton's method and the root of the covariance there, a Hessian a step."""
    gradient, hessian = jax.grad(log_density), jax.hessian(log_density)
    step = lambda _, x: x - jnp.linalg.solve(hessian(x), gradient(x))
    mode = jax.lax.fori_loop(0, NEWTON_STEPS, step, jnp.zeros(dim, jnp.float32))
    return mode, jnp.linalg.cholesky(jnp.linalg.inv(-hessian(mode)))


def whitened(log_density: Callable, mean, root) -> tj.LogDensity:
    """The density of z where x = mean + root z."""
    volume = jnp.sum(jnp.log(jnp.diagonal(root)))
    return tj.LogDensity(lambda z: log_density(mean + root @ z) + volume)


def from_gaussian(
    this: Problem, budget: float, steps: int, back: bool = False, fit: bool = True
) -> Run:
    """A ramp of `steps` steps from a fitted Gaussian; of none: a sudden switch.

    Newton's method finds the mode. Chains at the posterior, adjusted, start from Laplace's Gaussian
    and give mean and covariance, in whose coordinates the ramp is run, lambda = s; without `fit`
    they are Laplace's. `back`: ramps back from positions of the chains as well, joined by Bennett.
    """
    density = lambda x: this.log_prior(x) + this.log_likelihood(x)
    unit = tj.Gaussian(jnp.zeros(this.dim, jnp.float32))
    chains = 128
    segments = max(12, round(min(0.4 * budget, 4e5) / chains / (KEPT_EVERY + 1)))
    burn = 8
    spent = chains * segments * (KEPT_EVERY + 1) if fit else 0
    n = max(64, round((budget - spent) / (0.5 if steps == 0 else (steps + 1) * (1 + back))))
    values = jnp.linspace(0, 1, 65, dtype=jnp.float32)

    @jax.jit
    def fitted(key):
        mode, root = laplace(density, this.dim)
        if not fit:
            return mode, root, None
        of_start, of_chain = jax.random.split(key)
        system = tj.Underdamped(whitened(density, mode, root), tj.Constant(), tj.Bath())
        start = jax.random.normal(of_start, (chains, this.dim), jnp.float32)
        chain = tj.start(system, of_chain, initial=start)

        def segment(chain, _):
            chain = tj.advance(system, chain, dt=STEP, steps=KEPT_EVERY, adjusted=True)
            return chain, chain.position

        _, z = jax.lax.scan(segment, chain, None, length=segments)
        x = mode + z[burn:] @ root.T
        # What is fitted to positions is not to be compared with these positions afterwards.
        half = len(x) // 2 if back else len(x)
        first, second = (part.reshape(-1, this.dim) for part in (x[:half], x[half:]))
        return jnp.mean(first, axis=0), jnp.linalg.cholesky(jnp.cov(first, rowvar=False)), second

    @jax.jit
    def sudden(key, mean, root):
        def of_some(key):
            z = jax.random.normal(key, (some, this.dim), jnp.float32)
            end = jax.vmap(lambda z: whitened(density, mean, root).energy(z, None))(z)
            return jax.vmap(lambda z: unit.energy(z, None))(z) - end

        some = min(n, 4096)
        return jax.lax.map(of_some, jax.random.split(key, -(-n // some))).ravel()

    @jax.jit
    def ramps(key, mean, root, ends):
        keys = jax.random.split(key, 4)
        path = tj.Interpolation(unit, whitened(density, mean, root))
        forward, reverse = log_weights(path, steps, STEP, FRICTION, values)
        start = jax.random.normal(keys[0], (n, this.dim), jnp.float32)
        weights, _ = forward(keys[1], start)
        if not back:
            return weights, None
        chosen = jax.random.randint(keys[2], (n,), 0, len(ends))
        z = jax.scipy.linalg.solve_triangular(root, (ends[chosen] - mean).T, lower=True).T
        return weights, reverse(keys[3], z)

    def outcome(seed: int) -> Outcome:
        first, second = jax.random.split(jax.random.key(seed))
        mean, root, positions = fitted(first)
        forward, reverse = (
            (sudden(second, mean, root), None)
            if steps == 0
            else ramps(second, mean, root, positions)
        )
        estimate = tj.free_energy.jarzynski
        found = estimate(forward) if reverse is None else tj.free_energy.bar(forward, reverse)
        each = 0.5 if steps == 0 else (steps + 1) * (1 + back)
        newton = (NEWTON_STEPS + 1) * (this.dim + 1)  # a Hessian is dim gradients
        gradients = newton + spent + each * len(forward)
        return Outcome(float(found.log_ratio.value), float(found.log_ratio.error), gradients)

    return outcome


# What a method is called, what it needs, and its run at a budget of gradients.
SMC_COST = 15 * 17.5  # gradients of one particle, as measured: 15 temperatures
METHODS: dict[str, tuple[str, str | None, Callable[[Problem, float], Run]]] = {
    "smc-hmc": (
        "BlackJAX adaptive tempered SMC, HMC",
        "blackjax",
        lambda p, b: tempered(p, round(b / SMC_COST), hmc()),
    ),
    "smc-mala": (
        "BlackJAX adaptive tempered SMC, MALA",
        "blackjax",
        lambda p, b: tempered(p, round(b / SMC_COST), mala()),
    ),
    "persistent": (
        "BlackJAX persistent sampling, HMC",
        "blackjax",
        lambda p, b: persistent(p, round(b / 35 / 17.5), hmc()),
    ),
    "nested": (
        "BlackJAX nested slice sampling",
        "blackjax",
        lambda p, b: nested(p, max(10, round(b / 4000))),
    ),
    "nuts": (
        "NumPyro NUTS + bridge",
        "numpyro",
        lambda p, b: nuts(p, max(400, round(b / 31) - 2000)),
    ),
    "prior": ("ours: from the prior and back", None, from_prior),
    "resampled": ("ours: from the prior, resampled", None, resampled),
    "laplace": (
        "ours: Laplace's Gaussian, 32 steps",
        None,
        lambda p, b: from_gaussian(p, b, 32, fit=False),
    ),
    "sudden": (
        "ours: fitted Gaussian, sudden switch",
        None,
        lambda p, b: from_gaussian(p, b, 0),
    ),
    "ramp": ("ours: fitted Gaussian, 8 steps", None, lambda p, b: from_gaussian(p, b, 8)),
    "both": (
        "ours: fitted Gaussian, 8 steps and back",
        None,
        lambda p, b: from_gaussian(p, b, 8, back=True),
    ),
}


def measured(
    name: str, this: Problem, budget: float, repeats: int, reference: float = REFERENCE
) -> dict:
    """One row: root mean squared error over repeats with seeds of their own, after one to compile.

    What is said of the error is its root mean square; the error of the root mean squared error
    itself is 1 / sqrt(2 repeats) of it, 25 % for eight.
    """
    label, _, build = METHODS[name]
    run = build(this, budget)
    begun = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few paths that carry an average: the table shows it
        run(10_000)
        first = time.perf_counter() - begun
        outcomes, seconds = [], []
        for seed in range(repeats):
            begun = time.perf_counter()
            outcomes.append(run(seed))
            seconds.append(time.perf_counter() - begun)
    values = np.array([x.log_evidence for x in outcomes])
    stated = np.array([x.stated_error for x in outcomes])
    off = values - reference
    return {
        "method": label,
        "budget": budget,
        "gradients": statistics.mean(x.gradients for x in outcomes),
        "RMS error": float(np.sqrt(np.mean(off**2))),
        "stated": float(np.sqrt(np.mean(stated**2))),
        "mean error": float(np.mean(off)),
        "+-": float(values.std(ddof=1) / math.sqrt(repeats)),
        "seconds": statistics.median(seconds),
        "compile": max(0.0, first - statistics.median(seconds)),
        "values": values.tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evidence",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--budgets", nargs="+", type=float, default=[1e5, 1e6])
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--json", type=Path, metavar="FILE", help="add each row there as a line")
    parser.add_argument("--set-up-cpu", action="store_true", help=SET_UP_CPU)
    options = parser.parse_args()
    if options.repeats < 2:
        parser.error(f"repeats = {options.repeats}: expected two or more, errors need a spread")
    if options.set_up_cpu:
        tj.set_up_cpu(keep_memory=True)
    facts = header() | {name: installed(name) for name in ("blackjax", "numpyro")}
    print(header_text(facts), flush=True)
    this, rows = Problem(*breast_cancer()), []
    for budget in options.budgets:
        for name in options.only:
            label, package, _ = METHODS[name]
            if package is not None and find_spec(package) is None:
                print(f"{label}: {package} not installed", file=sys.stderr)
                continue
            print(
                f"{time.strftime('%H:%M:%S')}  {budget:.0e}  {label}", file=sys.stderr, flush=True
            )
            row = measured(name, this, budget, options.repeats)
            if options.json is not None:
                with options.json.open("a") as file:
                    file.write(json.dumps(row) + "\n")
            rows.append({k: v for k, v in row.items() if k not in ("values", "budget")})
            print(f"    {rows[-1]}", file=sys.stderr, flush=True)
    if rows:
        print(f"\n{table(rows)}")


if __name__ == "__main__":
    main()
