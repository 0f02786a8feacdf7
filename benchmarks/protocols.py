"""Quality against cost: how near to the optimum a number of training paths comes, ours and peers.

    python -m benchmarks.protocols [--quick] [--markdown FILE]
        [--langesim PYTHON] [--nestbench PYTHON] [--path FOLDER ...] [--peer-paths N]

Every schedule starts as the linear ramp and is trained from paths (pathwise gradients, Adam, one
batch size and one decay of the rate for all budgets and libraries). It is scored exactly: by the
moment equations, or by the Fokker-Planck equation on a fine grid. A peer runs in the Python that is
named for it, `--path` added to its path; one that cannot run is reported as missing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import thermojax as tj
from thermojax.optimization.descent import update
from thermojax.optimization.fit import Task
from thermojax.optimization.gradients import Pathwise
from thermojax.optimization.picture import prepare_picture
from thermojax.optimization.trainable import split_trainable

from .peers.plain_scan import plain_scan
from .race import compare
from .report import header

KNOTS, STEPS, BATCH, DECAY, SEED = 8, 64, 1000, 20, 1
BUDGETS = (10_000, 100_000, 1_000_000)
POINT = tj.Equilibrium(jnp.zeros(1, jnp.float32))
PEERS = {"langesim": "langesim_optim", "nestbench": "jax-md example"}


class Crossing(tj.AbstractPotential):
    """U = -ln[exp(-k (x+1)^2/2) + exp(-k (x-1)^2/2)] + trap (x - r)^2 / 2: two Gaussian wells."""

    k: float = 6.38629
    trap: float = 9.5625

    def energy(self, x, control):
        wells = jnp.logaddexp(-self.k * (x + 1) ** 2 / 2, -self.k * (x - 1) ** 2 / 2)
        return jnp.sum(self.trap * (x - control) ** 2 / 2 - wells)

    def sampled_by(self, control, temperature):
        return self

    def sample(self, key, control, temperature, batch, template):
        """A mixture of two Gaussians times the trap's is one of two others; at kT = 1."""
        which, normal = jax.random.split(key)
        total = self.k + self.trap
        bias = 2 * self.k * self.trap * control / total  # ln of the right share over the left
        shape = (batch, *template.shape)
        side = 2.0 * jax.random.bernoulli(which, jax.nn.sigmoid(bias), shape) - 1
        mean = (self.k * side + self.trap * control) / total
        z = jax.random.normal(normal, shape, template.dtype)
        return (mean + z / jnp.sqrt(total)).astype(template.dtype)


@dataclass(frozen=True)
class Case:
    """A problem with its known optimum, the work W*; `kind` tells peers what it is."""

    name: str
    kind: str
    potential: tj.AbstractPotential
    ends: tuple[float, float]
    optimum: float
    rate: float
    free_energy: float = 0.0
    duration: float = 1.0
    constants: tuple[float, ...] = ()
    kicked: bool = False

    def system(self) -> tj.Overdamped | tj.Underdamped:
        """With the linear ramp."""
        kicks = jnp.zeros(2) if self.kicked else None
        lower = 0.05 if self.kind == "stiffness" else None
        protocol = tj.PiecewiseLinear.between(
            *self.ends, self.duration, KNOTS, lower=lower, kicks=kicks
        )
        kind = tj.Underdamped if self.kicked else tj.Overdamped
        return kind(self.potential, protocol, tj.Bath())

    def dissipated(self, protocol) -> float:
        """W - Delta F of a protocol, without sampling."""
        protocol = jax.tree.map(lambda x: jnp.asarray(x, float), protocol)
        system = self.system().replace(protocol=protocol)
        if self.kind in ("center", "stiffness"):
            ledger = tj.moments(system, 2, tj.Equilibrium(jnp.zeros(1))).ledger
        else:
            ledger = tj.FokkerPlanck(-3.0, 3.0, 400).solve(system, 2, time_steps=384).ledger  # pyright: ignore[reportArgumentType]
        return float(ledger.work[-1]) - self.free_energy


