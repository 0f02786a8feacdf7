"""The evidence of ramps, and what its different estimates say about each other."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterator

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..estimate import Estimate
from ..estimators import FreeEnergy, free_energy
from .groups import effective_samples
from .leg import Ramped

COPIED = 32  # effective samples, of which fewer are too few to start ramps back from
DOUBTFUL = 4.0  # standard errors between two answers that should be one
MANY = 100  # groups that carry an evidence whose error can be trusted, or half of all


@dataclasses.dataclass(frozen=True)
class Goal:
    """The accuracy that is wanted, and the gradients that may be spent on it.

    Steps and times of the ramps are `step` and `time` times what else they would be, by which one
    sees whether the answer depends on them.
    """

    error: float = 0.02
    effective: float = 0.5
    samples: int = 1024
    budget: float = 2e7
    step: float = 1.0
    time: float = 1.0

    @property
    def dissipated(self) -> float:
        """The dissipation, in kT, that leaves as many effective samples: works near Gaussian have
        a variance of twice that, and exp(-variance) of the samples. It falls as 1 / time."""
        return -0.5 * math.log(self.effective) / self.time


def jarzynski(ramped: Ramped) -> FreeEnergy:
    """The evidence of ramps in one direction; what there is to doubt is not said.

    Groups that have been resampled are paths of it, whose weights are those means.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return free_energy.jarzynski(numbers(ramped.log_mean_weights))


def bennett(forward: Ramped, reverse: Ramped) -> FreeEnergy:
    """The evidence of ramps in both directions."""
    a, b = (numbers(x.books.kept_log_weight) for x in (forward, reverse))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return free_energy.bar(a, b)


def numbers(log_weight: Float[Array, " n"]) -> Float[Array, " n"]:
    """Log weights with a number next to zero where the weight is zero, of what has diverged."""
    return jnp.maximum(log_weight, jnp.max(log_weight) - 1e3)


def way_back_doubts(done: Ramped, back: Ramped, accepted: float) -> Iterator[str]:
    """Whether ramps there and back agree, and whether the latter began well."""
    backward = jarzynski(back).log_ratio
    turned = Estimate(-backward.value, backward.error, backward.count)
    yield from apart("ramps there and back", jarzynski(done).log_ratio, turned)
    effective = done.books.effective_samples
    if effective < COPIED:
        yield (
            f"the ramps back start from copies of few samples ({effective:.0f} effective): the "
            "error is too small"
        )
    if accepted < 0.3:
        yield (
            f"{accepted:.0%} of the proposals within the posterior were accepted: the ramps back "
            "start from copies of few samples, and the error is too small"
        )


def one_way_doubts(done: Ramped, other: Ramped, free_energy) -> Iterator[str]:
    """Whether many groups carry the evidence of ramps that have no way back, and whether `other`
    ramps, from the fitted Gaussian, tell the same where they tell any; `free_energy` is that of the
    prior, None where it is not known."""
    found, check = jarzynski(done), jarzynski(other)
    carry, count = float(found.effective_samples), int(found.log_ratio.count)
    if not carry >= min(MANY, count / 2):
        yield (
            f"{carry:.0f} of {count} groups of {done.group_size} samples carry the evidence, and "
            "its error means little: pass more samples= or a longer duration="
        )
    if check.doubt is None and free_energy is not None:
        has = check.log_ratio
        normalized = Estimate(has.value + free_energy, has.error, has.count)
        what = "ramps from the prior and from the fitted Gaussian"
        yield from apart(what, found.log_ratio, normalized)


def way_doubts(first: Ramped, evidence: Estimate) -> Iterator[str]:
    """Whether the ramps from the prior tell the same evidence, where they tell any."""
    found = jarzynski(first)
    if found.doubt is None:
        what = "ramps from the prior and from the fitted Gaussian"
        yield from apart(what, found.log_ratio, evidence)


def apart(what: str, one: Estimate, other: Estimate) -> Iterator[str]:
    """A sentence about two estimates that should be one."""
    between, error = (
        float(one.value - other.value),
        math.hypot(float(one.error), float(other.error)),
    )
    if not abs(between) <= DOUBTFUL * error:
        yield (
            f"{what} disagree on ln p(y), {one} and {other}: a part of the posterior is reached by "
            "one of them alone, or few paths carry the average"
        )


def goal_doubts(
    goal: Goal, all_ways: list[Ramped], best: Ramped, evidence: Estimate, spent: bool
) -> Iterator[str]:
    """Sentences about what was wanted and has not been reached, because the budget is spent or in
    spite of what is left of it."""
    lost = sum(int(jnp.sum(done.books.lost)) for done in all_ways)
    total = sum(len(done.last) for done in all_ways)
    if lost > 0.001 * total:
        yield (
            f"{lost} of {total} paths diverged and count as weight zero: the energy is steeper "
            "than the pilot has seen"
        )
    cure = "works far from Gaussian: pass a larger effective=, for slower ramps"
    if spent:
        cure = f"the budget of {goal.budget:.3g} gradients is spent: pass a larger budget="
    effective = effective_samples(best.last, best.books.weights, best.group_size)
    share = float(effective) / len(best.last)
    if share < 0.8 * goal.effective:
        yield f"{share:.0%} of the samples are effective, not {goal.effective:.0%}; {cure}"
    error = float(evidence.error)
    if error > 1.2 * goal.error:  # and not where it is nan, of a flat prior
        yield f"the error of the log evidence is {error:.2g}, not {goal.error:g}; {cure}"
