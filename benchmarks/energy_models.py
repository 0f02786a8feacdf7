"""Energy-based models: training steps a second, and effective samples a second of spins.

    python -m benchmarks energy_models --set-up-cpu
    python -m benchmarks energy_models --only a

What it needs beside JAX, each for its own rows: torch and torchebm==0.8.9; thrml==0.1.4.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import thermojax as tj

from .race import race
from .report import SET_UP_CPU, header, header_text, installed, table

HERE = Path(__file__).parent
RATE = 1e-3  # of Adam
PACKAGES = ("torch", "torchebm", "thrml")


@dataclass(frozen=True)
class Case:
    """Walkers, moves of each between two updates, and the network."""

    dim: int
    width: int
    batch: int
    moves: int
    dt: float = 0.01

    @property
    def name(self) -> str:
        return f"{self.dim} coordinates, 2 x {self.width}, batch {self.batch}, {self.moves} moves"

    def data(self) -> np.ndarray:
        """Two clouds."""
        drawn = np.random.default_rng(0)
        side = drawn.choice([-1.0, 1.0], size=(4096, 1))
        return (side + 0.5 * drawn.normal(size=(4096, self.dim))).astype(np.float32)


CASES = (
    Case(2, 64, 256, 10),
    Case(2, 128, 1024, 20),
    Case(64, 128, 256, 10),
    Case(64, 256, 1024, 20),
)


def ours(case: Case, steps: int) -> Callable:
    """`tj.ebm.fit` with persistent walkers, as many as the batch has."""
    model = tj.ebm.NeuralEnergy.mlp(case.dim, jax.random.key(0), width=case.width, scale=2.0)
    method = tj.ebm.Persistent(tj.ebm.Moves(case.dt, case.moves), buffer=case.batch)
    data, optimizer = jnp.asarray(case.data()), optax.adam(RATE)

    def call():
        return tj.ebm.fit(
            model, data, optimizer, jax.random.key(1), method=method, batch=case.batch, steps=steps
        ).history["loss"]

    return call


def plain(case: Case, steps: int) -> Callable:
    """The same training as one would write it by hand: one jitted step, its buffers donated."""
    model = tj.ebm.NeuralEnergy.mlp(case.dim, jax.random.key(0), width=case.width, scale=2.0)
    params, rest = eqx.partition(model, eqx.is_inexact_array)
    data, optimizer = jnp.asarray(case.data()), optax.adam(RATE)

    def energies(params, x):
        return jax.vmap(lambda x: eqx.combine(params, rest).energy(x, None))(x)

    def step(params, state, walkers, key):
        data_key, move_key = jax.random.split(key)
        some = data[jax.random.randint(data_key, (case.batch,), 0, len(data))]

        def move(x, key):
            slope = jax.grad(lambda x: jnp.sum(energies(params, x)))(x)
            noise = jax.random.normal(key, x.shape)
            return x - case.dt * slope + (2 * case.dt) ** 0.5 * noise, None

        walkers, _ = jax.lax.scan(move, walkers, jax.random.split(move_key, case.moves))
        cost = lambda p: jnp.mean(energies(p, some)) - jnp.mean(energies(p, walkers))
        loss, slope = jax.value_and_grad(cost)(params)
        change, state = optimizer.update(slope, state, params)
        return optax.apply_updates(params, change), state, walkers, loss

    compiled = jax.jit(step, donate_argnums=(0, 1, 2))

    def call():
        # What is donated is gone: each call begins with copies.
        moving = jax.tree.map(jnp.array, (params, optimizer.init(params)))
        walkers = 2 * jax.random.normal(jax.random.key(2), (case.batch, case.dim))
        key, losses = jax.random.key(1), []
        for i in range(steps):
            *moving, walkers, loss = compiled(*moving, walkers, jax.random.fold_in(key, i))
            losses.append(float(loss))  # looked at in each step, as ours is
        return losses

    return call


def of_torchebm(case: Case, steps: int) -> Callable:
    """Persistent contrastive divergence of torchebm, its options as near to ours as they go."""
    import torch
    from torchebm.core import BaseModel
    from torchebm.losses import ContrastiveDivergence
    from torchebm.samplers import LangevinDynamics

    class Network(BaseModel):
        def __init__(self):
            super().__init__()
            layers = [torch.nn.Linear(case.dim, case.width), torch.nn.SiLU()]
            layers += [torch.nn.Linear(case.width, case.width), torch.nn.SiLU()]
            self.network = torch.nn.Sequential(*layers, torch.nn.Linear(case.width, 1))

        def forward(self, x):
            return self.network(x).squeeze(-1) + 0.125 * (x**2).sum(-1)

    model = Network()
    sampler = LangevinDynamics(model, step_size=case.dt)
    loss_of = ContrastiveDivergence(
        model, sampler, k_steps=case.moves, persistent=True, buffer_size=case.batch,
        new_sample_ratio=0.0, init_steps=0, energy_reg_weight=0.0,
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    data = torch.as_tensor(case.data())

    def call():
        losses = []
        for _ in range(steps):
            some = data[torch.randint(len(data), (case.batch,))]
            optimizer.zero_grad()
            loss, _ = loss_of(some)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return np.asarray(losses)

    return call


def training_rows(steps: int, rounds: int) -> list[dict]:
    """The lines of (a)."""
    rows = []
    for case in CASES:
        here = ours(case, steps)
        peers: dict[str, Callable] = {"plain JAX": plain(case, steps)}
        if find_spec("torchebm") is not None:
            peers["torchebm"] = of_torchebm(case, steps)
        for name, peer in peers.items():
            timing = race(here, peer, rounds)
            rows.append(
                {
                    "case": case.name,
                    "peer": name,
                    "ours steps / s": steps / timing.first,
                    "peer steps / s": steps / timing.second,
                    "ours / peer": timing.second / timing.first,
                    "rounds": rounds,
                }
            )
    return rows


def spins_of(side: int, beta: float) -> tj.ebm.Ising:
    """A periodic lattice of couplings 1."""
    return tj.ebm.Ising(tj.ebm.lattice((side, side)), beta=beta)


def field_samples(model: tj.ebm.Ising, chains: int, samples: int) -> Callable:
    """Magnetization of spins drawn from the field after each move, `(samples, chains)`."""
    move = tj.ebm.Moves(dt=0.5, steps=4, friction=1.0, adjusted=True)
    field = model.potential()

    @jax.jit
    def run(key):
        start = jax.random.normal(key, (chains, field.bias.size))
        chain = tj.start(move.system(field), key, initial=start)

        def step(chain, key):
            chain = move.advance(field, chain)
            return chain, jnp.mean(field.draw_spins(key, chain.position), axis=1)

        return jax.lax.scan(step, chain, jax.random.split(key, samples))[1]

    return run


def gibbs_samples(model: tj.ebm.Ising, side: int, chains: int, samples: int) -> Callable:
    """The same by block Gibbs sampling of thrml, two colors of a checkerboard."""
    from thrml import Block, SamplingSchedule, SpinNode, sample_states
    from thrml.models import IsingEBM, IsingSamplingProgram, hinton_init

    nodes = [SpinNode() for _ in range(side * side)]
    matrix = np.asarray(model.coupling)
    pairs = [(i, j) for i in range(len(nodes)) for j in range(i) if matrix[i, j]]
    edges = [(nodes[i], nodes[j]) for i, j in pairs]
    weights = jnp.asarray([matrix[i, j] for i, j in pairs])
    theirs = IsingEBM(nodes, edges, jnp.zeros(len(nodes)), weights, model.beta)
    color = [(i // side + i % side) % 2 for i in range(len(nodes))]
    blocks = [Block([n for n, c in zip(nodes, color, strict=True) if c == k]) for k in (0, 1)]
    program = IsingSamplingProgram(theirs, blocks, clamped_blocks=[])
    schedule = SamplingSchedule(n_warmup=0, n_samples=samples, steps_per_sample=1)

    def one(key):
        first, second = jax.random.split(key)
        begin = hinton_init(first, theirs, blocks, ())
        found = sample_states(second, program, schedule, begin, [], [Block(nodes)])
        return jnp.mean(2.0 * found[0] - 1, axis=1)

    return jax.jit(lambda key: jax.vmap(one)(jax.random.split(key, chains)).T)


def spin_rows(side: int, betas, chains: int, samples: int) -> list[dict]:
    """The lines of (b): effective samples of the squared magnetization."""
    rows = []
    for beta in betas:
        model = spins_of(side, beta)
        ways: dict[str, Callable] = {"ours, field": field_samples(model, chains, samples)}
        if find_spec("thrml") is not None:
            ways["thrml, block Gibbs"] = gibbs_samples(model, side, chains, samples)
        for name, run in ways.items():
            jax.block_until_ready(run(jax.random.key(0)))
            times = []
            for i in range(3):
                begun = time.perf_counter()
                found = jax.block_until_ready(run(jax.random.key(1 + i)))
                times.append(time.perf_counter() - begun)
            square = np.asarray(found)[samples // 5 :] ** 2
            tau = tj.diagnostics.autocorrelation_time(square)
            mean = square.mean(0)
            rows.append(
                {
                    "lattice": f"{side} x {side}",
                    "beta": beta,
                    "method": name,
                    "<m^2>": f"{mean.mean():.4f} ± {mean.std() / len(mean) ** 0.5:.4f}",
                    "autocorrelation time": float(tau.value),
                    "samples / s": chains * samples / float(np.median(times)),
                    "effective / s": chains * samples / float(np.median(times) * tau.value),
                }
            )
    return rows


NOTES = {
    "a": """\
