"""The ramps that a budget of gradients affords: as slow, and as many, as they have to be."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import NamedTuple

from jaxtyping import PRNGKeyArray

from .._keys import Purpose, part_key
from ..estimate import Estimate
from .evidence import Goal, bennett, jarzynski, way_back_doubts
from .leg import SETTLING_STEPS, Leg, Ramped


class Ways(NamedTuple):
    """Ramps along one way that have been made, each of so many stages."""

    leg: Leg
    stages: int
    done: Ramped

    @property
    def cost(self) -> int:
        return self.leg.cost(self.stages, len(self.done.last))

    def pooled(self, other: Ways) -> Ways:
        """With more of the same."""
        return self._replace(done=self.done.pooled(other.done))

    def worth(self) -> float:
        """Effective samples per gradient."""
        return self.done.effective_samples / self.cost


class Budget:
    """The goal of an inference, the gradients that it has spent, and what it has found to doubt.

    `ended`: whether something was cut short for want of gradients.
    """

    def __init__(self, goal: Goal, key: PRNGKeyArray, doubts: Iterable[str]):
        self.goal, self.key, self.doubts = goal, key, list(doubts)
        self.keys, self.spent, self.ended = 0, 0, False

    def next_key(self) -> PRNGKeyArray:
        """A key that nobody has had."""
        self.keys += 1
        return part_key(self.key, Purpose.STAGE, self.keys)

    def affords(self, cost: float) -> bool:
        """Whether as much again is left for what follows."""
        return self.spent + 2 * cost <= self.goal.budget

    def forward(self, leg: Leg, stages: int, n: int) -> Ramped:
        """`n` ramps, which are paid for."""
        self.spent += leg.cost(stages, n)
        return leg.forward(self.next_key(), stages, n)

    def ramps(self, leg: Leg, until: float, n: int | None = None) -> Ways:
        """Ramps that dissipate no more than `until`, or as little as the budget allows."""
        n, stages = n or self.goal.samples, leg.guess(until)
        while True:
            if not self.affords(leg.cost(stages, n)):
                stages = max(1, int((self.goal.budget - self.spent) / leg.cost(2, n)))
                self.ended = True
            done = self.forward(leg, stages, n)
            lost = float(done.books.dissipated)
            shadow = float(done.books.mean(done.books.shadow_work))
            if shadow > 0.3 * lost > 0.3 * until:
                leg = leg.with_shorter_steps(0.7)
            more = math.ceil(stages * min(max(1.1 * lost / until, 1.5), 8))
            if lost <= 1.2 * until or not self.affords(leg.cost(more, n)):
                self.ended |= lost > 1.2 * until
                return Ways(leg, stages, done)
            stages = more

    def missing(self, way: Ways, have: Estimate, cost: int) -> int:
        """The number of batches that the error asks for beyond these, as far as the budget goes.

        **Arguments:** `have`, the evidence of what there is; `cost`, the gradients of a path.
        """
        n = self.goal.samples
        afford = max(0, int((self.goal.budget - self.spent) / (cost * n)))
        wanted = ((float(have.error) / self.goal.error) ** 2 - 1) * len(way.done.last) / n
        # An error that is not known, that of fewer than two effective samples, asks for none.
        batches = max(0, math.ceil(wanted)) if math.isfinite(wanted) else 0
        self.ended |= batches > afford
        return min(batches, afford)

    def more(self, way: Ways, batches: int) -> Ways:
        """Ramps like these, so many batches of them."""
        n = self.goal.samples
        made = [self.forward(way.leg, way.stages, n) for _ in range(batches)]
        return Ways(way.leg, way.stages, functools.reduce(Ramped.pooled, made))

    def back(self, way: Ways) -> tuple[Ramped, float]:
        """As many ramps back, which are paid for, and what share of their proposals moved."""
        self.spent += way.cost + SETTLING_STEPS * len(way.done.last)
        return way.leg.reverse(self.next_key(), way.stages, way.done)

    def there_and_back(self, way: Ways) -> tuple[Ways, Ramped | None, Estimate]:
        """As many ramps as the error asks for, as many back, and ln(Z_1 / Z_0).

        What there is, and as much back, says how much more it takes. Walkers that were resampled
        have no path that could be run backward: their evidence is the mean weight of the groups.
        """
        gradients = way.leg.cost(way.stages, 1)
        if way.leg.resampling is not None:
            if batches := self.missing(way, jarzynski(way.done).log_ratio, gradients):
                way = way.pooled(self.more(way, batches))
            return way, None, jarzynski(way.done).log_ratio
        back, accepted = self.back(way)
        first = bennett(way.done, back).log_ratio
        if batches := self.missing(way, first, 2 * gradients + SETTLING_STEPS):
            rest = self.more(way, batches)
            back = back.pooled(self.back(rest)[0])
            way = way.pooled(rest)
        self.doubts += way_back_doubts(way.done, back, accepted)
        return way, back, bennett(way.done, back).log_ratio