def cases() -> list[Case]:
    """Optima: Schmiedl, Seifert (2007); Gomez-Marin et al. (2008); grid solvers for the wells."""
    half = 0.5 * float(np.log(2))
    trap = tj.Harmonic(1.0, control="center")
    stiffness = tj.Harmonic(control="stiffness")
    return [
        Case("moving trap", "center", trap, (0.0, 5.0), 25 / 3, 0.3),
        Case("stiffness", "stiffness", stiffness, (1.0, 2.0), 0.40291836, 0.1, half),
        Case(
            "stiffness, underdamped, kicks",
            "stiffness",
            stiffness,
            (1.0, 2.0),
            0.4236068,
            0.1,
            half,
            kicked=True,
        ),
        # E0 ((x^2 - 1)^2 / 4 - l x) with E0 = 2: barrier E0 / 4, tilt E0 l.
        Case(
            "biased double well",
            "biased",
            tj.DoubleWell(0.5),
            (-2.0, 2.0),
            2.9499,
            0.2,
            constants=(0.5,),
        ),
        Case(
            "barrier crossing",
            "crossing",
            Crossing(),
            (-1.0, 1.0),
            7.5131,
            0.1,
            duration=0.44,
            constants=(6.38629, 9.5625),
        ),
    ]


def optimizer_of(case: Case):
    return optax.adam(lambda step: case.rate / jnp.sqrt(1 + step / DECAY))


def ours(case: Case, budgets) -> dict[int, float]:
    """The dissipated work after each number of paths; one program serves all."""
    optimizer, key = optimizer_of(case), jax.random.key(SEED)
    system, found = case.system(), {}
    for budget in budgets:
        fit = tj.optimize(
            system,
            tj.MeanWork(),
            optimizer,
            key,
            time_steps=STEPS,
            batch=BATCH,
            steps=budget // BATCH,
            initial=POINT,
        )
        found[budget] = case.dissipated(fit.system.protocol)
    return found


def for_peers(case: Case, budgets) -> dict:
    start = np.linspace(*case.ends, KNOTS).tolist()
    return {
        "name": case.name,
        "kind": case.kind,
        "initial": case.ends[0],
        "final": case.ends[1],
        "duration": case.duration,
        "constants": case.constants,
        "start": start,
        "steps": STEPS,
        "batch": BATCH,
        "rate": case.rate,
        "decay": DECAY,
        "seed": SEED,
        "budgets": list(budgets),
    }


def can_run(peer: str, case: Case) -> bool:
    """Neither knows momenta; the jax-md example is one of a dragged trap."""
    return not case.kicked and (peer == "langesim" or case.kind == "center")


def peer_run(peer: str, python: str, path: list[str], chosen: list[Case], budgets) -> dict | str:
    """What its script answers, or in words why there is no answer."""
    script = Path(__file__).parent / "protocol_peers" / f"{peer}.py"
    asked = json.dumps([for_peers(case, budgets) for case in chosen if can_run(peer, case)])
    folders = os.pathsep.join([*path, os.environ.get("PYTHONPATH", "")])
    try:
        done = subprocess.run(
            [python, str(script)],
            input=asked,
            capture_output=True,
            text=True,
            env=dict(os.environ, PYTHONPATH=folders),
        )
    except OSError as error:
        return str(error)
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or ["no message"])[-1]
    return json.loads(done.stdout)


def step_race(batch: int, rounds: int):
    """A training step of ours against the same step written with a plain scan.

    An underdamped stiffness 1 -> 2, `batch` paths, Adam; both draw their start, too.
    """
    stiffness = tj.Harmonic(control="stiffness")
    protocol = tj.PiecewiseLinear.between(jnp.float32(1), jnp.float32(2), jnp.float32(1), KNOTS)
    bath = tj.Bath(*(jnp.float32(1) for _ in range(3)))
    system = tj.Underdamped(stiffness, protocol, bath)
    optimizer = optax.adam(0.05)
    system, picture = prepare_picture(
        system, jax.random.key(0), initial=POINT, batch=batch, time_steps=STEPS
    )
    params, rest = split_trainable(system, None)
    task = Task(rest, picture, tj.MeanWork(), Pathwise())
    state = optimizer.init(params)

    def mine(values, key):
        values = jax.tree.unflatten(jax.tree.structure(params), [values])
        moved, *_ = update(task, optimizer, values, state, values, key, jnp.float32(1))
        return moved

    def plain(values, key):
        def work(values):
            of_x, of_p, of_noise = jax.random.split(key, 3)
            x, p = (jax.random.normal(k, (batch, 1), values.dtype) for k in (of_x, of_p))
            out = plain_scan(
                stiffness.energy, values, (1, 2), x, p, of_noise, h=1 / STEPS, steps=STEPS
            )
            return jnp.mean(out[2])

        start = optimizer.init(values)
        return optax.apply_updates(values, optimizer.update(jax.grad(work)(values), start)[0])

    return compare(mine, plain, (jax.tree.leaves(params)[0], jax.random.key(1)), rounds).timing