## (a) Training steps a second

Persistent chains as many as the batch, overdamped moves without correction, Adam, everything in
float32. "plain JAX" is one jitted step with donated buffers, the Langevin moves a `lax.scan`, and
its loss is looked at in each step, as that of torchebm is; `tj.ebm.fit` without a callback makes
several steps in one call. It takes one gradient more in each step: 11 for 10 moves. torchebm draws
its walkers by its `LangevinDynamics` with a buffer of the same size and no renewal. Networks have
two hidden layers. Timed in turns in one process; times are those of whole trainings, without
compilation. "ours / peer": above 1, ours is faster.""",
    "b": """\
## (b) Effective samples a second of an Ising model

Chains on a periodic lattice without a field, the critical point at beta = 0.4407. Ours: a move of 4
steps of the continuous field, accepted by Metropolis, and spins drawn from it; thrml: a sweep of
block Gibbs sampling on the two colors of a checkerboard. Time in samples, of the squared
magnetization.""",
}


def main(words: list[str] | None = None) -> None:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks energy_models",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--only", nargs="+", choices=("a", "b"), default=["a", "b"])
    made.add_argument("--steps", type=int, default=200, help="of a training that is timed")
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--betas", nargs="+", type=float, default=[0.2, 0.4, 0.5])
    made.add_argument("--side", type=int, default=8)
    made.add_argument("--chains", type=int, default=64)
    made.add_argument("--samples", type=int, default=2000)
    made.add_argument("--report", type=Path, default=HERE / "energy_models.md", metavar="FILE")
    made.add_argument("--json", type=Path, help="the rows as they are")
    made.add_argument("--set-up-cpu", action="store_true", help=SET_UP_CPU)
    options = made.parse_args(words)
    if options.set_up_cpu:
        tj.set_up_cpu(keep_memory=True)
    rows = {}
    if "a" in options.only:
        rows["a"] = training_rows(options.steps, options.rounds)
    if "b" in options.only:
        rows["b"] = spin_rows(options.side, options.betas, options.chains, options.samples)
    facts = header() | {name: installed(name) for name in PACKAGES}
    lines = ["# Energy-based models", f"```text\n{header_text(facts)}\n```"]
    for part, found in rows.items():
        lines += [NOTES[part], f"```text\n{table(found)}\n```"]
    text = "\n\n".join(lines) + "\n"
    options.report.write_text(text)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
