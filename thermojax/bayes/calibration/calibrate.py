"""May one believe this posterior? Simulated data, the real data, and one verdict in words."""

from __future__ import annotations

import math
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..._arguments import flag, function, instance, whole
from ..._keys import check_key
from ...estimate import Estimate
from ...potential import AbstractLikelihood, AbstractPotential
from ..infer import infer
from ..model import Model
from .data import doubts_about, halvings
from .ecdf import ecdf_p_value
from .laws import (
    narrowest_seen,
    probability,
    scalars_needed,
    shift_p_value,
    spread_p_value,
    square_sum,
    width_p_value,
)
from .simulate import DISTANCE, LOG_LIKELIHOOD, Sampler, Simulated, simulated

# How the level is divided among the tests. Nearly all of it goes to the width, the fault that is
# hardest to see; data that are ignored, or a shift, show in few simulations.
WIDTH, LIKELIHOOD, PARAMETERS, SHAPE = 0.9, 0.04, 0.03, 0.03
FEW_SAMPLES = 50  # effective samples, below which ranks are coarse


class Calibration(eqx.Module):
    r"""Whether a posterior may be believed, and why.

    - `passed`: whether neither simulated nor real data speak against it. `verdict`: in words.
    - `pit`: by name, `(simulations, ...)`, the places of the truth among the samples, uniform in
      (0, 1) where the sampler is right: of every parameter, of `"log_likelihood"`, and of
      `"distance"`, how far out the truth lies in units of the posterior.
    - `p_values`: of each test, already multiplied by its share in the level. `p_value`: the least.
    - `width`: the standard deviation of the truth about the posterior, in units of what the
      posterior says: 1.11 where it is 10 % too narrow.
    - `scalars`: simulations times coordinates. `needed`: those that a posterior `narrow` too narrow
      needs to be convicted with the probability `power`.
    - `doubts`: what the real data say against it, in sentences.
    - `effective_samples`, `(simulations,)`, of each posterior.
    """

    pit: dict[str, Float[Array, "simulations ..."]]
    p_values: dict[str, float]
    width: Estimate | None
    effective_samples: Float[Array, " simulations"]
    doubts: tuple[str, ...] = eqx.field(static=True)
    remarks: tuple[str, ...] = eqx.field(static=True)
    simulations: int = eqx.field(static=True)
    scalars: int = eqx.field(static=True)
    needed: int = eqx.field(static=True)
    narrow: float = eqx.field(static=True)
    power: float = eqx.field(static=True)
    level: float = eqx.field(static=True)

    @property
    def p_value(self) -> float:
        """The least of the p-values, each multiplied by its share in the level; 1 without any."""
        return min([1.0, *self.p_values.values()])

    @property
    def passed(self) -> bool:
        """Whether the simulations are as they should be at `level`, and no doubt is left."""
        return self.p_value > self.level and not self.doubts

    @property
    def verdict(self) -> str:
        """The whole of it in a few sentences."""
        found = [f"{'Passed' if self.passed else 'Failed'}."]
        if self.simulations:
            found += [self.said_of_simulations(), self.said_of_power()]
        return " ".join([*found, *(f"{x[:1].upper()}{x[1:]}." for x in self.doubts + self.remarks)])

    def coverage(self, content: float = 0.9) -> dict[str, Estimate]:
        """The share of simulations in whose central interval the truth lies.

        **Arguments:** `content` of the interval, a probability.

        **Returns:** by name, a `tj.Estimate` `(...)` with the binomial error of a right posterior,
        sqrt(content (1 - content) / simulations).
        """
        content = probability("content", content)
        error = math.sqrt(content * (1 - content) / max(self.simulations, 1))
        inside = {
            name: jnp.mean(jnp.abs(u - 0.5) <= content / 2, axis=0)
            for name, u in self.pit.items()
            if name != DISTANCE
        }
        return {
            name: Estimate(x, jnp.full(x.shape, error), self.simulations)
            for name, x in inside.items()
        }

    def to_arviz(self):
        """The places as ArviZ's group `prior_sbc`, for `arviz_plots.plot_ecdf_pit`.

        **Returns:** a `DataTree` of one chain whose draws are the simulations.

        **Raises:** ImportError where ArviZ of version 1 is missing.
        """
        try:
            import arviz_base  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ImportError("to_arviz needs ArviZ 1: pip install 'arviz>=1'") from error
        places = {name: np.asarray(u)[None] for name, u in self.pit.items()}
        return arviz_base.from_dict({"prior_sbc": places})

    def said_of_simulations(self) -> str:
        """The sentence on the p-values."""
        head = f"{self.simulations:,} simulated data sets of {self.scalars:,} scalars"
        if self.p_value > self.level:
            return f"{head} look as they should (p = {self.p_value:.2g})."
        wrong = [name for name, p in self.p_values.items() if p <= self.level]
        said = []
        for name in wrong:
            if name == "width" and self.width is not None:
                ratio = float(self.width.value)
                kind = "narrow" if ratio > 1 else "wide"
                off = abs(1 - 1 / ratio)
                said.append(f"the posterior is too {kind}, by {off:.0%} of the right width")
            else:
                said.append(FAULTS[name])
        return f"{head} do not look as they should (p = {self.p_value:.2g}): {'; '.join(said)}."

    def said_of_power(self) -> str:
        """The sentence on what could have been seen."""
        if self.scalars >= self.needed:
            return (
                f"A posterior {self.narrow:.0%} too narrow, which takes {self.needed:,} scalars, "
                f"would have been seen with {self.power:.0%} probability."
            )
        least = narrowest_seen(self.scalars, self.power, WIDTH * self.level)
        return (
            f"Only a posterior {least:.0%} too narrow would have been seen with {self.power:.0%} "
            f"probability: {self.narrow:.0%} takes {self.needed:,} scalars."
        )


