"""Annealing as a loss: bounds within a minute, evidence at equal gradients, cost of a gradient.

    python -m benchmarks annealing --set-up-cpu                     # all tables, one seed
    python -m benchmarks annealing --set-up-cpu --only a --seeds 5  # bounds, of five trainings
    python -m benchmarks annealing --set-up-cpu --only a --core 0   # each on this core alone
    python -m benchmarks annealing --set-up-cpu --only a --targets sonar --steps 8 --drives linear

Rows are kept in a record (`--json`), each replaced where it is measured again, and the report
(`--report`) is written anew from all of them. What it needs for the comparison: pip install
blackjax==1.7.1 numpyro==0.22.0; without them, ours alone.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import resource
import statistics
import sys
import time
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path

import jax

import thermojax as tj
from experiments.annealing_targets import TARGETS

from . import evidence
from .annealing_modes import modes_plans, modes_rows
from .annealing_peers import gradients, parts
from .annealing_training import Plan, beginning, in_a_process, steps_within
from .evidence_peers import Problem
from .race import compare
from .report import SET_UP_CPU, cores, cpu_model, header, header_text, installed, mark, table

HERE = Path(__file__).parent
PARTS = ("a", "b", "c", "d")

# The ELBO that is asked for within 60 seconds on two cores, and the best that was published: the
# better of CMCD-OD and CMCD-UD in the notebook of arXiv:2307.01050.
FLOORS = {
    ("ionosphere", 8): -114.91, ("ionosphere", 32): -113.04,
    ("sonar", 8): -117.39, ("sonar", 32): -112.56,
    ("seeds", 8): -74.63, ("seeds", 32): -74.17,
    ("brownian", 8): -0.589, ("brownian", 32): 0.312,
    ("funnel", 8): -1.28, ("funnel", 32): -0.99,
}  # fmt: skip
PUBLISHED = {
    ("ionosphere", 8): -112.79, ("ionosphere", 32): -112.20,
    ("sonar", 8): -112.27, ("sonar", 32): -109.79,
    ("seeds", 8): -74.50, ("seeds", 32): -73.96,
    ("brownian", 8): -0.616, ("brownian", 32): 0.275,
    ("funnel", 8): -1.06, ("funnel", 32): -0.68,
}  # fmt: skip
NAMES = ("ionosphere", "sonar", "seeds", "brownian", "funnel")
BEST = {"seeds": "network", "funnel": "two-sided"}  # drives
DENSE = (("sonar", 8), ("ionosphere", 8))
METHODS = ("ours", "smc-hmc", "nuts", "autodais")  # of (b)
PACKAGES = ("optax", "numpyro", "blackjax")
ONLY = "some tables only; none: the report of what has been measured"
LOADED = 0.1  # cores busy with other work, from where on a row is marked


class OtherWork:
    """A context in which the cores that are busy with other work are counted, on Linux.

    `cores`, after it: their mean number; nan where the system does not say.
    """

    cores: float = math.nan

    def __enter__(self) -> OtherWork:
        self._begun = time.time(), self._busy(), self._own()
        return self

    def __exit__(self, *error) -> None:
        begun, busy, own = self._begun
        spent = max(time.time() - begun, 1e-3)
        others = (self._busy() - busy) - (self._own() - own)
        # Ticks are coarse, so that the difference may be negative; nan stays.
        self.cores = 0.0 if others < 0 else others / spent

    @staticmethod
    def _own() -> float:
        """Processor seconds of this process and of those that it has begun and that have ended."""
        used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(each.ru_utime + each.ru_stime for each in used)

    @staticmethod
    def _busy() -> float:
        """Processor seconds of all that runs, idle time and waiting left out."""
        try:
            words = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        except OSError:
            return math.nan
        ticks = [int(word) for word in words]
        return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


class Record:
    """Rows by their names, in a file; those of other versions or another machine are refused.

    **Raises:** ValueError, which names what differs.
    """

    def __init__(self, file: Path, facts: dict[str, str]):
        self.file, self.facts = file, facts
        self.rows: dict[str, dict[str, dict]] = {part: {} for part in PARTS}
        if not file.exists():
            return
        found = json.loads(file.read_text())
        # Of a package that is not there now, rows that were measured with it stay.
        now = {name: value for name, value in facts.items() if value != "missing"}
        old = {name: value for name, value in found["facts"].items() if value != "missing"}
        other = [name for name in now.keys() & old.keys() if now[name] != old[name]]
        if other := sorted(set(other) - {"date"}):
            raise ValueError(
                f"{file} was measured with another {', '.join(other)}: name another file by "
                "--json, or delete it"
            )
        self.facts = facts | old | now
        self.rows |= found["rows"]

    def put(self, part: str, name: str, row: dict) -> None:
        self.rows[part][name] = row
        words = json.dumps({"facts": self.facts, "rows": self.rows}, indent=1)
        self.file.write_text(words + "\n")


def progress(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def plans(targets, steps, drives, bases) -> list[Plan]:
    """The rows of (a), each without its seed and its length.

    Each target without a drive and with the one that `BEST` names, else the linear one; with the
    dense base as well where `DENSE` says so.
    """
    found = []
    for target in targets:
        best = BEST.get(target, "linear")
        for k in steps:
            here = bases if (target, k) in DENSE else [base for base in bases if base != "dense"]
            found += [Plan(target, k, drive, base) for base in here for drive in ("none", best)]
    return [plan for plan in found if plan.drive in drives]


def train(plan: Plan, options: argparse.Namespace, record: Record, part: str = "a") -> None:
    """The trainings of one row, as long as a pilot says that fits into the time."""
    length, asked = options.length, "-"
    if length is None:
        asked = f"{options.seconds:g}"
        progress(f"({part}) {plan.name}: pilot")
        length = steps_within(plan, options.seconds, options.core)
    repeats = options.repeats if plan.target == "sonar" else 0
    for seed in range(options.seeds):
        progress(f"({part}) {plan.name}: seed {seed}, {length} steps")
        full = replace(plan, seed=seed, training=length, repeats=repeats, paths=options.paths)
        with OtherWork() as other:
            found = in_a_process(full, core=options.core)
        row: dict = asdict(full) | found | {"asked": asked, "cores": used(options)}
        row["other work"] = disturbing(other, options)
        record.put(part, f"{plan.name}, seed {seed}", row)
        progress(
            f"    ELBO {row['elbo'][0]:.3f}, log Z {row['log_z'][0]:.3f}, {row['seconds']:.0f} s"
        )


def used(options: argparse.Namespace) -> int:
    """The cores of a training."""
    return cores() if options.core is None else 1


def disturbing(other: OtherWork, options: argparse.Namespace) -> float:
    """Cores of other work, without those that a training on one core leaves free."""
    return max(0.0, other.cores - (cores() - used(options)))


def bound_rows(record: Record) -> list[dict]:
    """The lines of (a), one for each plan; of several seeds their mean and its standard error."""
    lines = []
    grouped: dict[tuple, list[dict]] = {}
    for row in record.rows["a"].values():
        group = row["target"], row["steps"], row["drive"], row["base"]
        grouped.setdefault(group, []).append(row)
    order = lambda group: (NAMES.index(group[0]), group[1], group[3] == "dense", group[2] != "none")
    for group in sorted(grouped, key=order):
        rows, (target, k, drive, base) = grouped[group], group
        true = TARGETS[target]().log_z
        floor, best = FLOORS.get((target, k), math.nan), PUBLISHED.get((target, k), math.nan)
        value, error = mean_and_error([row["elbo"] for row in rows])
        log_z, of_log_z = mean_and_error([row["log_z"] for row in rows])
        judged = lambda bound, value=value: "-" if math.isnan(bound) else mark(value >= bound)
        lines.append(
            {
                "target": target,
                "K": k,
                "drive": drive,
                "base": base,
                "log Z": f"{true:.3f}",
                "floor": f"{floor:g}",
                "published": f"{best:g}",
                "ELBO": f"{value:.3f} ± {error:.3f}",
                ">= floor": judged(floor),
                ">= published": judged(best),
                "log Z estimate": f"{log_z:.3f} ± {of_log_z:.3f}",
                "|error|": f"{abs(log_z - true):.3f}",
                "asked s": rows[0]["asked"],
                "seconds": f"{statistics.median(row['seconds'] for row in rows):.0f}",
                "CPU s": f"{statistics.median(row['CPU seconds'] for row in rows):.0f}",
                "training steps": rows[0]["training"],
                "seeds": len(rows),
                "cores": rows[0]["cores"],
                "other work": of_others(*(row["other work"] for row in rows)),
            }
        )
    return lines


def mean_and_error(found: list[list[float]]) -> tuple[float, float]:
    """The mean over trainings and its standard error; of one training, that of its paths."""
    if len(found) == 1:
        return found[0][0], found[0][1]
    values = [value for value, _ in found]
    return statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))


def of_others(*busy: float) -> str:
    """Cores that were busy with other work, marked where that matters."""
    most = max(busy)
    return "-" if math.isnan(most) else f"{most:.1f}" + (" *" if most > LOADED else "")


def peers(options: argparse.Namespace, record: Record) -> None:
    """The rows of (b); ours are trainings of (a), and trained here where the record has none."""
    options = argparse.Namespace(**vars(options) | {"seeds": 1})
    if "ours" in options.methods:
        for plan in plans(["sonar"], [8], options.drives, options.bases):
            if f"{plan.name}, seed 0" not in record.rows["a"]:
                train(plan, options, record)
    target = TARGETS["sonar"]()
    this = Problem(*parts(target.energy))
    for name in options.methods:
        if name in ("ours", "autodais"):
            continue
        label, package, _ = evidence.METHODS[name]
        if package is not None and find_spec(package) is None:
            progress(f"(b) {label}: {package} not installed")
            continue
        for budget in options.budgets:
            progress(f"(b) {label}, {budget:.0e}")
            with OtherWork() as other:
                row = evidence.measured(name, this, budget, options.repeats, target.log_z)
            record.put("b", f"{label}, {budget:.0e}", row | {"other work": other.cores})
            progress(f"    RMS error {row['RMS error']:.3f}, {row['seconds']:.1f} s")
    if "autodais" not in options.methods:
        return
    if find_spec("numpyro") is None:
        progress("(b) AutoDAIS: numpyro not installed")
        return
    for base in options.bases:
        train(Plan("sonar", 8, "none", base, "autodais"), options, record, "b")


def evidence_rows(record: Record) -> list[dict]:
    """The lines of (b): our trainings of sonar at K = 8, AutoDAIS, then samplers."""
    true, lines = TARGETS["sonar"]().log_z, []
    ours = [r for r in record.rows["a"].values() if r["target"] == "sonar" and r["steps"] == 8]
    ours = [row for row in ours if row["seed"] == 0 and row["estimates"]]
    trained = [r for r in record.rows["b"].values() if "elbo" in r]
    for row in ours + trained:
        by = "ours" if row["method"] == "annealer" else "NumPyro AutoDAIS"
        drive = "" if row["drive"] == "none" else f"{row['drive']} drive, "
        off = [value - true for value in row["estimates"]]
        lines.append(
            {
                "method": f"{by}, K = 8, {drive}{row['base']} base",
                "gradients of training": row["training gradients"],
                "of an estimate": float(row["gradients"]),
                "training steps": row["training"],
                "prepared s": row["seconds"],
                "CPU s": row["CPU seconds"],
                "estimate s": row["each seconds"],
                "ELBO": "{:.3f} ± {:.3f}".format(*row["elbo"]),
                "log Z": f"{true + statistics.mean(off):.3f}",
                "RMS error": statistics.mean(x * x for x in off) ** 0.5,
                "repeats": len(off),
                "cores": row["cores"],
                "other work": of_others(row["other work"]),
            }
        )
    for row in record.rows["b"].values():
        if "elbo" in row:
            continue
        lines.append(
            {
                "method": row["method"],
                "gradients of training": math.nan,
                "of an estimate": row["gradients"],
                "training steps": "-",
                "prepared s": row["compile"],
                "CPU s": math.nan,
                "estimate s": row["seconds"],
                "ELBO": "-",
                "log Z": f"{true + row['mean error']:.3f}",
                "RMS error": row["RMS error"],
                "repeats": len(row["values"]),
                "cores": cores(),
                "other work": of_others(row["other work"]),
            }
        )
    return lines


def race_gradients(steps: int, drive: str, options: argparse.Namespace, record: Record) -> None:
    """One row of (c)."""
    progress(f"(c) K = {steps}, drive {drive}")
    params, own, plain = gradients(beginning(Plan("sonar", steps, drive)), options.batch)
    with OtherWork() as other:
        found = compare(own, plain, (params, jax.random.key(0)), options.rounds)
    first, second = found.first, found.second
    row = {
        "K": steps,
        "drive": drive,
        "batch": options.batch,
        "ours ms": found.timing.first * 1e3,
        "scan ms": found.timing.second * 1e3,
        "ours / scan": found.timing.ratio,
        "CPU ratio": found.timing.cpu_ratio,
        "ours MiB": first.temporary_bytes / 2**20,
        "scan MiB": second.temporary_bytes / 2**20,
        "memory": first.temporary_bytes / second.temporary_bytes,
        "compile s": first.compile_seconds,
        "scan compile s": second.compile_seconds,
        "rounds": options.rounds,
    }
    record.put("c", f"K = {steps}, {drive}", row | {"other work": other.cores})


def gradient_rows(record: Record) -> list[dict]:
    """The lines of (c)."""
    order = lambda row: (row["drive"] != "none", row["K"])
    rows = sorted(record.rows["c"].values(), key=order)
    return [row | {"other work": of_others(row["other work"])} for row in rows]


NOTES = {
    "a": """\
