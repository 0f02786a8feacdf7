"""The numbers that the erasure tab compares with, trained and computed beforehand.

`python -m thermojax.demo.erasure_numbers` writes erasure_numbers.json beside this file, in some
minutes. There is no noise in it, and so no seed: the schedules are trained on the density.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from .. import bounds
from ..distribution import FokkerPlanck
from ..optimization import ErasureError, MeanWork, optimize
from ..potential import DoubleWell
from ..protocol import PiecewiseLinear
from ..sampling import Equilibrium
from ..system import Bath, Overdamped
from .messages import KNOTS, Erase, limits

FILE = Path(__file__).with_suffix(".json")
COMMAND = "python -m thermojax.demo.erasure_numbers"
BARRIER = 14.0  # kT
REST = (1.0, 0.0)  # the controls before and after
DURATIONS = (1.0, 3.0, 10.0)
FAILURE = 1000.0  # kT that a failure counts in training
LINES = [(1, 0), (0.5, 0), (0, 0), (0, 5), (0, 10), (0.5, 10), (1, 10), (1, 5), (1, 0)]
# ln of the odds of success, where the bound is computed; in between it is interpolated.
LOG_ODDS = np.concatenate([np.linspace(0, 2, 9), np.linspace(2.5, 8, 12)])
WALL, CELLS, TIME_STEPS, TRAINING_STEPS = 2.2, 160, 96, 60


def erasure_system(values, duration) -> Overdamped:
    """The bit under the controls (a, f) at the knots, `(knots, 2)`, at rest before and after."""
    protocol = PiecewiseLinear(values, duration, initial=REST, final=REST)
    return Overdamped(DoubleWell(BARRIER), protocol, Bath())


def bit_at_rest() -> Equilibrium:
    return Equilibrium(jnp.zeros(1))


def trained(duration: float) -> np.ndarray:
    """The schedule that erases with the least work and next to no failures, `(knots, 2)`."""
    schema = Erase.model_json_schema()["properties"]
    (a0, a1), (f0, f1) = limits(schema["lowering"]), limits(schema["tilt"])
    system = erasure_system(jnp.array(LINES, float), duration)
    bounded = PiecewiseLinear(
        system.protocol.values,  # pyright: ignore[reportAttributeAccessIssue]
        duration,
        initial=REST,
        final=REST,
        lower=[a0, f0],
        upper=[a1, f1],
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"time_steps = \d+: with a tenth of them")
        fit = optimize(
            system.replace(protocol=bounded),
            MeanWork() + FAILURE * ErasureError("above"),
            optax.lbfgs(),
            picture=FokkerPlanck(-WALL, WALL, CELLS),
            time_steps=TIME_STEPS,
            steps=TRAINING_STEPS,
            initial=bit_at_rest(),
        )
    return np.asarray(fit.system.protocol.values)  # pyright: ignore[reportAttributeAccessIssue]


def success_of(log_odds) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(log_odds)))


def bounds_of(duration: float) -> list[float]:
    """The least work of any control in this time, at each of the odds and for a sure success."""
    system = erasure_system(jnp.array(LINES, float), duration)
    odds = [*success_of(LOG_ODDS), 1.0]
    found = (bounds.erasure(system, p, end="free", template=bit_at_rest()).work for p in odds)
    return [round(float(work), 6) for work in found]


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    cases = []
    for duration in DURATIONS:
        values = trained(duration)
        assert values.shape == (KNOTS, 2)
        cases.append(
            {
                "duration": duration,
                "trained": np.round(values, 4).tolist(),
                "bounds": bounds_of(duration),
            }
        )
        print(json.dumps(cases[-1]), flush=True)
    written = {"command": COMMAND, "barrier": BARRIER, "log_odds": LOG_ODDS.tolist()}
    FILE.write_text(json.dumps({**written, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