FAULTS = {
    "width": "the posterior has a wrong width",
    "log likelihood": "the samples fit the data worse or better than the truth does",
    "parameters": "a parameter is shifted, or its own width is wrong",
    "shape": "the distribution of the truth about the posterior has another shape",
}


def calibrate(
    model: Model,
    key: PRNGKeyArray,
    *,
    sampler: Sampler | None = None,
    simulations: int | None = None,
    narrow: float = 0.1,
    power: float = 0.95,
    level: float = 0.05,
    finer: Sampler | None = None,
    data: bool = True,
) -> Calibration:
    r"""Test whether a sampler gives the posteriors of a model, and say so in one verdict.

    **On simulated data.** A truth from the prior and data from the likelihood are one draw of the
    joint law, so that the truth is a draw of the posterior of its data: its place among the samples
    is uniform. Four tests share `level`: the sum over all simulations of the squared distance that
    belongs to the place of the truth, chi^2 of simulations times coordinates whatever the
    dependence of the coordinates (the width, 90 % of the level); mean and spread of the places of
    the log likelihood (4 %), of every parameter (3 %), and the whole distribution of distance and
    log likelihood (3 %).

    **On the data of the model.** The modes of the posterior are searched and weighed
    (`tj.bayes.modes`), from the prior and from the samples: none that matters may be missed. The
    kernel Stein discrepancy of the samples must be what it is by chance (p > 0.001). Evidence and
    means must not move beyond their errors with a `finer` sampler: of `tj.bayes.infer`, one with
    half of the step and one with twice the ramp time.

    **Arguments:** `sampler`, a function (model, key) -> `tj.bayes.Posterior`, `tj.bayes.infer` when
    left out; `functools.partial(tj.bayes.infer, error=0.1)` has other settings. One that can be
    traced is compiled once and runs on many data sets at once. Samples are taken as independent:
    thin those of a chain. `simulations`: as many as a posterior that is `narrow` too narrow needs
    to be convicted with the probability `power`, and at least 20, when left out; 0 for none.
    `finer`, a sampler of half the step, or twice the time: when left out both of these in turn for
    `tj.bayes.infer`, and none for others, whose steps are not known here. `data`, False to leave
    the data of the model aside.

    **Returns:** a `tj.bayes.Calibration`. A right sampler passes with the probability 1 - level.

    **Cost:** one run of the sampler for each simulation and one for the data of the model; both
    finer ones of `tj.bayes.infer` together take 2.4 to 4 times as many gradients, which the verdict
    states.

    **Raises:** ValueError where simulations are asked for and the likelihood cannot draw data, or
    there is no prior to draw a truth from.

    **Source:** S. Talts et al., arXiv:1804.06788 (2018); M. Modrak et al., Bayesian Analysis 20,
    461 (2025), for the log likelihood; T. Sailynoja et al., Stat. Comput. 32, 32 (2022).
    """
    model = instance("model", model, Model, "a tj.bayes.Model(prior, likelihood)")
    check_key(key)
    level = probability("level", level)
    needed = scalars_needed(narrow, power, WIDTH * level)
    dim = sum(x.size for x in jax.tree.leaves(model.template))
    if simulations is None:
        simulations = max(20, -(-needed // dim))
    simulations = whole("simulations", simulations, 0)
    for name, given in {"sampler": sampler, "finer": finer}.items():
        if given is not None:
            function(name, given, "a function (model, key) -> tj.bayes.Posterior")
    if not flag("data", data) and not simulations:
        raise ValueError("simulations = 0 and data = False: there is nothing to test on")
    sampler = infer if sampler is None else sampler
    simulation_key, doubt_key = jax.random.split(key)
    places, p_values, width, remarks = {}, {}, None, []
    effective = jnp.zeros(0)
    failed = ()
    if simulations:
        prior, likelihood = drawable(model)
        run = simulated(
            model, simulation_key, sampler, simulations, prior, likelihood, not is_infer(sampler)
        )
        places, effective = run.places, run.effective_samples
        simulations = effective.shape[0]
        good, failed = without_failures(places, simulations)
        if good[DISTANCE].size:
            p_values, width = judged(good, dim)
        remarks = remarks_on(run, sampler)
    doubts, own = [], []
    if data:
        others = {} if finer is None else {"the finer sampler": finer}
        if sampler is infer and finer is None:
            others = halvings()
        doubts, own = doubts_about(model, doubt_key, sampler, others)
        if not others:
            own.append(
                "whether the posterior depends on steps and times of the sampler was not asked: "
                "pass finer=, a sampler of half the step or twice the time, if it has any"
            )
    return Calibration(
        pit=places,
        p_values=p_values,
        width=width,
        effective_samples=effective,
        doubts=(*failed, *doubts),
        remarks=(*remarks, *own),
        simulations=simulations,
        scalars=simulations * dim,
        needed=needed,
        narrow=float(narrow),
        power=float(power),
        level=float(level),
    )


def is_infer(sampler: Sampler) -> bool:
    """Whether a sampler is `infer`, perhaps with settings: which looks at the data, untraced."""
    return sampler is infer or (isinstance(sampler, partial) and sampler.func is infer)


def drawable(model: Model) -> tuple[AbstractPotential, AbstractLikelihood]:
    """The prior and the likelihood of a model that data can be simulated from."""
    if model.prior is None:
        raise ValueError(
            "model has a flat prior, from which no truth can be drawn: give it a proper prior, or "
            "pass simulations=0 to test on its own data alone"
        )
    if not isinstance(model.likelihood, AbstractLikelihood):
        raise ValueError(
            f"the likelihood of model, a {type(model.likelihood).__name__}, cannot draw data: "
            "derive it from tj.AbstractLikelihood, or pass simulations=0 to test on its own data "
            "alone"
        )
    return model.prior, model.likelihood


def without_failures(places: dict[str, Array], simulations: int):
    """The places in doubles, `(simulations, scalars)` each, of the simulations that gave numbers,
    and what is to be said of the others."""
    rows = {k: np.asarray(u, float).reshape(simulations, -1) for k, u in places.items()}
    fine = np.all([np.all(np.isfinite(u), axis=1) for u in rows.values()], axis=0)
    missing = simulations - int(fine.sum())
    said = (f"{missing:,} of {simulations:,} simulated posteriors hold no numbers",)
    return {k: u[fine] for k, u in rows.items()}, said if missing else ()


def judged(places: dict[str, np.ndarray], dim: int) -> tuple[dict[str, float], Estimate]:
    """The p-values, divided by their shares in the level, and the width."""
    distance, likelihood = places[DISTANCE][:, 0], places[LOG_LIKELIHOOD][:, 0]
    parameters = [u for k, x in places.items() if k not in (DISTANCE, LOG_LIKELIHOOD) for u in x.T]
    scalars = distance.size * dim
    square = square_sum(distance, dim)
    least = lambda tests, share: min(1.0, len(tests) * min(tests) / share)
    ends = lambda u: [shift_p_value(u), spread_p_value(u)]
    p_values = {
        "width": least([width_p_value(square, scalars)], WIDTH),
        "log likelihood": least(ends(likelihood), LIKELIHOOD),
        "parameters": least([p for u in parameters for p in ends(u)], PARAMETERS),
        "shape": least([ecdf_p_value(u) for u in (distance, likelihood)], SHAPE),
    }
    ratio = math.sqrt(square / scalars)
    return p_values, Estimate(ratio, ratio / math.sqrt(2 * scalars), scalars)


def remarks_on(run: Simulated, sampler: Sampler) -> list[str]:
    """Sentences on the simulations, beside the tests."""
    found = []
    middle = float(np.median(run.effective_samples))
    if middle < FEW_SAMPLES:
        found.append(
            f"the posteriors hold {middle:.0f} effective samples in the middle, too few for fine "
            "ranks: let the sampler return more"
        )
    if not run.compiled and not is_infer(sampler):
        found.append(
            "the sampler cannot be traced and ran on one data set after the other, which is slow"
        )
    if run.refused:
        found.append(
            f"the sampler refused {len(run.refused):,} more data sets, the first one with: "
            f"{run.refused[0]}"
        )
    if run.warned:
        found.append(
            f"the sampler warned {len(run.warned):,} times, the first time: {run.warned[0]}"
        )
    return found