## (a) Bounds within a minute

`tj.anneal.fit` in a new process, its base from `tj.anneal.variational` (diagonal) or from
`tj.anneal.laplace` (dense); Adam along a cosine to 0, gradients of norm 50 at most. dt 0.3, rate
0.05, batch 64 at K = 8 and 32 above; Adam begins at 0.006 for a linear drive at K = 8, at 0.01 for
a network, else at 0.02. "two-sided" is a network with two sides, friction from a rate of 5 at
K = 8, and 8 at dt 0.2 above, batch 64, and Adam from 0.008. These were chosen by a few trainings
on sonar, seeds, brownian and the funnel. As many steps as a pilot says fit into the time that was
asked for, from the start of the process: import, the base, compilation, training, and the
comparison of candidates at its end. The ELBO is of other paths, after that. "asked s": that time,
or - where the number of training steps was given. "seconds": what it took; "CPU s": of all threads
together, which other work on the machine disturbs less; "cores": those of a training.
"floor": the ELBO that is asked for. "published": the better of CMCD-OD and CMCD-UD in the
notebook of arXiv:2307.01050, each with its own budget of training. "|error|": of the estimate of
log Z. Behind ±: of one training the standard error of its paths, of several that of their mean.""",
    "b": """\
## (b) Evidence at equal gradients, sonar

