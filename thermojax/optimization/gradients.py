"""Estimators of the gradient of a cost."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from .._component import AbstractComponent, Numbers, positive_number
from .objectives import AbstractObjective


class AbstractGradient(AbstractComponent):
    """An estimator of d cost / d parameters, for `tj.optimize(..., gradient=...)`."""

    sees_counts: eqx.AbstractClassVar[bool]  # whether it has a gradient for those who count paths

    @abc.abstractmethod
    def value_and_grad(self, cost: Callable, params, key) -> Any:
        """((value, aux), gradient) of cost(params, key) -> (value, aux)."""

    def objective(self, objective: AbstractObjective, step) -> AbstractObjective:
        """The objective to differentiate at a training step: the cost, or one in its place."""
        return objective

    def picture(self, picture: Any) -> Any:
        """The picture as this estimator needs it."""
        return picture


def reverse_mode(cost: Callable, params, key):
    return eqx.filter_value_and_grad(cost, has_aux=True)(params, key)


class Pathwise(AbstractGradient):
    """The derivative along each path at fixed noise, in reverse mode: the default.

    A step or a sign in the cost or in the force has no such derivative, and is silently missed.
    """

    sees_counts: ClassVar[bool] = False

    def value_and_grad(self, cost, params, key):
        return reverse_mode(cost, params, key)


class ForwardMode(AbstractGradient):
    """The pathwise derivative in forward mode: no memory for the path, one run per parameter.

    For few parameters. A line search (`optax.lbfgs`) asks for reverse mode: not with this.
    """

    sees_counts: ClassVar[bool] = False

    def value_and_grad(self, cost, params, key):
        flat, restore = ravel_pytree(params)

        def both(flat):
            value, aux = cost(restore(flat), key)
            return value, (value, aux)

        gradient, (value, aux) = jax.jacfwd(both, has_aux=True)(flat)
        return (value, aux), restore(gradient)

    def picture(self, picture):
        if not hasattr(picture, "adjoint"):
            return picture
        return eqx.tree_at(
            lambda p: p.adjoint, picture, dfx.ForwardMode(), is_leaf=lambda x: x is None
        )


class ScoreFunction(AbstractGradient):
    r"""For counts (`tj.ErasureError`), which have no derivative along a path:

        d<c>/d theta = < (c - <c>) d ln p(path; theta)/d theta >,

    <c> being the baseline. Terms of the cost that do have a pathwise derivative keep it.

    It needs the density of a step, which `tj.OBABO()` has, overdamped (Euler-Maruyama) and
    underdamped; no kicks, and a bath that is constant in time. Its variance grows with the number
    of steps that a parameter acts on. Memory: all paths.

    **Raises:** ValueError for another integrator, kicks, or a bath that changes in time.

    **Source:** R. J. Williams, Machine Learning 8, 229 (1992).
    """

    sees_counts: ClassVar[bool] = True

    def value_and_grad(self, cost, params, key):
        return reverse_mode(cost, params, key)

    def picture(self, picture):
        if not hasattr(picture, "scored"):
            raise ValueError(
                "ScoreFunction is for paths: an exact picture has the gradient of a probability "
                "itself; leave gradient= out"
            )
        return eqx.tree_at(lambda p: p.scored, picture, True)


class Smoothed(AbstractGradient):
    """The pathwise gradient of the cost with its steps smoothed over `width`; reported is the cost.

    The width should go to zero as training proceeds: large at first, so that many paths see the
    step, small at last, so that the optimum is that of the cost.

    **Arguments:** `width`: a length (scalar), or a schedule of the training step such as
    `optax.exponential_decay(0.5, 100, 0.5)`.

    **Raises:** ValueError for a width that is not positive.
    """

    sees_counts: ClassVar[bool] = True
    width: Float[Array, ""] | Callable

    def __init__(self, width: Numbers | Callable):
        if callable(width) and not isinstance(width, type):
            self.width = width
        else:
            self.width = positive_number("width", width, "length")

    def value_and_grad(self, cost, params, key):
        return reverse_mode(cost, params, key)

    def objective(self, objective, step):
        width = self.width(step) if callable(self.width) else self.width
        return objective.smoothed(jnp.asarray(width))
