"""The ramps that a budget of gradients affords: as slow, and as many, as they have to be."""

from __future__ import annotations

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

    def worth(self) -> float:
        """Effective samples per gradient."""
        return self.done.effective_samples / self.cost


class Budget:
    """The goal of an inference, the gradients that it has spent, and what it has found to doubt."""

    def __init__(self, goal: Goal, key: PRNGKeyArray, doubts: Iterable[str]):
        self.goal, self.key, self.doubts = goal, key, list(doubts)
        self.keys, self.spent = 0, 0

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
            done = self.forward(leg, stages, n)
            lost = float(done.books.dissipated)
            shadow = float(done.books.mean(done.books.shadow_work))
            if shadow > 0.3 * lost > 0.3 * until:
                leg = leg.with_shorter_steps(0.7)
            more = math.ceil(stages * min(max(1.1 * lost / until, 1.5), 8))
            if lost <= 1.2 * until or not self.affords(leg.cost(more, n)):
                return Ways(leg, stages, done)
            stages = more

    def enough(self, way: Ways) -> Ways:
        """As many ramps as the error asks for. The way back, as long as they are, halves what is
        left of the variance, and is not counted on."""
        have, n = jarzynski(way.done).log_ratio, self.goal.samples
        wanted = (float(have.error) / self.goal.error) ** 2 - 1 if have.error > 0 else 0
        wanted = math.ceil(wanted) if math.isfinite(wanted) else 0
        afford = (self.goal.budget - self.spent) / way.leg.cost(way.stages, n)
        if way.leg.resampling is None:
            afford = afford / 2 - 1
        done = way.done
        for _ in range(max(0, min(wanted, int(afford)))):
            done = done.pooled(self.forward(way.leg, way.stages, n))
        return Ways(way.leg, way.stages, done)

    def there_and_back(self, way: Ways) -> tuple[Ways, Ramped | None, Estimate]:
        """As many ramps as the error asks for, as many back, and ln(Z_1 / Z_0).

        Walkers that were resampled have no path that could be run backward: their evidence is the
        mean weight of the groups.
        """
        way = self.enough(way)
        if way.leg.resampling is not None:
            return way, None, jarzynski(way.done).log_ratio
        back, accepted = way.leg.reverse(self.next_key(), way.stages, way.done)
        self.spent += way.cost + SETTLING_STEPS * len(back.last)
        self.doubts += way_back_doubts(way.done, back, accepted)
        return way, back, bennett(way.done, back).log_ratio