A gradient is one of the target for one path or particle. A path of K steps takes K + 1 of them, in
training three times as many (a product with the Hessian counts as two); the fit of a diagonal base
is among them, Laplace's descent is not. "prepared s": training from the start of the process, or
compilation. "RMS error": of log Z, over so many repeats with keys of their own, all of one training
where there is one; of 8 it is known to 25 %. Tempered SMC and NUTS with a bridge are those of
[evidence at equal gradients](evidence.md), and need no training. AutoDAIS trains as long as ours
(for as many seconds, or as many steps where these were given) with the same batch, bound of the
gradient and falling rate, from 0.02; its steps are at most 1, from 0.1, its base has a scale of 0.3
at first ("dense" is its "cholesky"), and all its training is one `lax.scan`.""",
    "c": """\
## (c) The gradient of one training step, sonar

`jax.value_and_grad` of `Annealer.loss`, beside the same loss by OBABO in a plain `lax.scan` whose
reverse mode keeps every step; both compiled ahead of time in one process and timed in turns. Ratios
are the medians of the rounds, of first / second. "CPU ratio": of processor time. MiB: the
compiler's temporary memory. What trains: base, couplings, steps, friction, masses, and the
drive.""",
    "d": """\
## (d) Many modes

Trained as in (a) at the largest K, from a base that its own bound has fitted into one mode, and
from a wide one around 0 (of scale 25 for the forty modes of unit width within 40 of 0, 1.5 for the
wells). ELBO and EUBO: from forward paths and from exact draws. "forward" and "Bennett": estimates
of log Z by forward paths alone and by both. "modes": those of which weighted samples hold half of
their share or more; of wells, two for each coordinate. "own share" and "share seen": the effective
share of forward paths by their own weights, and by draws of the target; "told": whether
`tj.anneal.two_sided` says that modes are lost.""",
}


def report(record: Record) -> str:
    """All that is in the record, as a page."""
    found = {"a": bound_rows(record), "b": evidence_rows(record), "c": gradient_rows(record)}
    found["d"] = modes_rows(record.rows["d"], of_others)
    others = [row["other work"] for rows in record.rows.values() for row in rows.values()]
    lines = [
        "# Annealing as a loss",
        "`python -m benchmarks annealing --set-up-cpu`: bounds of log Z by short trained ramps.",
        f"```text\n{header_text(record.facts)}\n```",
        '"other work": cores that were busy with anything else, on average.',
    ]
    if any(busy > LOADED for busy in others):
        lines.append(
            f"**Measured under load** where it has a star (more than {LOADED:g} cores): read no "
            "seconds there, and fewer training steps fit into the time than on an idle machine."
        )
    for part, rows in found.items():
        if rows:
            words = NOTES[part]
            lines += [words, f"```text\n{table(rows)}\n```"]
    return "\n\n".join(lines) + "\n"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks annealing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    some = functools.partial(made.add_argument, nargs="+", metavar="NAME")
    made.add_argument("--only", nargs="*", choices=PARTS, default=PARTS, help=ONLY)
    some("--targets", choices=NAMES, default=NAMES, help="of (a)")
    made.add_argument("--steps", nargs="+", type=int, default=[8, 32], metavar="K", help="of (a)")
    drives = ("none", "linear", "network", "two-sided")
    some("--drives", choices=drives, default=drives)
    bases = ("diagonal", "dense")
    some("--bases", choices=bases, default=bases)
    made.add_argument("--seeds", type=int, default=1, help="trainings of each row of (a)")
    made.add_argument("--core", type=int, help="the only one of each training; by taskset")
    made.add_argument("--seconds", type=float, default=60.0, help="of one training, 60")
    made.add_argument("--length", type=int, help="training steps, by no pilot")
    made.add_argument("--paths", type=int, default=16384, help="of an ELBO")
    made.add_argument("--budgets", nargs="+", type=float, default=[1e5, 1e6], help="of (b)")
    some("--methods", choices=METHODS, default=METHODS, help="of (b)")
    made.add_argument("--repeats", type=int, default=8, help="estimates of a row of (b)")
    made.add_argument("--raced", nargs="+", type=int, default=[8, 32, 128], help="K of (c)")
    made.add_argument("--batch", type=int, default=64, help="paths of (c)")
    made.add_argument("--rounds", type=int, default=5, help="of (c)")
    made.add_argument("--json", type=Path, default=HERE / "annealing.json", metavar="FILE")
    made.add_argument("--report", type=Path, default=HERE / "annealing.md", metavar="FILE")
    made.add_argument("--set-up-cpu", action="store_true", help=SET_UP_CPU)
    return made


def known_facts() -> dict[str, str]:
    """What all rows of a record have in common."""
    facts = header() | {name: installed(name) for name in PACKAGES}
    return facts | {"cpu": f"{cpu_model()}, {cores()} cores"}


def main(words: list[str] | None = None) -> None:
    made = parser()
    options = made.parse_args(words)
    for name in ("seeds", "repeats", "rounds", "paths", "batch"):
        least = 2 if name == "repeats" else 1
        if getattr(options, name) < least:
            made.error(f"{name} = {getattr(options, name)}: expected {least} or more")
    if options.set_up_cpu:
        tj.set_up_cpu(keep_memory=True)
    try:
        record = Record(options.json, known_facts())
    except ValueError as error:
        made.error(str(error))
    if "a" in options.only:
        for plan in plans(options.targets, options.steps, options.drives, options.bases):
            train(plan, options, record)
    if "b" in options.only:
        peers(options, record)
    if "d" in options.only:
        for plan in modes_plans(max(options.steps)):
            train(plan, options, record, "d")
    if "c" in options.only:
        for drive in options.drives:
            for steps in options.raced if drive in ("none", "linear") else []:
                race_gradients(steps, drive, options, record)
    text = report(record)
    options.report.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
