"""Energies that learn digits: how likely images are that they have not seen, and what they draw.

Data are images with a little normal noise on them, so that they have a density. Energies tilt the
Gaussian of the data's moments, whose likelihood is known.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from annotated_types import Ge, Gt

import thermojax as tj
from experiments.digits import classifier, digits, held_out, judged
from experiments.energy_model_figures import (
    doubtful,
    in_words,
    inpainting_figure,
    likelihood_figure,
    samples_figure,
)
from thermojax.estimate import weighted_mean
from thermojax.experiment.results.store import Record
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy

SHOWN = 12  # walkers that are drawn through training, and images that are filled in
MOMENTS = 5  # of training
PIXELS = 64
ALL = tuple(range(10))
CLIPPED = 10.0  # the largest norm of a gradient
FILLING = 200  # moves that fill in the lower half of an image


@dataclass(frozen=True)
class Training:
    """The training: `steps` updates on batches of `batch` images, the rate falling to zero."""

    steps: Annotated[int, Gt(0)]
    batch: Annotated[int, Ge(2)] = 256
    learning_rate: Annotated[float, Gt(0)] = 1e-3


class EnergyModel(AbstractStudy):
    r"""One energy, trained by one or several methods, judged by its likelihood and its samples.

    **Arguments:**

    - `methods`: "nonequilibrium" (walkers with weights), "persistent" (without), "divergence"
      (short runs from the data), "scores" (no walkers).
    - `training`: the same for each. `noise`: standard deviation of what is added to images of
      variance 1. `width`, of the two hidden layers of the network.
    - `dt`, `moves`: time step and number of steps of walkers between two updates; `walkers` and
      `witnesses`, their numbers.
    - `ramp`: moves in which fresh walkers find ln Z of the trained model. `samples`: judged.
    """

    question = "How likely are digits that an energy has not seen, and does it draw digits?"
    headline: ClassVar[dict[str, str]] = {
        "ln p of images not seen": "likelihood",
        "ln p of training images": "likelihood_train",
        "ln p by witnesses": "likelihood_witnessed",
        "recognized": "recognized",
        "balance of classes (bits)": "balance",
        "likeness to training images": "likeness",
        "filled in, recognized as it was": "filled",
        "the same before, half empty": "half_empty",
        "time of training (s)": "seconds",
    }
    figures: ClassVar = {
        "samples": samples_figure,
        "likelihood": likelihood_figure,
        "inpainting": inpainting_figure,
    }
    sentences: ClassVar = (in_words,)
    doubts: ClassVar = (doubtful,)

    def __init__(
        self,
        training: Training,
        methods: tuple[Literal["nonequilibrium", "persistent", "divergence", "scores"], ...] = (
            "nonequilibrium",
        ),
        noise: Annotated[float, Gt(0)] = 0.3,
        width: Annotated[int, Gt(0)] = 128,
        dt: Annotated[float, Gt(0)] = 0.03,
        moves: Annotated[int, Gt(0)] = 5,
        walkers: Annotated[int, Ge(2)] = 1024,
        witnesses: Annotated[int, Ge(16)] = 256,
        ramp: Annotated[int, Gt(0)] = 200,
        samples: Annotated[int, Ge(2)] = 400,
    ):
        if not methods or len(set(methods)) < len(methods):
            raise ValueError(f"methods = {list(methods)}: expected names of methods, each once")
        self.training, self.columns, self.width = training, tuple(methods), width
        self.noise, self.ramp, self.samples = noise, ramp, samples
        self.moves = tj.ebm.Moves(dt, moves)
        self.walkers, self.witnesses = walkers, witnesses

    def method(self, name: str) -> tj.ebm.AbstractMethod:
        """A method by its name."""
        if name == "nonequilibrium":
            return tj.ebm.Nonequilibrium(self.moves, self.walkers, self.witnesses)
        if name == "persistent":
            return tj.ebm.Persistent(self.moves, self.walkers)
        if name == "divergence":
            return tj.ebm.ContrastiveDivergence(self.moves)
        return tj.ebm.ScoreMatching(self.noise)

    def run(self, key, progress: Progress) -> Record:
        noise_key, net_key, fit_key, ramp_key, draw_key, fill_key = jax.random.split(key, 6)
        found = digits("digits")
        apart = held_out(found)
        images = jnp.asarray(found.images)
        images = images + self.noise * jax.random.normal(noise_key, images.shape, images.dtype)
        seen, unseen = images[~apart], images[apart]
        law = tj.Gaussian(jnp.mean(seen, axis=0), jnp.cov(seen.T))
        begun = tj.ebm.NeuralEnergy.mlp(PIXELS, net_key, width=self.width, around=law)
        results = Record()
        results["judge"] = self.judge(np.asarray(unseen), np.asarray(seen), law)
        for name in self.columns:
            moments, record = [], Record()
            fit = self.trained(begun, seen, fit_key, name, moments, progress)
            with progress.phase(f"measuring, {name}", 3, "parts") as phase:
                log_z = tj.ebm.log_z(
                    fit.model, seen, ramp_key, moves=self.moves, walkers=self.walkers,
                    ramp=self.ramp,
                )  # fmt: skip
                phase.advance(note=f"ln Z {log_z}")
                self.put_likelihoods(record, fit, log_z, seen, unseen)
                draws = self.draws(fit, law, draw_key)
                self.put_samples(record, draws, np.asarray(seen))
                phase.advance(note=f"recognized {record['recognized']}")
                labels = found.labels[apart]
                self.put_filled(record, fit.model, unseen, labels, fill_key)
                phase.advance(note=f"filled in {record['filled']}")
            record["training"] = training = Record()
            for entry in ("log_likelihood", "log_z_error", "loss", "effective_share"):
                training.put(entry, np.asarray(fit.history[entry]), "1", ("step",))
            training.attributes = {"stopped": fit.stopped}
            pixels = np.stack([image for _, image in moments]) if moments else draws[None, :SHOWN]
            record.put("moments", pixels.astype(np.float32), "1", ("moment", "sample", "pixel"))
            steps = [step for step, _ in moments] or [self.training.steps]
            record.put("moment_steps", np.asarray(steps), "steps", ("moment",))
            results[name] = record
        return results

    def trained(self, begun, seen, key, name: str, moments: list, progress: Progress):
        """The fit of one method; `moments` are filled with walkers on the way."""
        asked, steps = self.training, self.training.steps
        marks = {max(1, round(steps * i / (MOMENTS - 1))) for i in range(MOMENTS)}
        rate = optax.cosine_decay_schedule(asked.learning_rate, steps)
        optimizer = optax.chain(optax.clip_by_global_norm(CLIPPED), optax.adam(rate))
        with progress.phase(f"training, {name}", steps, "steps") as phase:

            def look(seen_now: tj.ebm.EnergyProgress):
                if seen_now.positions is not None and seen_now.step in marks:
                    walkers, weights = seen_now.positions
                    moments.append((seen_now.step, drawn(walkers, weights, SHOWN)))
                phase.reach(seen_now.step, f"ln p {seen_now.seen['log_likelihood']:.2f}")

            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "the walkers vary by")  # it is a doubt
                return tj.ebm.fit(
                    begun, seen, optimizer, key, method=self.method(name), batch=asked.batch,
                    steps=steps, callback=look,
                )  # fmt: skip

    def judge(self, unseen, seen, law) -> Record:
        """The classifier and the likeness of real images, and the likelihood of the Gaussian."""
        record, verdict = Record(), judged(unseen, "digits", ALL, seen)
        record.put("accuracy", classifier("digits").accuracy)
        record.put("real_recognized", float(np.mean(verdict.recognized)))
        record.put("real_likeness", float(np.mean(verdict.likeness)))
        record.put("real_balance", verdict.balance, "bits")
        values = -jax.vmap(lambda x: law.energy(x, None))(jnp.asarray(unseen))
        record.put("gaussian", weighted_mean(values, jnp.ones_like(values)))
        record.attributes = {"side": math.isqrt(PIXELS)}
        return record

    def put_likelihoods(self, record, fit, log_z: tj.Estimate, seen, unseen) -> None:
        """ln p of data that were seen and not, by fresh walkers and by witnesses."""
        for entry, data in (("likelihood", unseen), ("likelihood_train", seen)):
            values = -jax.vmap(lambda x: fit.model.energy(x, None))(data)
            mean = weighted_mean(values, jnp.ones_like(values))
            error = np.hypot(float(mean.error), float(log_z.error))
            record.put(entry, tj.Estimate(mean.value - log_z.value, error, len(data)))
        witnessed = fit.log_likelihood(unseen)
        if np.isfinite(float(witnessed.value)):
            record.put("likelihood_witnessed", witnessed)

    def draws(self, fit: tj.ebm.EnergyFit, law, key) -> np.ndarray:
        """Samples of the trained model: its walkers, or fresh ones where it has none."""
        if fit.positions is not None:
            return drawn(*fit.positions, self.samples)
        start = law.sample(key, None, 1.0, self.samples, jnp.zeros(PIXELS))
        model: Any = fit.model
        system = self.moves.system(model)
        chain = tj.start(system, key, initial=start)
        chain = tj.advance(system, chain, dt=self.moves.dt, steps=self.moves.steps * self.ramp)
        return np.asarray(chain.position)[np.asarray(chain.ledger.alive) > 0]

    def put_samples(self, record, draws: np.ndarray, seen: np.ndarray) -> None:
        """The verdict of the classifier, and of the nearest training images."""
        found = judged(draws, "digits", ALL, seen)
        for name in ("recognized", "likeness", "confidence"):
            values = jnp.asarray(np.asarray(getattr(found, name), float))
            record.put(name, weighted_mean(values, jnp.ones_like(values)))
        record.put("balance", found.balance, "bits")
        record.put("nearest", len(np.unique(found.which)), "training images")
        record.put("samples_total", len(draws), "samples")

    def put_filled(self, record, model, unseen, labels, key) -> None:
        """The lower half of images that were not seen, drawn given the upper one."""
        free = np.arange(PIXELS) >= PIXELS // 2

        def fill(image, key):
            given = tj.ebm.Conditioned(model, image, free)
            system = self.moves.system(given)
            first = jax.random.normal(key, (1, int(free.sum())), image.dtype)
            chain = tj.start(system, key, initial=first)
            chain = tj.advance(system, chain, dt=self.moves.dt, steps=self.moves.steps * FILLING)
            return given.whole(chain.position[0])

        keys = jax.random.split(key, len(unseen))
        filled = np.asarray(jax.jit(jax.vmap(fill))(unseen, keys))
        empty = np.where(free, 0.0, np.asarray(unseen))
        for entry, images in (("filled", filled), ("half_empty", empty)):
            right = classifier("digits")(images).argmax(axis=1) == labels
            values = jnp.asarray(right.astype(float))
            record.put(entry, weighted_mean(values, jnp.ones_like(values)))
        rows = np.stack([empty[:SHOWN], filled[:SHOWN], np.asarray(unseen)[:SHOWN]])
        record.put("inpainted", rows.astype(np.float32), "1", ("row", "image", "pixel"))


def drawn(walkers, weights, count: int) -> np.ndarray:
    """Walkers by their weights, evenly spaced in the sum of them."""
    share = np.cumsum(np.asarray(weights, float))
    arms = (np.arange(count) + 0.5) / count * share[-1]
    return np.asarray(walkers)[np.minimum(np.searchsorted(share, arms), len(share) - 1)]
