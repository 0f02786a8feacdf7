"""The energies that an annealing runs through, and the target as terms."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .._component import pytree_of_floats, shown
from ..bayes import Model
from ..potential import AbstractPotential, LogDensity
from .base import AbstractBase, LogProb


class RampEnergy(AbstractPotential):
    """U(z, row) = (1 - b) U_base(z) + sum_j lambda_j U_j(x(z)) - b ln |det dx/dz|.

    The row of the control holds b (and the lambdas behind it, where there are several terms), and
    s as its last number. At its end it is -ln of the target's density of z.
    """

    base: AbstractBase
    terms: tuple[AbstractPotential, ...]
    like: PyTree[Array]
    work_differentiable: bool = eqx.field(static=True, default=True)

    @property
    def books_differentiable(self):
        return self.work_differentiable

    def energy(self, x, control):
        terms = self.term_energies(x)
        couplings = control[:1] if len(terms) == 1 else control[1:-1]
        sum_of_terms = jnp.sum(couplings * jnp.stack(terms))
        faded = (1 - control[0]) * self.base.energy(x)
        return faded + sum_of_terms - control[0] * self.base.log_volume()

    def term_energies(self, z: Float[Array, " dim"]) -> list[Float[Array, ""]]:
        """The energies of the terms of the target at x(z)."""
        position = self.position(z)
        return [jnp.asarray(term.energy(position, None)) for term in self.terms]

    def position(self, z: Float[Array, " dim"]) -> PyTree[Array]:
        """The position x of one z, in the shape of the target's."""
        return ravel_pytree(self.like)[1](self.base.place(z))

    def coordinates(self, x: PyTree[Array]) -> Float[Array, " dim"]:
        """z of one position x."""
        return self.base.coordinates(ravel_pytree(x)[0])

    def target(self, z: Float[Array, " dim"]) -> Float[Array, ""]:
        """-ln of the target's density of z, as it is normalized."""
        terms = self.term_energies(z)
        return sum(terms[1:], terms[0]) - self.base.log_volume()


def terms_and_template(
    target: Any, template: Any, fallback: Any = None
) -> tuple[tuple[AbstractPotential, ...], Any]:
    """The terms of a target, and one position; see `Annealer` for what a target may be.

    **Raises:** ValueError for what is none, and where nothing says what a position looks like.
    """
    given = target if isinstance(target, list | tuple) else [target]
    if not given:
        raise ValueError("target is empty: expected a potential, or several to be annealed each")
    known = template
    for one in given:
        known = shape_known_to(one) if known is None else known
    known = fallback if known is None else known
    if known is None:
        raise ValueError(
            "nothing says what a position of this target looks like: pass template=, ONE position "
            "such as jnp.zeros(dim)"
        )
    position = pytree_of_floats(known, "template")
    return tuple(term_of(one, position) for one in given), position


def term_of(value: Any, position: PyTree[Array]) -> AbstractPotential:
    """One potential of such positions. **Raises:** ValueError for what is none."""
    if isinstance(value, AbstractPotential):
        return value
    if isinstance(value, Model):
        return model_energy(value)
    if callable(getattr(value, "log_prob", None)):
        return LogDensity(LogProb(value))
    if callable(value) and not isinstance(value, type):
        # What a function closes over while a loss is differentiated (a decoder, say) has to be seen
        # by reverse mode, and so becomes a part of the potential.
        opened = eqx.filter_closure_convert(value, position)
        traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(opened))
        return LogDensity(opened if traced else value)
    raise ValueError(
        f"target = {shown(value)}: expected a potential, a log density fn(x), a tj.bayes.Model, a "
        "distribution with log_prob, or a list of them"
    )


def model_energy(model: Model) -> AbstractPotential:
    """-ln p(x) p(y|x) of a model."""
    return model.likelihood if model.prior is None else model.prior + model.likelihood


def shape_known_to(target: Any) -> PyTree[Array] | None:
    """One position, of a target that knows its shape; None of any other."""
    if isinstance(target, Model):
        return target.template
    if isinstance(target, AbstractPotential):
        return target.template(None)
    batch, event = getattr(target, "batch_shape", None), getattr(target, "event_shape", None)
    if not isinstance(batch, tuple) or not isinstance(event, tuple):
        return None
    return jnp.zeros((*batch, *event))


def batched_position(ramp: RampEnergy, z: Float[Array, "batch dim"]) -> PyTree[Array]:
    """Positions `(batch, ...)` of a batch of z."""
    return jax.vmap(ramp.position)(z)


def check_target(ramp: RampEnergy, dtype) -> jax.ShapeDtypeStruct:
    """The shape of one z. **Raises:** ValueError for a target that is no energy of one position."""
    z = jax.ShapeDtypeStruct((ramp.base.dim,), dtype)
    try:
        energy = jax.eval_shape(ramp.target, z)
    except TypeError as error:
        raise ValueError(
            f"the target has no energy at one position of the template's shape ({error}): expected "
            "one that the position alone decides"
        ) from error
    if energy.shape != ():
        raise ValueError(
            f"the target's energy has shape {energy.shape}: expected a scalar of one position"
        )
    return z
