"""Small machines that the tests of `tj.generate` share, so that each program is compiled once."""

from __future__ import annotations

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import thermojax as tj

KEY = jax.random.key(0)
IMAGES = np.array([[1.0, -1.0], [-0.5, 0.5], [0.0, 3.0]])  # normalized: (1, -1), (-1, 1), (-1, 1)
DT, DURATION, BATCH = 0.02, 0.4, 2000


def learned(computer: tj.generate.Computer, seed: int = 7, scale: float = 0.4):
    """The machine with random couplings and biases."""
    random = np.random.default_rng(seed)
    leaves, structure = jax.tree.flatten(computer.couplings)
    drawn = [jnp.asarray(scale * random.normal(size=leaf.shape)) for leaf in leaves]
    return eqx.tree_at(lambda c: c.couplings, computer, structure.unflatten(drawn))


@functools.cache
def small() -> tj.generate.Computer:
    """Two visible units and two hidden ones, all couplings there."""
    return learned(tj.generate.Computer(2, 2, temperature=0.5, visible_couplings=True))


@functools.cache
def noising() -> tj.generate.Noising:
    """Weak forces for a short time: paths there and back overlap."""
    weak = tj.Linear(0.6, 0.0, DURATION)
    return tj.generate.Noising(IMAGES, 2, jax.random.key(1), protocol=weak)


@functools.cache
def paths() -> tj.generate.NoisedPaths:
    return noising().paths(small(), KEY, batch=BATCH, dt=DT)


def energy(computer: tj.generate.Computer, x: np.ndarray) -> np.ndarray:
    """V of every row, written down pair by pair."""
    c, count = computer.couplings, computer.visible
    hidden, between, biases = map(np.asarray, (c.hidden, c.between, c.biases))
    total = np.sum(float(computer.on_site.quadratic) * x**2, axis=-1)
    total = total + np.sum(float(computer.on_site.quartic) * x**4, axis=-1)
    for a in range(len(biases)):
        total = total + biases[a] * x[..., x.shape[-1] - len(biases) + a]
    for a in range(computer.hidden):
        for i in range(count):
            total = total + between[i, a] * x[..., i] * x[..., count + a]
        for b in range(a):
            total = total + hidden[b, a] * x[..., count + b] * x[..., count + a]
    if c.visible is not None:
        for i in range(count):
            for j in range(i):
                total = total + float(c.visible[j, i]) * x[..., i] * x[..., j]
    return total


def slope(computer: tj.generate.Computer, x: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    """grad V by central differences of `energy`."""
    found = np.empty_like(x)
    for i in range(x.shape[-1]):
        step = np.zeros(x.shape[-1])
        step[i] = eps
        found[..., i] = (energy(computer, x + step) - energy(computer, x - step)) / (2 * eps)
    return found
