"""What a protocol should minimize: a number with its standard error, from one run."""

from __future__ import annotations

import abc

from .._component import AbstractComponent
from ..estimate import Estimate
from ..sampling import Result
from ..system import AbstractSystem


class AbstractObjective(AbstractComponent):
    """A cost of running a system. A new one is a subclass with `__call__`."""

    @abc.abstractmethod
    def __call__(self, system: AbstractSystem, result: Result) -> Estimate:
        """The cost and its standard error, differentiable through the paths of the result.

        Means go through `result.mean`, which covers the paths that survived and carries the
        dependence of the initial law on parameters.
        """


class MeanWork(AbstractObjective):
    r"""The mean total work <W + W_shadow + W_drive + W_kick> = <Delta H + Q>.

    The shadow work is in it, since an optimizer that sees W alone learns to hide work in the
    integrator's error.
    """

    def __call__(self, system, result):
        return result.mean(result.ledger.total_work)
