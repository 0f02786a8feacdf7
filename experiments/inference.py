"""Bayesian inference by ramps from prior to posterior: what is known now, and what it took."""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le, Lt

import thermojax as tj
from experiments.inference_figures import (
    account,
    calibration,
    clouds,
    forest,
    marginals,
    summary,
    there_and_back,
)
from experiments.regressions import AbstractRegression, IndependentWeights
from thermojax.experiment.config.words import article
from thermojax.experiment.results.store import Record
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy
from thermojax.experiment.study.data import Table

QUANTILES = (0.025, 0.16, 0.5, 0.84, 0.975)


def in_words(results: Record) -> str:
    """The evidence, and the price of what was learned, in a sentence or two."""
    record = results["posterior"]
    many = len(record["weights"]["name"])
    weights = f"{many:,} weight{'s' * (many > 1)}"
    if "work" not in record:
        return (
            f"{record['effective_samples']:,.0f} effective samples of {weights} with a flat prior"
        )
    return (
        f"log evidence {record['log_evidence']}; the data tell {record['information']} nats about "
        f"{weights}, for {record['work']} kT of work, of which {record['dissipated_work']} kT are "
        "dissipated"
    )


def calibration_in_words(results: Record) -> str:
    """The verdict of the calibration, where there was one."""
    return results.get("calibration", Record()).attributes.get("verdict", "")


def doubts_of_inference(results: Record) -> list[str]:
    """What the inference itself has warned of."""
    return [f"{text.removesuffix('.')}." for text in results["posterior"].attributes["warnings"]]


