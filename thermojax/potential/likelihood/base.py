"""Likelihoods: energies that can draw data as well, and take others."""

from __future__ import annotations

import abc
from typing import Self

from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from ..base import AbstractPotential


class AbstractLikelihood(AbstractPotential):
    """U = -sum_i ln p(y_i|x) of independent rows i, normalizers kept, kT = 1.

    A new likelihood is a subclass with fields, `energy`, and the four methods below; with them a
    model that holds it can be compared row by row, taught in parts, and calibrated.
    """

    @abc.abstractmethod
    def log_likelihood(self, x: PyTree[Array]) -> Float[Array, " rows"]:
        """ln p(y_i|x) of every row, `(rows,)`; its sum is minus the energy."""

    @abc.abstractmethod
    def draw_data(self, key: PRNGKeyArray, x: PyTree[Array]) -> Array:
        """New data y from p(y|x) for the same rows: of the shape that `with_data` takes."""

    @abc.abstractmethod
    def with_data(self, data: Array) -> Self:
        """The likelihood of other data y at the same rows. Traceable: nothing is checked."""

    @abc.abstractmethod
    def with_rows(self, rows: Int[Array, " some"]) -> Self:
        """The likelihood of these rows alone, by their numbers. Traceable."""

    def by_name(self, x: PyTree[Array]) -> dict[str, Array]:
        """`log_likelihood` by the name of what is observed: here `y`, `(rows,)`."""
        return {"y": self.log_likelihood(x)}
