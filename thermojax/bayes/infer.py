"""`tj.bayes.infer`: from a prior and a likelihood to a posterior, its evidence, and their price."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import real, require_untraced, whole
from .._keys import check_key
from ..estimate import Estimate
from ..potential import AbstractPotential, Interpolation
from ..protocol import AbstractProtocol, Constant
from ..sampling import Equilibrium, start
from ..system import Bath, Underdamped
from .account import Account, combined
from .budget import Budget, Ways
from .coordinates import DENSE, Coordinates
from .doubts import doubts
from .evidence import Goal, goal_doubts, one_way_doubts, way_doubts
from .fitted import Fitted
from .groups import GROUPS
from .laplace import around_heaviest_mode
from .learned import FEWEST, PATHS, learned
from .leg import Leg, Ramped
from .model import Model
from .modes import modes
from .pilot import WALKERS, pilot
from .posterior import Posterior
from .resampling import Resampling, resampling_for
from .schedule import SCHEDULES, check_schedule
from .snapshots import Recorder

ACCOUNT = 1.0  # dissipation, in kT, of the ramps from the prior
PER_LENGTH = 0.05  # or so much of the length of their way, which is about sqrt(dim), if more
SHORTER = 0.7  # steps, of the turn of the stiffest mode that the pilot takes
STARTS = 64  # of the search for modes
DESCENT = 200  # its steps
LEAST = 64  # paths, below which neither a covariance nor an error can be told


@overload
def infer(
    model: Model,
    key: PRNGKeyArray,
    /,
    *,
    error: float = ...,
    effective: float = ...,
    samples: int = ...,
    budget: float = ...,
    schedule: str | AbstractProtocol = ...,
    duration: float | None = ...,
    resample: float | None = ...,
) -> Posterior: ...
@overload
def infer(
    prior: AbstractPotential | None,
    likelihood: AbstractPotential,
    key: PRNGKeyArray,
    /,
    *,
    error: float = ...,
    effective: float = ...,
    samples: int = ...,
    budget: float = ...,
    schedule: str | AbstractProtocol = ...,
    duration: float | None = ...,
    resample: float | None = ...,
) -> Posterior: ...
def infer(
    prior,
    likelihood,
    key: Any = None,
    /,
    *,
    error: float = 0.02,
    effective: float = 0.5,
    samples: int = 1024,
    budget: float = 2e7,
    schedule: str | AbstractProtocol = SCHEDULES[0],
    duration: float | None = None,
    resample: float | None = None,
):
    r"""The posterior p(x|y) of a prior and a likelihood: samples, evidence, and their price.

    Ramps drive the weights from the prior to the posterior in finite time, and their works tell
    ln p(y) = ln <exp(-W)> whatever the time (Jarzynski). In order:

    - a pilot of 128 walkers finds the way: rungs of the coupling lambda of the likelihood, and at
      each of them coordinates in which the law is about standard normal (up to 256 dimensions with
      its correlations), and the step that the stiffest mode allows;
    - ramps from the prior, as slow as their dissipation of about 1 kT asks for (or a
      twentieth of the length of their way, if that is more), are the account: beyond 256 dimensions
      128 of them, if they are not resampled;
    - ramps from the Gaussian that these have found lose less by far where the posterior is near it.
      Whichever ramps give more effective samples per gradient are turned back, and repeated both
      ways until the evidence, by Bennett's estimator, has the `error` that was asked for.

    Each of these is slowed down until its weights are good or the budget ends. What is to be
    doubted is warned of, and stands in `warnings` of the result: doubts about the data, evidence of
    both ways or of both directions that disagrees, few effective samples, modes that were missed.

    **Arguments:**

    - `infer(prior, likelihood, key)` or `infer(model, key)`: potentials with kT = 1, or a
      `tj.bayes.Model`. A prior of None is flat: then there is a posterior, and no evidence.
    - `error`: the standard error of ln p(y) that is wanted. `effective`: the share of effective
      samples. `samples`: paths of one batch; more are made as the error asks for it.
    - `budget`: gradients of one path that may be spent in all.
    - `schedule` of the ramps from the prior: "constant dissipation", each part of the way as long
      as the others by the Fisher metric; "linear" in time; "geometric", in equal ratios; "learned"
      from what 256 ramps dissipate in each part of the way; or a protocol from 0 to 1, such as the
      `schedule` of an earlier result, stretched to their time.
    - `resample`: walkers of the ramps from the prior are drawn anew by their weights, within each
      of 16 groups, wherever fewer than this share of a group is effective (sequential Monte
      Carlo); None, never. `samples` is rounded up to a multiple of 16. Where these ramps tell the
      evidence best, it is that of the way there alone.
    - `duration` of the ramps from the prior, in units in which every mode of the law that is passed
      has mass and stiffness 1, whatever the budget; else as long as their dissipation asks for.

    **Returns:** a `tj.bayes.Posterior`. **Raises:** ValueError for a model that has no right answer
    (`tj.bayes.doubts`), or whose pilot does not arrive.

    **Cost:** 0.5 to 1 million gradients for 31 weights of a logistic regression, two thirds of them
    for the account; memory for `samples` positions, and for a hundred covariances up to 256
    dimensions.

    A learned schedule is worth its ramps where the energy keeps the memory of some parts of the way
    far longer than that of others: near Gaussians, in the coordinates that the pilot finds, a slow
    ramp can gain 5 % at the most.

    **Source:** C. Jarzynski, Phys. Rev. E 56, 5018 (1997); R. M. Neal, Stat. Comput. 11, 125
    (2001); C. H. Bennett, J. Comput. Phys. 22, 245 (1976); rungs by overlap: A. Jasra, D. A.
    Stephens, A. Doucet, T. Tsagaris, Scand. J. Stat. 38, 1 (2011).
    """
    if isinstance(prior, Model):
        if key is not None:
            raise ValueError("infer(model, key) takes two arguments: the model holds both energies")
        model, key = prior, likelihood
    else:
        model = Model(prior, likelihood)
    check_key(key)
    real("error", error, "a positive standard error of ln p(y)", lambda e: e > 0)
    real("effective", effective, "a share between 0 and 1", lambda e: (e > 0) & (e < 1))
    samples = whole("samples", samples, LEAST)
    real("budget", budget, "a positive number of gradients", lambda b: (b > 0) & (b < np.inf))
    settings = dict(error=error, effective=effective, budget=budget, duration=duration)
    require_untraced("infer", **settings, resample=resample)
    check_schedule(schedule)
    if duration is not None:
        what = "a positive, finite time of the ramps from the prior"
        real("duration", duration, what, lambda t: (t > 0) & (t < np.inf))
        duration = float(duration)
    between = resampling_for(model, resample, samples)
    samples = samples if between is None else GROUPS * between.size
    goal = Goal(float(error), float(effective), samples, float(budget))
    found = Inference(model, goal, schedule, duration, key, between).run()
    if found.warnings:
        warnings.warn("tj.bayes.infer: " + "; ".join(found.warnings), stacklevel=2)
    return found


class Inference:
    """The steps of one inference, what they have spent, and what they have found to doubt."""

    def __init__(
        self,
        model: Model,
        goal: Goal,
        schedule: str | AbstractProtocol,
        duration: float | None,
        key: PRNGKeyArray,
        resampling: Resampling | None = None,
    ):
        self.model, self.goal = model, goal
        self.budget = Budget(goal, key, doubts(model))
        self.schedule, self.duration, self.resampling = schedule, duration, resampling
        self.dim = sum(leaf.size for leaf in jax.tree.leaves(model.template))
        self.dense = self.dim <= DENSE
        self.recorder = Recorder()

    def run(self) -> Posterior:
        prior, ways, snapshots = self.model.prior, [], None
        if prior is not None:
            ways.append(self.account())
            snapshots = self.recorder.snapshots(self.model.template)
            at = self.fitted_to_ramps(ways[0].done)
        else:
            at = around_heaviest_mode(self.model, self.budget.next_key())
        leg = self.reference_leg(at, self.target)
        if ways and leg.length > ways[0].leg.length:
            leg = ways[0].leg  # no Gaussian is near, as where hidden units change places
        ways.append(self.budget.ramps(leg, self.goal.dissipated))
        best = max(ways, key=Ways.worth)
        best, back, evidence = self.budget.there_and_back(best)
        if prior is None:
            evidence = Estimate(jnp.nan, jnp.nan, evidence.count)
        elif best.leg.draw is not ways[0].leg.draw:
            evidence = combined((1, evidence), (-1, self.log_normalizer(prior, ways[0].done.first)))
            self.budget.doubts += way_doubts(ways[0].done, evidence)
        elif best.leg.resampling is not None:
            known = None
            if ways[1].leg.draw is not ways[0].leg.draw:
                known = prior.free_energy(None, 1.0, self.model.template)
            self.budget.doubts += one_way_doubts(best.done, ways[1].done, known)
        self.budget.doubts += goal_doubts(
            self.goal,
            [way.done for way in ways],
            best.done,
            evidence,
            self.budget.ended,
        )
        found = self.posterior(ways[0], best, back, evidence)
        return self.doubted(dataclasses.replace(found, snapshots=snapshots))

    def account(self) -> Ways:
        """Ramps from the prior."""
        leg = self.prior_leg()
        few = not self.dense and self.resampling is None  # the evidence is not theirs to tell
        n = min(WALKERS, self.goal.samples) if few else self.goal.samples
        if self.schedule == "learned":
            leg = self.taught(leg)
        if self.duration is None:
            until = max(ACCOUNT, PER_LENGTH * leg.length)
            return self.budget.ramps(leg, until / self.goal.time, n)
        stages = leg.stages_of(self.duration)
        leg = leg.in_time(self.duration, stages, leg.schedule)
        return Ways(leg, stages, self.budget.forward(leg, stages, n))

    def taught(self, leg: Leg) -> Leg:
        """With the schedule that short ramps ask for, where the budget allows them."""
        stages = leg.guess(ACCOUNT) if self.duration is None else leg.stages_of(self.duration)
        stages = max(stages, FEWEST)
        if not self.budget.affords(leg.cost(stages, PATHS)):
            self.budget.doubts.append(
                f"the budget of {self.goal.budget:.3g} gradients leaves none to learn a schedule "
                f"from: that of {leg.schedule} was taken; pass a larger budget="
            )
            return leg
        self.budget.spent += leg.cost(stages, PATHS)
        return dataclasses.replace(leg, schedule=learned(leg, self.budget.next_key(), stages))

    def log_normalizer(self, prior: AbstractPotential, drawn: Float[Array, "n dim"]) -> Estimate:
        """ln of the integral of exp(-U) of the prior: known, or by ramps from a Gaussian to it."""
        known = prior.free_energy(None, 1.0, self.model.template)
        if known is not None:
            return Estimate(-known, jnp.zeros_like(known), len(drawn))
        at = self.fitted(drawn, jnp.ones(len(drawn), drawn.dtype))
        way = self.budget.ramps(self.reference_leg(at, prior), self.goal.dissipated)
        return self.budget.there_and_back(way)[-1]

    def fitted_to_ramps(self, done: Ramped) -> Coordinates:
        """The coordinates of where ramps have arrived.

        Their law lags behind by less than they dissipate, about 1 kT. Their weights mend that, and
        leave few samples to find many widths from.
        """
        weights = done.books.weights if self.dense else done.books.alive
        return self.fitted(done.last, weights)

    def fitted(self, x: Float[Array, "n dim"], weights: Float[Array, " n"]) -> Coordinates:
        """The coordinates of weighted samples."""
        return Coordinates.of(x, weights, self.dense)

    # The ways.

    def prior_leg(self) -> Leg:
        """From the prior: its own draws, or those of chains where it cannot draw."""
        prior, like = self.model.prior, self.model.template
        assert prior is not None
        system = Underdamped(prior, Constant(), Bath())

        def draw(key, n):
            return flat(start(system, key, batch=n, initial=Equilibrium(like)).position)

        leg = self.leg(Interpolation(prior, self.target), draw)
        before = SCHEDULES[0] if self.schedule == "learned" else self.schedule
        return dataclasses.replace(
            leg, schedule=before, resampling=self.resampling, watch=self.recorder
        )

    def reference_leg(self, at: Coordinates, target: AbstractPotential) -> Leg:
        """From the normalized Gaussian whose coordinates these are."""
        draw = lambda key, n: at.outward(jax.random.normal(key, (n, self.dim), at.center.dtype))
        return self.leg(Interpolation(Fitted(at), target), draw)

    def leg(self, potential: Interpolation, draw) -> Leg:
        like = self.model.template
        x = draw(self.budget.next_key(), WALKERS)
        way, _, gradients = pilot(potential, like, self.budget.next_key(), x, self.dense)
        self.budget.spent += gradients
        return Leg(potential, like, way, draw, shorter=SHORTER * self.goal.step)

    @property
    def target(self) -> AbstractPotential:
        prior, likelihood = self.model.prior, self.model.likelihood
        return likelihood if prior is None else prior + likelihood

    # The result.

    def posterior(
        self, first: Ways, best: Ways, back: Ramped | None, evidence: Estimate
    ) -> Posterior:
        model, account, before = self.model, None, None
        roll = jax.vmap(ravel_pytree(model.template)[1])
        position, books = roll(best.done.last), best.done.books
        if model.prior is not None:
            before = roll(first.done.first)
            prior, likelihood = map(energies_of, (model.prior, model.likelihood))
            after = prior(position), likelihood(position)
            account = Account.of(first.done, prior(before), best.done, after, evidence)
        return Posterior(
            model=model,
            position=position,
            log_weight=books.kept_log_weight,
            prior_position=before,
            log_evidence=evidence,
            account=account,
            time=float(first.leg.stages(first.stages).duration),
            gradients=self.budget.spent,
            warnings=(),
            schedule=None if model.prior is None else first.leg.protocol(first.stages),
            energies={
                "work": books.work,
                "heat": books.heat,
                "shadow_work": books.shadow_work,
            },
            group_size=best.done.group_size,
            reverse_log_weight=None if back is None else back.books.kept_log_weight,
        )

    def doubted(self, found: Posterior) -> Posterior:
        """With what there is to doubt, modes that were missed among it."""
        seen = modes(self.model, self.budget.next_key(), starts=found, n=STARTS, steps=DESCENT)
        starts = STARTS if self.model.prior is None else 2 * STARTS  # the prior's own are more
        self.budget.spent += 2 * starts * DESCENT
        doubted = (*self.budget.doubts, *seen.missed(found))
        return dataclasses.replace(found, gradients=self.budget.spent, warnings=doubted)


def flat(position) -> Float[Array, "n dim"]:
    """A batch of positions as rows."""
    return jax.vmap(lambda x: ravel_pytree(x)[0])(position)


def energies_of(potential: AbstractPotential):
    """The function from positions `(n, ...)` to their energies `(n,)`."""
    return jax.vmap(lambda x: potential.energy(x, None))
