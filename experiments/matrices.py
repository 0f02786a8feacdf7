"""Matrices by name, for configs: each says in words what it is, with its normalization."""

from __future__ import annotations

import abc
from typing import Annotated

import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt


class AbstractMatrix(abc.ABC):
    """A symmetric positive definite matrix, or a random ensemble of them."""

    title: str

    @abc.abstractmethod
    def draw(self, key) -> jax.Array:
        """One of them, `(dim, dim)`."""


class Entries(AbstractMatrix):
    """A matrix by its entries."""

    def __init__(self, entries: list[list[float]]):
        self.entries = jnp.asarray(entries)
        if self.entries.ndim != 2 or self.entries.shape[0] != self.entries.shape[1]:
            raise ValueError(f"entries has shape {self.entries.shape}: expected a square matrix")
        self.title = f"a given matrix, {len(entries)} x {len(entries)}"

    def draw(self, key):
        return self.entries


class Tridiagonal(AbstractMatrix):
    """One number on the diagonal, another beside it: a chain of coupled coordinates."""

    def __init__(self, dim: Annotated[int, Ge(2)], diagonal: float, beside: float):
        self.dim, self.diagonal, self.beside = dim, diagonal, beside
        self.title = f"tridiagonal ({beside:g}, {diagonal:g}, {beside:g}), dim {dim}"

    def draw(self, key):
        next_to = jnp.eye(self.dim, k=1) + jnp.eye(self.dim, k=-1)
        return self.diagonal * jnp.eye(self.dim) + self.beside * next_to


class LogSpaced(AbstractMatrix):
    """Eigenvalues in equal ratios from 1/condition to 1, in a random basis."""

    def __init__(self, dim: Annotated[int, Ge(2)], condition: Annotated[float, Ge(1)]):
        self.dim, self.condition = dim, condition
        self.title = f"eigenvalues in equal ratios from 1/{condition:g} to 1, dim {dim}"

    def draw(self, key):
        basis = jnp.linalg.qr(jax.random.normal(key, (self.dim, self.dim)))[0]
        values = jnp.geomspace(1 / self.condition, 1.0, self.dim)
        matrix = (basis * values) @ basis.T
        return (matrix + matrix.T) / 2


class Wishart(AbstractMatrix):
    """X^T X / samples of `ratio` times dim samples of dim standard normals: its mean is 1."""

    def __init__(self, dim: Annotated[int, Ge(1)], ratio: Annotated[float, Gt(1)] = 2.0):
        self.dim, self.samples = dim, round(ratio * dim)
        self.title = f"Wishart, {self.samples} samples of dim {dim}, divided by {self.samples}"

    def draw(self, key):
        x = jax.random.normal(key, (self.samples, self.dim))
        return x.T @ x / self.samples
