"""The keywords that all problems have in common, and runs until an answer is accurate."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from ..._arguments import choice, instance, real, whole
from ..._component import positive
from ..._keys import check_key
from ...system import Bath
from .answer import Answer
from .device import DYNAMICS
from .operator import require_known
from .runtime import check_tolerance

METHODS = ("steps", "exact")
MARGIN = 1.2  # longer than the last run says: its errors are from 32 groups
LONGEST = 128.0  # times the last run, which does not know more than that


class Settings(NamedTuple):
    """The keywords of every problem, checked.

    A device runs for a `time`, or until its relative error is at most `rtol` with a `probability`.
    `max_products`, of A with a vector (or of the eigenvectors with one), are not exceeded.
    """

    time: float | None
    rtol: float | None
    probability: float
    dynamics: str
    trajectories: int
    method: str | None
    bath: Bath | None
    idle_power: float
    max_products: float

    def checked(self, key: PRNGKeyArray, **others: Any) -> Settings:
        """**Raises:** ValueError for what does not fit, or is being traced, `others` included."""
        check_key(key)
        choice("dynamics", self.dynamics, DYNAMICS)
        choice("method", self.method, METHODS, or_none=True)
        if (self.time is None) == (self.rtol is None):
            given = "neither" if self.time is None else "both"
            raise ValueError(
                f"time and rtol: {given} given; expected the time of the device, or the relative "
                "error that it is to reach"
            )
        if self.time is not None:
            real("time", self.time, "a positive time of the device", positive)
        check_tolerance(0.1 if self.rtol is None else self.rtol, self.probability)
        real("idle_power", self.idle_power, "a power, 0 or more", lambda p: p >= 0)
        real("max_products", self.max_products, "a positive number of products", positive)
        if self.bath is not None:
            instance("bath", self.bath, Bath, "a tj.Bath(...), or None for the default")
        trajectories = whole("trajectories", self.trajectories, cure="devices side by side")
        require_known(**others, key=key, **self._asdict())
        return self._replace(
            time=None if self.time is None else float(self.time),
            rtol=None if self.rtol is None else float(self.rtol),
            probability=float(self.probability),
            trajectories=trajectories,
            idle_power=float(self.idle_power),
            max_products=float(self.max_products),
        )

    def require_affordable(
        self, products: float, time: float, relaxation: float, interval: float | None = None
    ) -> None:
        """**Raises:** ValueError before more products are spent than allowed."""
        samples = "" if interval is None else f"interval = {interval:.3g}: "
        require_affordable(products, self.max_products, time, relaxation, samples)


def require_affordable(
    products: float,
    most: float,
    time: float,
    relaxation: float,
    because: str = "",
    cure: str = "a larger tolerance",
) -> None:
    """**Raises:** ValueError where there are more products than `most`."""
    if not products <= most:
        raise ValueError(
            f"{because}{products:.2g} products of A with a vector, a time of {time:.3g} or "
            f"{time / relaxation:.2g} relaxation times, are more than max_products = {most:.2g}: "
            f"expected a shorter time, {cure}, a better conditioned A, or a larger max_products"
        )


def until_accurate(
    run: Callable[[float, PRNGKeyArray], Answer],
    settings: Settings,
    first: float,
    key: PRNGKeyArray,
) -> Answer:
    """The answer of `settings.time`, or of the first run that Markov's inequality finds right.

    Without a time, each run is as long as the errors of the one before say: their squares fall as
    1 / time, and sum e^2 <= (1 - P) (rtol |value|)^2 is enough. The bill has the products of all.
    """
    if settings.time is not None:
        return run(settings.time, key)
    assert settings.rtol is not None
    allowed = (1 - settings.probability) * settings.rtol**2
    time, products = first, 0
    while True:
        key, own = jax.random.split(key)
        answer = run(time, own)
        products += answer.products
        squares = float(jnp.sum(answer.error**2))
        size = float(jnp.sum(answer.value**2)) - squares  # the mean of |value|^2 has both
        if squares <= allowed * size:
            return dataclasses.replace(answer, products=products)
        if not squares < float("inf"):
            raise ValueError("the error of the device is not finite: expected a shorter time step")
        needed = MARGIN * squares / (allowed * size) if size > 0 else LONGEST
        if size > squares:  # the answer stands out of its error: what it takes is known
            relaxation = answer.time.relaxation
            settings.require_affordable(answer.products * needed, time * needed, relaxation)
        # A power of two: other keys come to the same times, whose programs are compiled already.
        time *= 2 ** math.ceil(math.log2(min(max(needed, MARGIN), LONGEST)))