def report(
    chosen: list[tuple[Case, float, dict]], budgets, peers: dict, races: dict, facts: dict
) -> str:
    """The tables in markdown; excess is that over the least dissipated work, in per cent."""
    lines = [
        "| case | least W_diss | linear ramp | by | "
        + " | ".join(f"{b:.0e} paths" for b in budgets)
        + " |"
    ]
    lines.append("|" + "---|" * (4 + len(budgets)))
    for case, linear, found in chosen:
        least = case.optimum - case.free_energy
        shown = lambda w, least=least: f"{w:.5g} ({100 * (w / least - 1):+.2g} %)"
        for who, scores in found.items():
            if isinstance(scores, str):
                cells = [scores] * len(budgets)
            else:
                cells = [*map(shown, scores), *["not run"] * (len(budgets) - len(scores))]
            row = [case.name, f"{least:.5g}", shown(linear), who, *cells]
            lines.append("| " + " | ".join(row) + " |")
    lines += ["", "| training step | ours, ms | plain scan, ms | ratio |", "|---|---|---|---|"]
    for name, race in races.items():
        times = f"{1e3 * race.first:.3g} | {1e3 * race.second:.3g}"
        lines.append(f"| {name} | {times} | {race.ratio:.2f} |")
    lines += ["", "Peers: " + "; ".join(f"{name}: {words}" for name, words in peers.items()) + "."]
    lines.append(", ".join(f"{name} {value}" for name, value in facts.items()) + ".")
    return "\n".join(lines)


def measured(chosen: list[Case], budgets, pythons: dict, path: list[str], peer_paths: int):
    """([(case, its linear ramp's score, {who: scores})], {peer: version or what is missing})."""
    theirs = [budget for budget in budgets if budget <= peer_paths]
    answers = {peer: peer_run(peer, pythons[peer], path, chosen, theirs) for peer in PEERS}
    print(json.dumps(answers), file=sys.stderr, flush=True)
    rows = []
    for case in chosen:
        began = time.perf_counter()
        found = {"thermojax": list(ours(case, budgets).values())}
        for peer, answer in answers.items():
            if not can_run(peer, case):
                continue
            if isinstance(answer, str):
                found[PEERS[peer]] = "missing"
                continue
            protocols = [
                dataclasses.replace(case.system().protocol, values=jnp.asarray(values))  # pyright: ignore[reportArgumentType]
                for values in answer["cases"][case.name]["values"].values()
            ]
            found[PEERS[peer]] = [case.dissipated(protocol) for protocol in protocols]
        print(case.name, found, file=sys.stderr)
        rows.append((case, case.dissipated(case.system().protocol), found))
        print(f"{case.name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    words = {
        PEERS[peer]: f"missing ({answer})" if isinstance(answer, str) else answer["version"]
        for peer, answer in answers.items()
    }
    return rows, words


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.protocols", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two cases, up to 1e4 paths")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of the race of steps")
    parser.add_argument("--path", action="append", default=[], help="where a peer is found")
    for peer in PEERS:
        parser.add_argument(f"--{peer}", default=sys.executable, metavar="PYTHON")
    parser.add_argument(
        "--peer-paths", type=int, default=BUDGETS[-1], help="the most that peers are given"
    )
    parser.add_argument("--markdown", type=Path, help="write the tables there as well")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)  # for the scores; training is in float32
    chosen, budgets = (cases()[:2], BUDGETS[:1]) if options.quick else (cases(), BUDGETS)
    pythons = {peer: getattr(options, peer) for peer in PEERS}
    rows, peers = measured(chosen, budgets, pythons, options.path, options.peer_paths)
    races = {f"{n} paths, {STEPS} steps": step_race(n, options.rounds) for n in (BATCH, 4096)}
    facts = header() | {"load": f"{os.getloadavg()[0]:.1f} when it ended"}
    text = report(rows, budgets, peers, races, facts)
    print(text)
    if options.markdown is not None:
        options.markdown.write_text(text + "\n")


if __name__ == "__main__":
    main()
