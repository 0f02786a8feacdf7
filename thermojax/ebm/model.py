"""A model of data: an energy, and how its normalization changes with its parameters."""

from __future__ import annotations

import abc
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._arguments import instance
from .._component import AbstractComponent, pytree_of_floats
from .._tree import batch_of
from ..potential import AbstractPotential


class AbstractLatentModel(AbstractComponent):
    """A model of data that is sampled through other variables, those of a potential.

    Every `AbstractPotential` is a model of its own positions and needs none of this. Where the data
    are spins, or where some variables are hidden, a subclass says how data and positions belong
    together; all at kT = 1.
    """

    @abc.abstractmethod
    def potential(self) -> AbstractPotential:
        """The energy of the positions that are simulated, of these parameters."""

    @abc.abstractmethod
    def data_energy(self, data: PyTree[Array]) -> Float[Array, ""]:
        """-ln of the unnormalized probability of one datum."""

    @abc.abstractmethod
    def expected_energy(self, potential: AbstractPotential, position) -> Float[Array, ""]:
        """A function of the parameters whose mean gradient is that of -ln Z of the data.

        The mean is over `position` from the law of `potential`, which is `self.potential()`; both
        are held fixed in the derivative.
        """

    @abc.abstractmethod
    def log_z_offset(self) -> Float[Array, ""]:
        """ln Z of the potential minus ln Z of the data."""

    @abc.abstractmethod
    def draw_positions(self, key: PRNGKeyArray, data: PyTree[Array]) -> PyTree[Array]:
        """Positions given data, both with a leading axis: exact draws of the joint law."""

    @abc.abstractmethod
    def check_data(self, data: PyTree[Array]) -> None:
        """**Raises:** ValueError for data, with a leading axis, that the model has no room for."""


Model: TypeAlias = AbstractPotential | AbstractLatentModel
MODEL = "a potential, or a model such as tj.ebm.Ising(...)"


def check_model(model: Any) -> Model:
    """**Raises:** ValueError for anything else."""
    return instance("model", model, (AbstractPotential, AbstractLatentModel), MODEL)


def as_data(model: Model, data: Any) -> Any:
    """Data of a model, with a leading axis, in floats. **Raises:** ValueError for any other."""
    if isinstance(model, AbstractPotential):
        return as_positions(model, data, "data")
    data = pytree_of_floats(data, "data")
    batch_of(data, "data")
    model.check_data(data)
    return data


def as_positions(potential: AbstractPotential, positions: Any, name: str) -> Any:
    """Positions of a potential, with a leading axis, in floats. **Raises:** ValueError."""
    positions = pytree_of_floats(positions, name)
    batch_of(positions, name)
    first = jax.tree.map(lambda x: x[0], positions)
    own = potential.template(jnp.zeros(()))
    shapes = jax.tree.map(jnp.shape, first)
    if own is not None and jax.tree.map(jnp.shape, own) != shapes:
        raise ValueError(
            f"{name} are of shape {shapes} each: expected {jax.tree.map(jnp.shape, own)}, that of "
            f"the positions of {type(potential).__name__}"
        )
    try:
        shape = jax.eval_shape(lambda x: potential.energy(x, jnp.zeros(())), first).shape
    except (TypeError, ValueError) as error:
        raise ValueError(f"the model does not take {name} of shape {shapes}: {error}") from error
    if shape != ():
        raise ValueError(f"the energy of one of {name} has shape {shape}: expected a scalar")
    return positions


def potential_of(model: Model) -> AbstractPotential:
    """The potential that is simulated."""
    return model if isinstance(model, AbstractPotential) else model.potential()


def data_energies(model: Model, data) -> Float[Array, " data"]:
    """The energy of each datum."""
    if isinstance(model, AbstractPotential):
        return jax.vmap(lambda x: model.energy(x, jnp.zeros(())))(data)
    return jax.vmap(model.data_energy)(data)


def expected_energies(model: Model, positions) -> Float[Array, " batch"]:
    """The gradient of -ln Z of the data as each position sees it: derivatives by `model` alone."""
    positions = jax.lax.stop_gradient(positions)
    if isinstance(model, AbstractPotential):
        return data_energies(model, positions)
    potential = jax.tree.map(jax.lax.stop_gradient, model.potential())
    return jax.vmap(lambda x: model.expected_energy(potential, x))(positions)


def positions_of(model: Model, key: PRNGKeyArray, data):
    """Data as positions of the model's potential."""
    return data if isinstance(model, AbstractPotential) else model.draw_positions(key, data)


def log_z_offset(model: Model) -> Float[Array, ""]:
    """ln Z of what is simulated minus ln Z of the data."""
    return jnp.zeros(()) if isinstance(model, AbstractPotential) else model.log_z_offset()
