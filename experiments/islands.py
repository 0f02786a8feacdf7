"""Two islands of unequal weight, far apart: which trainings learn how much each of them weighs."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from annotated_types import Ge, Gt, Lt

import thermojax as tj
from experiments.islands_figures import density_figure, doubtful, in_words, share_figure
from thermojax.experiment.results.store import Record
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy

WIDEST, POINTS = 20.0, 401  # the square in which energies are summed up, and its points on a side
DATA = 4000
SPREAD = 0.4  # of each island


class Islands(AbstractStudy):
    r"""One energy in the plane, trained on two islands by one or several methods.

        p(x) = weight N(x; (+d/2, 0), .4^2) + (1 - weight) N(x; (-d/2, 0), .4^2)

    The truth of each model is a sum over a grid: its ln Z, and the share of its right half.

    **Arguments:**

    - `weight`: of the right island. `distance`: d, between both.
    - `methods`: "nonequilibrium" (walkers with weights), "persistent" (without).
    - `steps`, `batch`, `learning_rate`: of the training, the rate falling to zero. `width`: of the
      two hidden layers of the network.
    - `dt`, `moves`: time step and number of steps of walkers between two updates; `walkers` and
      `witnesses`, their numbers.
    - `every`: steps between two looks at the model.
    """

    question = "Does an energy learn how much two islands weigh that no walker can cross between?"
    headline: ClassVar[dict[str, str]] = {
        "share of the right island": "share",
        "of its walkers, by their weights": "share_of_walkers",
        "ln Z by witnesses, minus the sum": "off",
        "ln p of the data": "likelihood",
    }
    figures: ClassVar = {"share": share_figure, "density": density_figure}
    sentences: ClassVar = (in_words,)
    doubts: ClassVar = (doubtful,)

    def __init__(
        self,
        weight: Annotated[float, Gt(0), Lt(1)] = 0.8,
        distance: Annotated[float, Gt(0), Lt(WIDEST)] = 6.0,
        methods: tuple[Literal["nonequilibrium", "persistent"], ...] = (
            "nonequilibrium",
            "persistent",
        ),
        steps: Annotated[int, Gt(0)] = 300,
        batch: Annotated[int, Ge(2)] = 1024,
        learning_rate: Annotated[float, Gt(0)] = 5e-3,
        width: Annotated[int, Gt(0)] = 32,
        dt: Annotated[float, Gt(0)] = 0.02,
        moves: Annotated[int, Gt(0)] = 3,
        walkers: Annotated[int, Ge(2)] = 8192,
        witnesses: Annotated[int, Ge(16)] = 1024,
        every: Annotated[int, Gt(0)] = 10,
    ):
        if not methods or len(set(methods)) < len(methods):
            raise ValueError(f"methods = {list(methods)}: expected names of methods, each once")
        self.weight, self.distance, self.columns = weight, distance, tuple(methods)
        self.steps, self.batch, self.learning_rate = steps, batch, learning_rate
        self.width, self.every = width, every
        self.moves = tj.ebm.Moves(dt, moves)
        self.walkers, self.witnesses = walkers, witnesses

    def data(self, key):
        """Positions, of which exactly the share `weight` is on the right, `(4000, 2)`."""
        noise = SPREAD * jax.random.normal(key, (DATA, 2))
        right = jnp.arange(DATA) < round(self.weight * DATA)
        center = jnp.where(right, self.distance / 2, -self.distance / 2)
        return noise.at[:, 0].add(center)

    def method(self, name: str) -> tj.ebm.AbstractMethod:
        """A method by its name."""
        if name == "persistent":
            return tj.ebm.Persistent(self.moves, self.walkers)
        return tj.ebm.Nonequilibrium(self.moves, self.walkers, self.witnesses)

    def run(self, key, progress: Progress) -> Record:
        data_key, net_key, fit_key = jax.random.split(key, 3)
        data = self.data(data_key)
        # Wide enough for walkers to begin on both islands.
        scale = self.distance * 2 / 3
        begun = tj.ebm.NeuralEnergy.mlp(
            2, net_key, width=self.width, scale=scale, activation="softplus"
        )
        rate = optax.cosine_decay_schedule(self.learning_rate, self.steps)
        optimizer = optax.adam(rate)
        results = Record()
        for name in self.columns:
            rows, before = [], [begun]
            with progress.phase(f"training, {name}", self.steps, "steps") as phase:

                def look(seen: tj.ebm.EnergyProgress, rows=rows, before=before, phase=phase):
                    if seen.step % self.every == 0 or seen.step in (1, self.steps):
                        # The numbers of a step are those of the model before its update.
                        log_z, share, _ = summed(before[0])
                        off = seen.seen["log_z"] - float(log_z)
                        rows.append((seen.step, float(share), off, seen.seen["log_z_error"]))
                        phase.reach(seen.step, f"share {float(share):.3f}")
                    before[0] = seen.model

                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "the walkers vary by")  # it is a doubt
                    fit = tj.ebm.fit(
                        begun, data, optimizer, fit_key, method=self.method(name),
                        batch=self.batch, steps=self.steps, callback=look,
                    )  # fmt: skip
            results[name] = self.record(fit, data, rows)
        results.attributes = {
            "weight": self.weight, "distance": self.distance, "spread": SPREAD, "widest": WIDEST,
        }  # fmt: skip
        return results

    def record(self, fit: tj.ebm.EnergyFit, data, rows: list) -> Record:
        """The numbers of one training."""
        record, (log_z, share, density) = Record(), summed(fit.model)
        record.put("share", float(share))
        walkers, weights = (np.asarray(x, float) for x in fit.positions)  # pyright: ignore
        record.put("share_of_walkers", float(np.average(walkers[:, 0] > 0, weights=weights)))
        off = float(fit.log_z.value) - float(log_z)
        if np.isfinite(off):
            record.put("off", tj.Estimate(off, fit.log_z.error, fit.log_z.count))
        energies = jax.vmap(lambda x: fit.model.energy(x, None))(data)  # pyright: ignore
        record.put("likelihood", float(-jnp.mean(energies) - log_z))
        record["training"] = training = Record()
        names = ("step", "share", "log_z_off", "log_z_error")
        for entry, column in zip(names, np.asarray(rows).T, strict=True):
            training.put(entry, column, "1", ("look",))
        training.attributes = {"stopped": fit.stopped}
        record.put("density", np.asarray(density, np.float32), "1 / area", ("x", "y"))
        return record


@eqx.filter_jit
def summed(model: Any):
    """(ln Z, the share of the right half, the density) of an energy, summed over a grid."""
    side = jnp.linspace(-WIDEST, WIDEST, POINTS)
    grid = jnp.stack(jnp.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
    energies = jax.vmap(lambda x: model.energy(x, None))(grid)
    area = (side[1] - side[0]) ** 2
    log_z = jax.scipy.special.logsumexp(-energies) + jnp.log(area)
    density = jnp.exp(-energies - log_z)
    # Half of what is on the border belongs to the right.
    right = jnp.heaviside(grid[:, 0], 0.5)
    return log_z, jnp.sum(right * density) * area, density.reshape(POINTS, POINTS)
