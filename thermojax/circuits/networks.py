"""Networks of resistors with capacitors, with inductors, and with both."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._component import Numbers
from .arguments import as_matrix, each_node, in_kelvin, one_of, size_of
from .circuit import AbstractCircuit, Equations
from .spice import capacitors, current_sources, inductors, loops, resistors


class RC(AbstractCircuit):
    r"""Nodes with capacitors and resistors, C dv = -(G v - i) dt + (2 k_B T G + S)^(1/2) dW.

    Johnson noise alone gives them the covariance k_B T C^-1, whatever the resistors are.

    **Arguments:**

    - `capacitance`: F, a number, `(dim,)` to ground, or the Maxwell matrix `(dim, dim)`: on the
      diagonal the sum of all at a node, elsewhere minus the one between two nodes.
    - `resistance`: ohm, a number or `(dim,)` to ground; or `conductance`: S, `(dim, dim)`, built
      like the Maxwell matrix.
    - `temperature`: K. `noise`: S, two-sided, A^2 / Hz, of a noise current into each node, a
      number or `(dim,)`. `source`: i, A, of a current source into each node, alike.

    **Raises:** ValueError for shapes that disagree and matrices that are not positive definite.
    """

    capacitance: Float[Array, "dim dim"]
    conductance: Float[Array, "dim dim"]
    temperature: Float[Array, ""]
    noise: Float[Array, " dim"]
    source: Float[Array, " dim"]
    grounded: bool = eqx.field(static=True)  # all resistors

    def __init__(
        self,
        capacitance: Numbers,
        resistance: Numbers | None = None,
        *,
        conductance: Numbers | None = None,
        temperature: Numbers = 300.0,
        noise: Numbers = 0.0,
        source: Numbers = 0.0,
    ):
        one_of("resistance", resistance, "conductance", conductance)
        dim = size_of(capacitance=capacitance, resistance=resistance, conductance=conductance,
                      noise=noise, source=source)  # fmt: skip
        self.capacitance = as_matrix("capacitance", capacitance, dim)
        self.conductance, self.grounded = conductances(resistance, conductance, dim)
        self.temperature = in_kelvin(temperature)
        self.noise = each_node("noise", noise, dim)
        self.source = each_node("source", source, dim, signed=True)

    def equations(self) -> Equations:
        return Equations(self.capacitance, self.conductance, None)

    def coordinates(self):
        return by_friction(self.conductance, self.grounded)

    def cards(self, initial, step, excite):
        start = [] if initial is None else [f".ic {nodes_at(initial)}"]
        return [
            *capacitors(self.capacitance, initial),
            *resistors(self.conductance, self.temperature, step),
            *current_sources(self.source, self.noise, step, excite),
            *start,
        ]


class RL(AbstractCircuit):
    r"""Loops with inductors and resistors, L di = -(R i - v) dt + (2 k_B T R + S)^(1/2) dW.

    Johnson noise alone gives the currents the covariance k_B T L^-1, whatever the resistors are.
    Of one inductance l and one noise density S there is, besides, (S / 2l) R^-1.

    **Arguments:**

    - `inductance`: H, a number, `(dim,)`, or a matrix `(dim, dim)` with mutual inductances.
    - `resistance`: ohm, a number, `(dim,)`, or the matrix of a network `(dim, dim)` through which
      all currents flow to ground: the inverse of its matrix of conductances.
    - `temperature`: K. `noise`: S, two-sided, V^2 / Hz, of a noise voltage in each loop, a number
      or `(dim,)`. `source`: v, V, of a voltage source in each loop, alike.

    **Raises:** ValueError for shapes that disagree and matrices that are not positive definite.
    """

    inductance: Float[Array, "dim dim"]
    resistance: Float[Array, "dim dim"]
    temperature: Float[Array, ""]
    noise: Float[Array, " dim"]
    source: Float[Array, " dim"]
    grounded: bool = eqx.field(static=True)

    def __init__(
        self,
        inductance: Numbers,
        resistance: Numbers,
        *,
        temperature: Numbers = 300.0,
        noise: Numbers = 0.0,
        source: Numbers = 0.0,
    ):
        dim = size_of(inductance=inductance, resistance=resistance, noise=noise, source=source)
        self.inductance = as_matrix("inductance", inductance, dim)
        self.resistance = as_matrix("resistance", resistance, dim)
        self.grounded = np.ndim(resistance) < 2
        self.temperature = in_kelvin(temperature)
        self.noise = each_node("noise", noise, dim)
        self.source = each_node("source", source, dim, signed=True)

    def equations(self) -> Equations:
        return Equations(self.inductance, self.resistance, None)

    def coordinates(self):
        return by_friction(self.resistance, self.grounded)

    def cards(self, initial, step, excite):
        conductance = np.linalg.inv(np.asarray(self.resistance, np.float64))
        return [
            *resistors(conductance, self.temperature, step),
            *loops(self.inductance, self.source, self.noise, initial, step, excite),
        ]


class RLC(AbstractCircuit):
    r"""Nodes with capacitors, resistors and inductors: coupled resonators, such as eight cells.

    C dv = -(G v + K phi - i) dt + (2 k_B T G + S)^(1/2) dW, d phi = v dt; inductors carry K phi.
    Johnson noise alone gives voltages k_B T C^-1 and fluxes k_B T K^-1, whatever G is.

    **Arguments:**

    - `capacitance`: F, a number, `(dim,)` to ground, or the Maxwell matrix `(dim, dim)`.
    - `resistance`: ohm, a number or `(dim,)` to ground; or `conductance`: S, `(dim, dim)`.
    - `inductance`: H, a number or `(dim,)` to ground; or `inverse_inductance`: K, 1 / H,
      `(dim, dim)`, built like the Maxwell matrix.
    - `temperature`: K. `noise`: S, two-sided, A^2 / Hz, of a noise current into each node, a
      number or `(dim,)`. `source`: i, A, of a current source into each node, alike.

    **Raises:** ValueError for shapes that disagree and matrices that are not positive definite.

    **Source:** D. Melanson et al., arXiv:2312.04836 (2023), whose noise term
    sqrt(2 kappa_0) is S^(1/2), and whose resistors and inductors go to ground.
    """

    capacitance: Float[Array, "dim dim"]
    conductance: Float[Array, "dim dim"]
    inverse_inductance: Float[Array, "dim dim"]
    temperature: Float[Array, ""]
    noise: Float[Array, " dim"]
    source: Float[Array, " dim"]
    uncoupled: bool = eqx.field(static=True)  # by capacitors and by resistors

    def __init__(
        self,
        capacitance: Numbers,
        resistance: Numbers | None = None,
        inductance: Numbers | None = None,
        *,
        conductance: Numbers | None = None,
        inverse_inductance: Numbers | None = None,
        temperature: Numbers = 300.0,
        noise: Numbers = 0.0,
        source: Numbers = 0.0,
    ):
        one_of("resistance", resistance, "conductance", conductance)
        one_of("inductance", inductance, "inverse_inductance", inverse_inductance)
        dim = size_of(capacitance=capacitance, resistance=resistance, conductance=conductance,
                      inductance=inductance, inverse_inductance=inverse_inductance,
                      noise=noise, source=source)  # fmt: skip
        self.capacitance = as_matrix("capacitance", capacitance, dim)
        self.conductance, grounded = conductances(resistance, conductance, dim)
        self.uncoupled = grounded and np.ndim(capacitance) < 2
        self.inverse_inductance = (
            as_matrix("inverse_inductance", inverse_inductance, dim)
            if inverse_inductance is not None
            else inverse_of_each("inductance", inductance, dim)
        )
        self.temperature = in_kelvin(temperature)
        self.noise = each_node("noise", noise, dim)
        self.source = each_node("source", source, dim, signed=True)

    def equations(self) -> Equations:
        return Equations(self.capacitance, self.conductance, self.inverse_inductance)

    def coordinates(self):
        # T^T C T = 1 and T^T G T diagonal: the mass is 1, and friction a rate of decay, 1 / s.
        if self.uncoupled:
            c = jnp.diagonal(self.capacitance)
            return jnp.diag(1 / jnp.sqrt(c)), jnp.diagonal(self.conductance) / c
        root = jnp.linalg.cholesky(self.capacitance)
        inverse = jax.scipy.linalg.solve_triangular(
            root, jnp.eye(self.dim, dtype=root.dtype), lower=True
        )
        rates, basis = jnp.linalg.eigh(inverse @ self.conductance @ inverse.T)
        return inverse.T @ basis, rates

    def currents(self, state: Any) -> Float[Array, "*batch dim"]:
        """The current out of every node into its inductors, A, of a state as `read` takes it.

        **Returns:** `(batch, dim)`.
        """
        return self.flux(state) @ self.inverse_inductance

    def cards(self, initial, step, excite):
        start = [] if initial is None else [f".ic {nodes_at(initial)}"]
        return [
            *capacitors(self.capacitance, initial),
            *resistors(self.conductance, self.temperature, step),
            *inductors(self.inverse_inductance),
            *current_sources(self.source, self.noise, step, excite),
            *start,
        ]


def conductances(resistance, conductance, dim: int):
    """The matrix of conductances, and whether all of them go to ground."""
    if resistance is None:
        return as_matrix("conductance", conductance, dim), np.ndim(conductance) < 2
    return inverse_of_each("resistance", resistance, dim), True


def inverse_of_each(name: str, value, dim: int):
    """The diagonal matrix of 1 / value."""
    if np.ndim(value) > 1:
        cure = {"resistance": "conductance", "inductance": "inverse_inductance"}[name]
        raise ValueError(f"{name} is a matrix: expected a number or ({dim},); give {cure}= one")
    return jnp.diag(1 / jnp.diagonal(as_matrix(name, value, dim)))


def by_friction(dissipation, grounded: bool):
    """T and friction of a first order: B = T T^T, or T = 1 where B is diagonal."""
    if grounded:
        return jnp.eye(len(dissipation), dtype=dissipation.dtype), 1 / jnp.diagonal(dissipation)
    return jnp.linalg.cholesky(dissipation), jnp.ones_like(dissipation[0])


def nodes_at(initial) -> str:
    """The voltages of all nodes for `.ic`."""
    return " ".join(f"v(n{i + 1})={float(v):.9g}" for i, v in enumerate(initial))
