"""Paths that diverge are counted and left out; where none is left a run says so."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.evaluate import evaluate, evaluation_record


class Steep(tj.AbstractPotential):
    """A well that is steep far out: starts there diverge at a coarse step, others do not."""

    def energy(self, x, control):
        return jnp.sum(0.5 * x**2 + 0.05 * x**4) + control * jnp.sum(x)

    def sampled_by(self, control, temperature):
        return self

    def sample(self, key, control, temperature, batch, template):
        return jnp.where(jnp.arange(batch)[:, None] % 4 == 0, 1e3 * self.far, 0.0)

    far: float = 1.0

    def template(self, control):
        return jnp.zeros(1)


def evaluated(potential, dt):
    system = tj.Overdamped(potential, tj.Linear(0.0, 0.1, 10.0), tj.Bath())
    progress = Progress(io.StringIO())
    settings = {"dt": dt, "batch": 64, "chunk": 32, "progress": progress, "name": "linear"}
    return system, evaluate(system, jax.random.key(0), **settings)


def test_survivors_are_averaged():
    system, found = evaluated(Steep(), 0.1)
    assert found.diverged == 16
    record = evaluation_record(system, found, found)
    assert record["diverged"] == 16 and int(record["work"].count) == 48
    for entry in ("work", "heat", "dissipated_work", "log_ratio"):
        assert np.isfinite(record[entry].value) and np.isfinite(record[entry].error)
    assert np.all(np.isfinite(found.mean["heat"].value))


def test_nothing_left():
    with pytest.raises(
        ValueError, match=r"dt = 0.5: 64 of 64 paths of the linear schedule diverged"
    ):
        evaluated(tj.Harmonic(1e30, center=[0.0]), 0.5)