class Inference(AbstractStudy):
    r"""The posterior of a model by `tj.bayes.infer`: its weights, the evidence, and the account.

    **Arguments:**

    - `prior`: `experiments.regressions:IndependentWeights`, any potential, or null for a flat one.
    - `likelihood`: `experiments.regressions:Logistic`, `:Poisson` or `:Linear`, whose features and
      targets come from `data`, or any potential, which has no `data`.
    - `names` of the weights, where no columns of a table name them.
    - `error`, `effective`, `samples`, `budget`, `schedule`, `duration`, `resample`: as
      `tj.bayes.infer`.
    - `calibrate`: how many simulated data sets are inferred as well, each as long as this one, to
      see whether their posteriors may be believed; 0 for none.
    """

    question = "What do the data say, and what does it cost to know it?"
    columns = ("posterior",)
    headline: ClassVar[dict[str, str]] = {
        "log evidence": "log_evidence",
        "effective samples": "effective_samples",
        "work (kT)": "work",
        "heat (kT)": "heat",
        "entropy drop (nats)": "entropy_drop",
        "dissipated work (kT)": "dissipated_work",
        "information (nats)": "information",
        "time of a ramp": "time",
        "gradients": "gradients",
    }
    figures: ClassVar = {
        "weights": forest,
        "marginals": marginals,
        "clouds": clouds,
        "account": account,
        "there_and_back": there_and_back,
        "calibration": calibration,
    }
    tables: ClassVar = {"The weights after the data": summary}
    sentences: ClassVar = (in_words, calibration_in_words)
    doubts: ClassVar = (doubts_of_inference,)

    def __init__(
        self,
        prior: Any,
        likelihood: Any,
        data: Table | None = None,
        names: list[str] | None = None,
        error: Annotated[float, Gt(0)] = 0.02,
        effective: Annotated[float, Gt(0), Lt(1)] = 0.5,
        samples: Annotated[int, Ge(64)] = 1024,
        budget: Annotated[float, Gt(0)] = 2e7,
        schedule: Literal["constant dissipation", "linear", "geometric", "learned"]
        | tj.AbstractProtocol = "constant dissipation",
        duration: Annotated[float, Gt(0)] | None = None,
        resample: Annotated[float, Gt(0), Le(1)] | None = None,
        calibrate: Annotated[int, Ge(0)] = 0,
    ):
        columns = None
        if isinstance(likelihood, AbstractRegression):
            if data is None:
                raise ValueError(
                    f"likelihood is a {type(likelihood).__name__} regression: expected data, with "
                    "its file and target, or a potential that holds its own"
                )
            features, targets, columns = data.load(likelihood.kind)
            likelihood = likelihood.potential(features, targets)
        else:
            require_energy(likelihood)
            if data is not None:
                raise ValueError(
                    "data is given: expected none beside a likelihood that holds its own; a "
                    "regression of a table is one of experiments.regressions"
                )
        self.model = tj.bayes.Model(prior_for(prior, likelihood), likelihood)
        self.names = names_of(self.model, names, columns)
        how = dict(error=error, effective=effective, samples=samples, budget=budget)
        ramps = dict(schedule=schedule, duration=duration, resample=resample)
        self.infer = partial(tj.bayes.infer, **how, **ramps)
        self.calibrate = calibrate
        # What has no right answer is refused before anything is written.
        tj.bayes.doubts(self.model)
        if calibrate and (prior is None or not isinstance(likelihood, tj.AbstractLikelihood)):
            raise ValueError(
                f"calibrate = {calibrate}: expected 0, since data are simulated from a prior that "
                "is not flat and a tj.AbstractLikelihood, which can draw them"
            )

    def run(self, key, progress: Progress) -> Record:
        infer_key, calibration_key = jax.random.split(key)
        with progress.phase("inference", 1, "posterior") as phase:
            with warnings.catch_warnings():  # they are in the posterior as well
                warnings.filterwarnings("ignore", "tj.bayes.infer: ")
                found = self.infer(self.model, infer_key)
            phase.advance(1, f"{found.gradients:,} gradients")
        results = Record()
        results["posterior"] = self.record(found)
        if found.snapshots is not None:
            results["through"] = self.through(found.snapshots)
        if self.calibrate:
            with progress.phase("calibration", 1, "verdict") as phase:
                results["calibration"] = self.calibrated(found, calibration_key)
                phase.advance(1, f"{self.calibrate:,} data sets")
        return results

    def record(self, found: tj.bayes.Posterior) -> Record:
        record = Record()
        record.attributes["warnings"] = list(found.warnings)
        if found.account is not None:  # of a flat prior there is neither
            record.put("log_evidence", found.log_evidence, "nats")
        record.put("effective_samples", float(found.effective_samples), "paths")
        record.put("paths_total", len(found.log_weight), "paths")
        record.put("diverged", int(jnp.sum(jnp.isneginf(found.log_weight))), "paths")
        if found.account is not None:
            for name, value in vars(found.account).items():
                nats = name in ("entropy_drop", "information")
                record.put(name, value, "nats" if nats else "kT")
        record.put("time", found.time)
        record.put("gradients", found.gradients)
        record["weights"] = self.weights(found)
        record["paths"] = self.paths(found)
        if found.reverse_log_weight is not None:
            record["back"] = self.back(found, found.reverse_log_weight)
        return record

    def weights(self, found: tj.bayes.Posterior) -> Record:
        """Mean, standard deviation and quantiles of every weight, and those of the prior."""
        x, w = rows(found.model, found.position), np.asarray(found.weights)
        mean = found.mean(x)
        spread = found.mean((x - mean.value) ** 2)
        sd = jnp.sqrt(spread.value)
        record, axes = Record(), ("weight",)
        record.put("name", self.names, "1", axes)
        record.put("mean", mean, "1", axes)
        record.put("sd", tj.Estimate(sd, spread.error / (2 * sd), mean.count), "1", axes)
        record.put("level", np.asarray(QUANTILES), "1", ("quantile",))
        record.put("quantile", quantiles(np.asarray(x), w), "1", ("weight", "quantile"))
        if found.prior_position is not None:
            before = np.asarray(rows(found.model, found.prior_position))
            even = np.full(len(before), 1 / len(before))
            record.put("prior_quantile", quantiles(before, even), "1", ("weight", "quantile"))
        return record

    def paths(self, found: tj.bayes.Posterior) -> Record:
        """Every sample with its weight, and what its ramp took."""
        record, path = Record(), ("path",)
        for name, values in (found.energies or {}).items():
            record.put(name, np.asarray(values), "kT", path)
        record.put("log_weight", np.asarray(found.log_weight), "1", path)
        record.put("alive", np.isfinite(np.asarray(found.log_weight)).astype(float), "1", path)
        record.put("position", np.asarray(rows(found.model, found.position)), "1",
                   ("path", "coordinate"))  # fmt: skip
        record.put("coordinate", self.names, "1", ("coordinate",))
        return record

    def back(self, found: tj.bayes.Posterior, reverse) -> Record:
        """The ramps back along the way of the samples, and where the weights of both cross."""
        record = Record()
        both = map(np.asarray, (found.log_weight, reverse))
        there, back = (w[np.isfinite(w)] for w in both)
        record.put("log_weight", back, "1", ("path",))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are among those of the posterior
            record.put("crossing", tj.free_energy.bar(there, back).log_ratio, "nats")
        return record

    def through(self, seen: tj.bayes.RampSnapshots) -> Record:
        """The ramps from the prior: positions at some couplings, and the energies until then."""
        record, axes = Record(), ("instant", "path")
        at = jax.vmap(lambda x: rows(self.model, x))(seen.position)
        record.put("control", np.asarray(seen.control), "1", ("instant",))
        record.put("position", np.asarray(at), "1", (*axes, "coordinate"))
        record.put("log_weight", np.asarray(seen.log_weight), "1", axes)
        for name in ("work", "heat"):
            record.put(name, np.asarray(getattr(seen, name)), "kT", axes)
        return record

    def calibrated(self, found: tj.bayes.Posterior, key) -> Record:
        """Simulated data inferred as the real ones were, and where the truths lie."""
        judged = tj.bayes.calibrate(
            found.model, key, sampler=self.infer, simulations=self.calibrate, data=False
        )
        record = Record()
        record.attributes.update(verdict=judged.verdict, passed=judged.passed)
        for name, places in judged.pit.items():
            flat = np.asarray(places).reshape(len(places), -1)
            record.put(f"pit_{name}", flat, "1", ("simulation", "scalar"))
        return record


