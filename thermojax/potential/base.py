"""The energy U(x, control) of ONE sample, and the algebra of energies."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._arguments import instance
from .._component import AbstractComponent, Numbers, finite, shown
from .._tree import leaf_shapes


class AbstractPotential(AbstractComponent):
    """An energy U(x, control), in units of energy, of one sample x.

    A new potential is a subclass with fields and one method, `energy`. Where its
    equilibrium exp(-U/kT)/Z can be drawn exactly it also says so in `sampled_by` and
    does it in `sample`; where Z is known, in `free_energy`.

    Potentials add, and multiply by numbers: `2.0 * well + tilt`.
    """

    # Whether `sample` is differentiable along its path in every leaf of the potential. If not, the
    # gradient of the initial law is carried by a score weight instead.
    reparametrized: ClassVar[bool] = True

    @property
    def books_differentiable(self) -> bool:
        """Whether work and shadow work have derivatives.

        If not, those of the motion and of the heat are as they were, and a gradient costs one
        evaluation less per step: for a cost that needs no other.
        """
        return True

    @abc.abstractmethod
    def energy(self, x: PyTree[Array], control) -> Float[Array, ""]:
        """The energy of one sample.

        **Arguments:** `x`, an array `(dim,)` or any pytree of arrays, without a batch
        axis; `control`, what the protocol returns: a scalar or an array `(k,)`.

        **Returns:** a scalar.
        """

    def template(self, control) -> PyTree[Array] | None:
        """A position of this potential's shape, or None where it takes any shape."""
        return None

    def sampled_by(self, control, temperature) -> AbstractPotential | None:
        """The potential whose `sample` draws this one's equilibrium exactly.

        `self`, one of the potentials in its fields (which is then asked without a control), or
        None where there is none. It decides about the program, so it is asked outside of tracing,
        with concrete values.
        """
        return None

    def sample(self, key: PRNGKeyArray, control, temperature, batch: int, template):
        """`batch` exact draws from exp(-U/kT)/Z, each of the shape of `template`."""
        raise NotImplementedError(f"{type(self).__name__} has no exact sampler")

    def opposite(self, x: PyTree[Array], control) -> PyTree[Array] | None:
        """The sample on the other side of the mean: where the equilibrium is symmetric, so that
        both have one probability and are drawn as a pair; None where it is not.
        """
        return None

    def free_energy(self, control, temperature, template) -> Float[Array, ""] | None:
        """-kT ln of the configuration integral of exp(-U/kT), or None where not known."""
        return None

    def __add__(self, other: AbstractPotential) -> AbstractPotential:
        if not isinstance(other, AbstractPotential):
            return NotImplemented
        return Sum((*terms_of(self), *terms_of(other)))

    def __mul__(self, factor) -> AbstractPotential:
        if isinstance(factor, AbstractPotential):
            raise TypeError("potentials add; only a number can multiply a potential")
        return Scaled(self, factor)

    __rmul__ = __mul__


def sampler_path(potential: AbstractPotential, control, temperature) -> tuple[Any, ...] | None:
    """The path to the potential that samples this one: `()` for itself, None for nothing.

    The path leads there in the same potential with traced leaves, see `at_path`.

    **Raises:** ValueError where `sampled_by` returns anything else than its contract says.
    """
    sampler = potential.sampled_by(control, temperature)
    if sampler is None:
        return None
    leaves = jax.tree_util.tree_leaves_with_path(potential, is_leaf=lambda x: x is sampler)
    for path, leaf in leaves:
        if leaf is sampler and isinstance(sampler, AbstractPotential):
            return path
    raise ValueError(
        f"{type(potential).__name__}.sampled_by returned {shown(sampler)}: expected the potential "
        "itself, a potential in its fields, or None"
    )


def at_path(potential: AbstractPotential, path: tuple[Any, ...]) -> AbstractPotential:
    """The potential at a path of `sampler_path`."""
    found: Any = potential
    for key in path:
        found = getattr(found, key.name) if hasattr(key, "name") else found[key.idx]
    return found


class Sum(AbstractPotential):
    """U = U_1 + U_2 + ...: every term sees the same sample and the same control."""

    terms: tuple[AbstractPotential, ...]

    def __check_init__(self):
        for i, term in enumerate(self.terms):
            require_potential(f"terms[{i}]", term)

    def energy(self, x, control):
        return sum(term.energy(x, control) for term in self.terms)

    def template(self, control):
        found = (term.template(control) for term in self.terms)
        return next((x for x in found if x is not None), None)


class Scaled(AbstractPotential):
    """U = factor * U_1. Its equilibrium is that of U_1 at the temperature kT / factor."""

    potential: AbstractPotential
    factor: Float[Array, ""]

    def __init__(self, potential: AbstractPotential, factor: Numbers):
        self.potential = require_potential("potential", potential)
        self.factor = finite("factor", factor)
        if self.factor.shape != ():
            raise ValueError(f"factor has shape {self.factor.shape}: expected one number")

    def energy(self, x, control):
        return self.factor * self.potential.energy(x, control)

    def template(self, control):
        return self.potential.template(control)


def require_potential(name: str, value) -> AbstractPotential:
    """`value`, a potential. **Raises:** ValueError for a function, a class, and anything else."""
    cure = "an instance of a tj.AbstractPotential"
    if callable(value) and not isinstance(value, type | AbstractPotential):
        cure += ", such as tj.LogDensity(fn) for a log density fn(x)"
    return instance(name, value, AbstractPotential, cure)


def require_position(
    potential: AbstractPotential, x, shape: tuple[int, ...] | None = None, by: str = ""
) -> None:
    """Refuse a sample of another shape than the potential's: it would be broadcast in silence.

    **Arguments:** `shape` of one sample, None for an array of any; `by`, the field that sets it.
    **Raises:** ValueError.
    """
    name = type(potential).__name__
    if not isinstance(x, jax.Array | np.ndarray | np.generic | int | float):
        what = "one array" if shape is None else f"one array of shape {shape}"
        raise ValueError(f"x is {shown(x)}: {name} expects {what} as a position")
    if shape is not None and jnp.shape(x) != shape:
        raise ValueError(
            f"x has shape {jnp.shape(x)}: {name} expects one sample of shape {shape}, that of its "
            f"{by}; make the template, the positions or the {by} fit"
        )


def require_tree(potential: AbstractPotential, x, like: PyTree[Array], by: str) -> None:
    """Refuse a sample that is not of the structure and the shapes of a pytree.

    **Arguments:** `by`, the field that sets them. **Raises:** ValueError.
    """
    if leaf_shapes(x) != leaf_shapes(like):
        raise ValueError(
            f"x has the shape {leaf_shapes(x)}: {type(potential).__name__} expects one sample of "
            f"the shape {leaf_shapes(like)}, that of its {by}; make the template, the positions or "
            f"the {by} fit"
        )


def terms_of(potential: AbstractPotential) -> tuple[AbstractPotential, ...]:
    return potential.terms if isinstance(potential, Sum) else (potential,)


def batched_energy(potential: AbstractPotential, x, control) -> Float[Array, " batch"]:
    """U of every sample of a batch, at one control."""
    return jax.vmap(potential.energy, in_axes=(0, None))(x, control)


def batched_gradient(potential: AbstractPotential, x, control):
    """grad_x U of every sample of a batch, at one control: the shape of `x`."""
    return jax.vmap(jax.grad(potential.energy), in_axes=(0, None))(x, control)
