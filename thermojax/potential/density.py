"""Any log density is an energy."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx

from .._arguments import flag, function
from .base import AbstractPotential


class LogDensity(AbstractPotential):
    """U = -ln p(x), from the log density that BlackJAX, NumPyro and others pass around.

    **Arguments:** `fn`, `fn(x) -> scalar` of one sample x (any pytree), a function or a module
    whose arrays then train and differentiate; with `controlled=True` it is `fn(x, control)`.
    """

    fn: Callable
    controlled: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        function("fn", self.fn, "a function, fn(x) -> log density of one sample x")
        flag("controlled", self.controlled)

    def energy(self, x, control):
        value = self.fn(x, control) if self.controlled else self.fn(x)
        if value is None:
            raise ValueError("fn returned None: expected a log density, a scalar, of one sample x")
        return -value
