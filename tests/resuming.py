"""A study that is over in a second, and processes that run it and are killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from thermojax.estimate import Estimate
from thermojax.experiment.results.store import Record

ROOT = Path(__file__).resolve().parents[1]
STUDY = """
import jax, jax.numpy as jnp, optax
import thermojax as tj
from thermojax.experiment import AbstractStudy, Record
from thermojax.experiment.study.evaluate import evaluate, evaluation_record

class Drag(AbstractStudy):
    question = "How much work does it cost to drag a trap?"
    columns = ("linear", "trained")
    headline = {"total work": "total_work"}

    def __init__(self, steps: int, chunks: int, stiffness: float = 1.0):
        self.steps, self.chunks = steps, chunks
        ramp = tj.PiecewiseLinear.between(0.0, 3.0, duration=1.0, knots=4)
        trap = tj.Harmonic(stiffness, center=[0.0], control="center")
        self.system = tj.Overdamped(trap, ramp, tj.Bath())

    def run(self, key, progress):
        with progress.phase("training", self.steps, "steps") as phase:
            fit = tj.optimize(
                self.system, tj.MeanWork(), optax.adam(0.1), key, time_steps=20, batch=32,
                steps=self.steps, callback=lambda seen: phase.reach(seen.step),
                checkpoint=phase.checkpoint, initial=tj.Equilibrium(jnp.zeros(1)),
            )
        results = Record()
        for name, system in zip(self.columns, (self.system, fit.system)):
            found = evaluate(
                system, jax.random.fold_in(key, 7), dt=0.05, batch=8 * self.chunks, chunk=8,
                progress=progress, name=name, initial=tj.Equilibrium(jnp.zeros(1)),
            )
            results[name] = evaluation_record(system, found, found)
        results.put("loss", fit.history["loss"], "kT", ("step",))
        return results
"""
CONFIG = "kind: drag_study:Drag\nsteps: 12\nchunks: 6\n"

# Kills its own process when it is about to rename, or has just renamed, a file for the n-th time.
KILLER = """
import os, signal, sys
place, count = sys.argv[1], int(sys.argv[2])
seen, replace = 0, os.replace
def killing(*arguments, **more):
    global seen
    seen += 1
    if seen == count and place == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*arguments, **more)
    if seen == count and place == "after":
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = killing
from thermojax.cli import main
sys.exit(main(sys.argv[3:]))
"""


def write_study(folder: Path, config: str = CONFIG) -> Path:
    (folder / "drag_study.py").write_text(STUDY)
    (folder / "drag.yaml").write_text(config)
    return folder / "drag.yaml"


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "THERMOJAX_CHECKPOINT_SECONDS": "0",
        "JAX_ENABLE_X64": "0",
    }


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    """`thermojax ...` as a process of its own in `folder`."""
    return spawn(folder, "-m", "thermojax", *arguments)


def killed_at(folder: Path, place: str, count: int, *arguments: str) -> subprocess.Popen:
    """The same, killed "before" or "after" it renames a file for the `count`-th time."""
    return spawn(folder, "-c", KILLER, place, str(count), *arguments)


def spawn(folder: Path, *arguments: str) -> subprocess.Popen:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        stdout=pipe,
        stderr=pipe,
        text=True,
    )


def assert_identical(one: Record, other: Record, path: str = "") -> None:
    """Every number of two results, bit for bit; what depends on the clock is left out."""
    clock = ("started", "wall_time")
    facts = [{k: v for k, v in r.attributes.items() if k not in clock} for r in (one, other)]
    assert facts[0] == facts[1], path
    assert set(one) == set(other), path
    for name, value in one.items():
        place = f"{path}/{name}"
        if isinstance(value, Record):
            assert_identical(value, other[name], place)
        elif isinstance(value, Estimate):
            for part in ("value", "error", "count"):
                np.testing.assert_array_equal(
                    getattr(value, part), getattr(other[name], part), place
                )
        else:
            np.testing.assert_array_equal(value, other[name], place)
