"""The problems, and our own program for each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import thermojax as tj

DATA = Path(__file__).parents[1] / "data" / "breast_cancer.csv"
KNOTS = 64
STEP = 0.1


@dataclass(frozen=True)
class Case:
    """One problem: a potential whose control is ramped by `KNOTS` values between two ends.

    The values stop a tenth short of both ends: both programs pay for a jump there.
    """

    name: str
    potential: tj.AbstractPotential
    ends: tuple[float, float]
    batch: int
    dim: int
    steps: int

    @property
    def particle_steps(self) -> int:
        return self.batch * self.steps

    @property
    def is_ramp(self) -> bool:
        """The stiffness ramp, which every peer knows."""
        return isinstance(self.potential, tj.Harmonic)

    def inputs(self, key, sharding=None):
        """(schedule values, State, key): what both programs take, the batch laid out so."""
        first, last = self.ends
        inside = np.linspace(first + 0.1 * (last - first), last - 0.1 * (last - first), KNOTS)
        of_x, of_p, of_noise = jax.random.split(key, 3)
        shape = (self.batch, self.dim)
        x = jax.random.normal(of_x, shape, jnp.float32)
        # The width of the equilibrium before the ramp, where the case is a stiffness.
        width = first**-0.5 if self.is_ramp else 1.0
        p = jax.random.normal(of_p, shape, jnp.float32)
        state = tj.State(width * x, p)
        if sharding is not None:
            state = jax.device_put(state, sharding)
        return jnp.asarray(inside, jnp.float32), state, of_noise

    def controls(self):
        """The schedule on the grid, for programs that read a table.

        **Returns:** `held`, `(steps + 2,)`: the control from grid point n - 1 to n, with the ends
        first and last; `kicks`, `(steps + 1,)`: the control at the grid points. Float32.
        """
        values = np.asarray(self.inputs(jax.random.key(0))[0], float)
        knots, grid = np.linspace(0, self.steps, KNOTS), np.arange(self.steps + 1.0)
        middles = np.interp(grid[:-1] + 0.5, knots, values)
        held = np.concatenate([self.ends[:1], middles, self.ends[1:]])
        return held.astype(np.float32), np.interp(grid, knots, values).astype(np.float32)


def stiffness_ramp(batch: int, dim: int, steps: int) -> Case:
    """Harmonic wells whose stiffness goes from 1/4 to 1."""
    well = tj.Harmonic(1.0, jnp.zeros(dim, jnp.float32), control="stiffness")
    return Case(f"stiffness ramp {batch} x {dim}", well, (0.25, 1.0), batch, dim, steps)


def breast_cancer() -> tuple[tj.Gaussian, tj.LogisticRegression]:
    """Prior and likelihood of a logistic regression: 569 rows, a bias and 30 features."""
    table = np.loadtxt(DATA, delimiter=",", skiprows=1)
    features, labels = table[:, :-1], table[:, -1]
    features = (features - features.mean(0)) / features.std(0)
    features = np.concatenate([np.ones((len(features), 1)), features], 1).astype(np.float32)
    prior = tj.Gaussian(jnp.zeros(features.shape[1], jnp.float32))
    return prior, tj.LogisticRegression(features, labels)


def posterior_ramp(batch: int, steps: int) -> Case:
    """That regression from prior to posterior."""
    prior, likelihood = breast_cancer()
    ramp = tj.Interpolation(prior, prior + likelihood)
    return Case(f"posterior ramp {batch} x 31", ramp, (0.0, 1.0), batch, prior.mean.size, steps)


def forward_cases(quick: bool) -> list[Case]:
    """Small and large batches and dimensions, long enough for what a call costs not to count."""
    if quick:
        return [stiffness_ramp(1024, 1, 400), stiffness_ramp(1, 1, 4000)]
    return [
        stiffness_ramp(1024, 1, 8000),
        stiffness_ramp(1024, 8, 1000),
        stiffness_ramp(1024, 64, 400),
        stiffness_ramp(65536, 1, 200),
        stiffness_ramp(1, 1, 200_000),
        posterior_ramp(256, 200),
    ]


def gradient_cases(quick: bool) -> list[Case]:
    """1000 steps where there is a target; the plain scan keeps 1.5 GiB at 65536 x 1."""
    if quick:
        return [stiffness_ramp(256, 8, 200)]
    return [
        stiffness_ramp(1024, 1, 1000),
        stiffness_ramp(1024, 8, 1000),
        stiffness_ramp(256, 64, 1000),
        stiffness_ramp(65536, 1, 1000),
        stiffness_ramp(1, 1, 20000),
        posterior_ramp(256, 200),
    ]


def shared_out(case: Case):
    """The sharding of its batch where the cores of a CPU are devices that divide it, else None."""
    devices = jax.device_count() if jax.default_backend() == "cpu" else 1
    return tj.batch_sharding() if devices > 1 and case.batch % devices == 0 else None


def ours(case: Case, sharding=None, memory: int | None = None):
    """f(values, state, key) -> `tj.Result`, everything that `tj.simulate` books."""

    def run(values, state, key):
        protocol = tj.PiecewiseLinear(values, case.steps * STEP, *case.ends)
        system = tj.Underdamped(case.potential, protocol, tj.Bath())
        return tj.simulate(
            system, key, time_steps=case.steps, initial=state, sharding=sharding, memory=memory
        )

    return run


def our_gradient(case: Case, sharding=None, memory: int | None = None):
    """The gradient of the mean total work with respect to the values of the schedule."""

    def mean_work(values, state, key):
        result = ours(case, sharding, memory)(values, state, key)
        return result.mean(result.ledger.total_work).value

    return jax.grad(mean_work)