def prior_for(prior: Any, likelihood: tj.AbstractPotential) -> tj.AbstractPotential | None:
    """The prior as a potential, of as many weights as the likelihood has."""
    if not isinstance(prior, IndependentWeights):
        return None if prior is None else require_energy(prior, "prior")
    template = likelihood.template(None)
    if not isinstance(template, jax.Array) or template.ndim != 1:
        raise ValueError(
            "prior is of independent weights: expected a likelihood that knows how many there "
            "are; write a prior with its own mean, such as kind: Gaussian, mean: [0, 0]"
        )
    return prior.potential(len(template))


def require_energy(value: Any, name: str = "likelihood") -> tj.AbstractPotential:
    """`value`. **Raises:** ValueError for what is no energy of positions."""
    if isinstance(value, tj.AbstractPotential):
        return value
    ours = "IndependentWeights" if name == "prior" else "Logistic"
    raise ValueError(
        f"{name} is {article(type(value).__name__)}: expected kind: experiments.regressions:{ours}"
        ", or a potential"
    )


def names_of(model: tj.bayes.Model, names, columns) -> list[str]:
    """A name for every number that a position is shown by."""
    first = jax.tree.map(lambda x: x[None], model.template)
    shapes = {name: values.shape[1:] for name, values in model.shown(first).items()}
    count = sum(math.prod(shape) for shape in shapes.values())
    if names is not None:
        if len(names) != count or len(set(names)) != count:
            raise ValueError(f"names = {names}: expected {count} different ones, one per weight")
        return list(names)
    if columns is not None and len(columns) == count:
        return list(columns)
    return [
        f"{name}[{', '.join(map(str, place))}]" if place else name
        for name, shape in shapes.items()
        for place in np.ndindex(*shape)
    ]


def rows(model: tj.bayes.Model, position):
    """Positions `(n, ...)` as they are shown, one row of numbers each."""
    shown = model.shown(position).values()
    return jnp.concatenate([x.reshape(len(x), -1) for x in shown], axis=1)


def quantiles(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The quantiles of weighted columns, `(columns, len(QUANTILES))`: linear between the draws."""
    found = []
    for column in x.T:
        order = np.argsort(column)
        middle = np.cumsum(weights[order]) - 0.5 * weights[order]
        found.append(np.interp(QUANTILES, middle, column[order]))
    return np.asarray(found)
