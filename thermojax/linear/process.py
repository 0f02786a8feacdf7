"""Computations of a linear process: its transition, stationary law, paths, their density.

`process` is a `tj.OrnsteinUhlenbeck` throughout, its arguments checked.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._component import known
from ..dynamics.random import key_words, normal
from .matrix_equations import balancing, dot, doubled, integral, lyapunov, root, symmetric_root


def matrix(value, dim: int):
    """A number, a diagonal or a matrix as `(dim, dim)`."""
    return value if value.ndim == 2 else jnp.diag(jnp.broadcast_to(value, (dim,)))


@jax.jit
def moments(process, t):
    """(e^(-A t), S(t)): both `(dim,)` where everything is diagonal, else `(dim, dim)`."""
    drift, diffusion = process.drift.astype(t.dtype), process.diffusion.astype(t.dtype)
    if drift.ndim < 2:
        drift = jnp.broadcast_to(drift, (process.dim,))
        if diffusion.ndim < 2:
            return jnp.exp(-drift * t), diffusion * integral(2 * drift, t)
        return jnp.diag(jnp.exp(-drift * t)), diffusion * integral(drift[:, None] + drift, t)
    drift, diffusion, scale, size = comparable(drift, matrix(diffusion, process.dim))
    decay, covariance = doubled(drift, diffusion, t)
    return (
        decay * (scale[:, None] / scale),
        size * (scale[:, None] * (covariance * scale)),
    )


def comparable(drift, diffusion):
    """(A, D, d, c) with A_ij d_j / d_i and D_ij / (c d_i d_j): entries of like sizes."""
    scale = balancing(drift)
    diffusion = diffusion / scale / scale[:, None]
    size = jax.lax.stop_gradient(jnp.max(jnp.abs(diffusion)))
    size = jnp.where(size > 0, size, 1)
    return drift * (scale / scale[:, None]), diffusion / size, scale, size


@jax.jit
def stationary_covariance(process):
    """`(dim,)` where everything is diagonal, else `(dim, dim)`."""
    drift, diffusion = (x.astype(process.dtype) for x in (process.drift, process.diffusion))
    if drift.ndim < 2:
        drift = jnp.broadcast_to(drift, (process.dim,))
        rates = 2 * drift if diffusion.ndim < 2 else drift[:, None] + drift
        return diffusion / rates
    drift, diffusion, scale, size = comparable(drift, matrix(diffusion, process.dim))
    solution = lyapunov(drift, diffusion)
    return size * (scale[:, None] * ((solution + solution.T) / 2 * scale))


@jax.jit
def spectral_density(process, frequency):
    """`(*frequencies, dim, dim)` of frequencies in the dtype of the process."""
    dtype, dim = process.dtype, process.dim
    drift, diffusion = (matrix(x.astype(dtype), dim) for x in (process.drift, process.diffusion))
    drift, diffusion, scale, size = comparable(drift, diffusion)

    def at(f):
        operator = jax.lax.complex(drift, 2 * math.pi * f * jnp.eye(dim, dtype=dtype))
        half = jnp.linalg.solve(operator, diffusion.astype(operator.dtype))
        density = jnp.linalg.solve(operator, half.conj().T)  # D is symmetric
        return size * (scale[:, None] * ((density + density.conj().T) / 2 * scale))

    return at(frequency) if frequency.ndim == 0 else jax.lax.map(at, frequency)


def act(operator, x):
    """The product of `(dim,)` (a diagonal) or `(dim, dim)` with the last axis of x."""
    return operator * x if operator.ndim == 1 else dot(x, operator.T)


def principal(process):
    """The process in the eigenbasis of a symmetric drift, and that basis; else (itself, None).

    For numbers only: derivatives of eigenvectors are infinite at repeated eigenvalues, and while
    tracing nobody knows a drift to be symmetric. The shift stays in the old coordinates.
    """
    drift = known(process.drift)
    if process.diffusion.ndim or drift is None or drift.ndim < 2:
        return process, None
    if np.max(np.abs(drift - drift.T)) > 4 * np.finfo(drift.dtype).eps * np.max(np.abs(drift)):
        return process, None
    rates, basis = jnp.linalg.eigh(process.drift.astype(process.dtype))
    return dataclasses.replace(process, drift=rates), basis


def turned(x, basis):
    """Vectors on the last axis in the coordinates of the basis."""
    return x if basis is None else dot(x, basis)


def turned_back(x, basis):
    return x if basis is None else dot(x, basis.T)


def matrix_back(x, basis):
    """A matrix that the basis makes diagonal `(dim,)`, in the old coordinates."""
    return x if basis is None else dot(basis * x, basis.T)


def factor(process, covariance):
    """L with L L^T = S.

    Noise alike in all directions takes the symmetric root, in which no basis has a say: one key
    draws one path, however the transition is found.
    """
    if process.diffusion.ndim == 0 and covariance.ndim == 2:
        return symmetric_root(covariance)
    return root(covariance)


@eqx.filter_jit
def walk(process, basis, key, first, steps, index, batch, initial):
    dtype, dim = process.dtype, process.dim
    counter = jax.lax.iota(jnp.uint32, len(index) + 1)[:, None, None]
    place = jax.lax.iota(jnp.uint32, batch * dim).reshape(batch, dim)
    noise = turned(normal(key_words(key), place, counter, dtype), basis)

    times = jnp.asarray(steps, dtype)
    if initial is not None and first is not None:
        times = jnp.concatenate([jnp.asarray(first, dtype)[None], times])
    decays, covariances = jax.lax.map(partial(moments, process), times)
    factors = jax.vmap(partial(factor, process))(covariances)
    if initial is None:
        y = act(factor(process, stationary_covariance(process)), noise[0])
    else:
        y = jnp.broadcast_to(initial.astype(dtype) - process.shift, (batch, dim))
        y = turned(y, basis)
        if first is not None:
            y = act(decays[0], y) + act(factors[0], noise[0])
            decays, factors = decays[1:], factors[1:]
    if len(index) == 0:
        return process.shift + turned_back(y[None], basis)

    def uniform(y, drawn):
        y = act(decays[0], y) + drawn
        return y, y

    def general(y, inputs):
        i, z = inputs
        y = act(decays[i], y) + act(factors[i], z)
        return y, y

    if len(steps) == 1:
        _, rest = jax.lax.scan(uniform, y, act(factors[0], noise[1:]))
    else:
        _, rest = jax.lax.scan(general, y, (index, noise[1:]))
    return process.shift + turned_back(jnp.concatenate([y[None], rest]), basis)


@eqx.filter_jit
def density(process, basis, path, steps, index):
    """The log-density `(batch,)`, and whether every covariance has full rank."""
    y = turned(path.astype(process.dtype) - process.shift, basis)
    value, regular = gaussian(factored(stationary_covariance(process)), y[0])
    if len(index) == 0:
        return jnp.where(regular, value, -jnp.inf), regular

    times = jnp.asarray(steps, process.dtype)
    decays, covariances = jax.lax.map(partial(moments, process), times)
    factors = jax.vmap(factored)(covariances)
    if len(steps) == 1:
        terms, fine = gaussian(factors[0], y[1:] - act(decays[0], y[:-1]))
    else:

        def of_step(inputs):
            i, before, after = inputs
            return gaussian(factors[i], after - act(decays[i], before))

        terms, fine = jax.lax.map(of_step, (index, y[:-1], y[1:]))
    regular = regular & jnp.all(fine)
    return jnp.where(regular, value + jnp.sum(terms, 0), -jnp.inf), regular


def factored(covariance):
    """The lower triangular factor, or the square roots `(dim,)` of a diagonal."""
    if covariance.ndim == 1:
        return jnp.sqrt(covariance)
    # Of the correlations: no entry's square leaves the range of the numbers.
    scale = jnp.sqrt(jnp.diagonal(covariance))
    return scale[:, None] * jnp.linalg.cholesky(covariance / scale / scale[:, None])


def gaussian(factor, x):
    """The log-density of N(0, L L^T) over the last axis of x, and whether L has full rank."""
    dim = factor.shape[0]
    if factor.ndim == 1:
        white, pivots = x / factor, factor
        regular = jnp.all(factor > 0)
    else:
        # One triangular inverse for all paths and steps: products are faster than many solves.
        eye = jnp.eye(dim, dtype=factor.dtype)
        white = act(jax.scipy.linalg.solve_triangular(factor, eye, lower=True), x)
        pivots = jnp.diagonal(factor)
        # The fraction of each variance that the coordinates before it do not explain; NaN is False.
        largest = jnp.max(jnp.abs(factor), axis=1)
        unexplained = (pivots / largest) ** 2 / jnp.sum((factor / largest[:, None]) ** 2, 1)
        regular = jnp.all(unexplained > 10 * jnp.finfo(factor.dtype).eps)
    logdet = jnp.sum(jnp.log(pivots))
    constant = 0.5 * dim * math.log(2 * math.pi)
    return -0.5 * jnp.sum(white**2, -1) - logdet - constant, regular
