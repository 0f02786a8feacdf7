"""One bit, erased by a protocol that is drawn by hand: its work, its failures, and the bounds."""

from __future__ import annotations

import functools
import json
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .. import bounds
from ..distribution import FokkerPlanck
from ..protocol import PiecewiseLinear
from ..sampling import simulate
from .erasure_numbers import FILE, LINES, WALL, bit_at_rest, erasure_system
from .messages import Erase, Message, MessageError
from .numbers import thousandths

PATHS = 2000
MOMENTS = 31  # pictures of a run
BINS = 44
CELLS = 132  # of the exact density
# By the duration. Steps that are coarse beside the narrow wells do shadow work at a steady rate:
# 0.4 kT of 0.8 in a run of duration 10 with 3,000 of them.
TIME_STEPS = {1.0: 3000, 3.0: 3000, 10.0: 10_000}
GRID_STEPS = {1.0: 300, 3.0: 900, 10.0: 2400}


@functools.partial(jax.jit, static_argnames="duration")
def erased(values, duration: float, key: PRNGKeyArray):
    """Paths through the protocol: snapshots `(moments, paths)`, total work and alive `(paths,)`."""
    out = simulate(
        erasure_system(values, duration),
        key,
        time_steps=TIME_STEPS[duration],
        batch=PATHS,
        initial=bit_at_rest(),
        save=MOMENTS,
        observe=lambda time, state, ledger: state.position[:, 0],
    )
    assert out.saved is not None
    return out.saved.values, out.ledger.total_work, out.ledger.alive


@functools.partial(jax.jit, static_argnames="duration")
def density_erased(values, duration: float):
    """The exact density `(moments, cells)` of the same run, its work, and its failures."""
    system = erasure_system(values, duration)
    solver = FokkerPlanck(-WALL, WALL, CELLS, boundary="reflecting")
    law = solver.solve(system, MOMENTS, time_steps=GRID_STEPS[duration], initial=bit_at_rest())
    return law.density, law.ledger.work[-1], law.mean(lambda x: x[0] < 0)[-1]


@jax.jit
def energies_along(values, x):
    """The potential at the moments of the pictures, `(moments, x)`."""
    protocol = PiecewiseLinear(values, 1.0)
    well = erasure_system(values, 1.0).potential
    controls = jax.vmap(protocol)(jnp.linspace(0, 1, MOMENTS))
    return jax.vmap(lambda c: jax.vmap(lambda one: well.energy(one[None], c))(x))(controls)


class LeastWork:
    """The bounds for an uncertain success, from numbers computed beforehand."""

    def __init__(self):
        found = json.loads(FILE.read_text())
        self.log_odds = np.array(found["log_odds"])
        self.cases = {case["duration"]: case for case in found["cases"]}

    def trained(self, duration: float) -> np.ndarray:
        return np.array(self.cases[duration]["trained"])

    def in_time(self, success: float, duration: float) -> float:
        """The least work of any control in this time, by interpolation in ln of the odds.

        A success below one half is one on the other side, and costs as much.
        """
        success = max(success, 1 - success)
        *works, sure = self.cases[duration]["bounds"]
        if success >= 1:
            return sure
        odds = math.log(success / (1 - success))
        last = self.log_odds[-1]
        if odds <= last:
            return float(np.interp(odds, self.log_odds, works))
        # Beyond, what is missing to a sure success goes with the share of failures.
        share = (1 - success) * (1 + math.exp(last))
        return sure + (works[-1] - sure) * share


class ErasureScene:
    """A run for every protocol that arrives, and the trained one beside it."""

    def __init__(self, key: PRNGKeyArray):
        self.key, self.runs = key, 0
        self.bounds = LeastWork()
        self.drawn: tuple[np.ndarray, float] | None = (np.array(LINES, float), 3.0)
        self.reference: dict[float, dict[str, Any]] = {}

    def take(self, message: Message) -> None:
        if not isinstance(message, Erase):
            raise MessageError(f"do = {message.do}: not of the erasure, whose tab is open")
        controls = np.stack([message.lowering, message.tilt], axis=1)
        self.drawn = controls, float(message.duration)

    def frame(self) -> dict[str, Any] | None:
        if self.drawn is None:
            return None
        (values, duration), self.drawn = self.drawn, None
        if duration not in self.reference:
            learned = self.bounds.trained(duration)
            self.reference[duration] = {
                "values": learned.tolist(),
                **self.measured(learned, duration)[0],
            }
        by_hand, pictures = self.measured(values, duration)
        return {
            "kind": "erasure",
            "duration": duration,
            "half": WALL,
            "values": np.round(values, 4).tolist(),
            "hand": by_hand,
            "trained": self.reference[duration],
            **pictures,
        }

    def measured(self, values: np.ndarray, duration: float) -> tuple[dict[str, Any], dict]:
        """The numbers of one protocol, and its pictures."""
        self.runs += 1
        key = jax.random.fold_in(self.key, self.runs)
        path, work, alive = (np.asarray(x) for x in erased(values, duration, key))
        density, exact_work, exact_failures = density_erased(values, duration)
        ended = alive > 0
        count = int(ended.sum())
        work, failed = work[ended], path[-1, ended] < 0
        failures = float(failed.mean())
        # None among n is 0 ± 1/n, for it may yet happen.
        spread = max(failures * (1 - failures), 1 / count)
        exact_failures = min(max(float(exact_failures), 0.0), 1.0)
        numbers = {
            "work": [float(work.mean()), float(work.std(ddof=1)) / math.sqrt(count)],
            "exact_work": float(exact_work),
            "failures": [failures, math.sqrt(spread / count)],
            "exact_failures": exact_failures,
            "landauer": float(bounds.landauer(1 - exact_failures)),
            "in_time": self.bounds.in_time(1 - exact_failures, duration),
            "diverged": PATHS - count,
        }
        edges = np.linspace(-WALL, WALL, BINS + 1)
        counts = np.stack([np.histogram(x[ended], edges)[0] for x in path])
        x = np.linspace(-WALL, WALL, BINS + 1)
        pictures = {
            "counts": counts.tolist(),
            "density": thousandths(density),
            "energies": np.rint(10 * np.asarray(energies_along(values, x))).astype(int).tolist(),
        }
        return numbers, pictures
