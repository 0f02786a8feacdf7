"""The law that an annealing starts from: normalized, and drawn exactly."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import function
from .._component import (
    AbstractComponent,
    Numbers,
    Positive,
    finite,
    floating,
    positive,
    require,
    shown,
)
from ..potential.gaussian import LOG_2PI, require_definite


class AbstractBase(AbstractComponent):
    """A normalized law q of a flat position x `(dim,)`, in coordinates z of its own.

    Paths move in z, where one time step suits all coordinates: x = place(z), with a constant
    Jacobian whose logarithm is `log_volume`.
    """

    @property
    @abc.abstractmethod
    def dim(self) -> int:
        """The number of coordinates."""

    @abc.abstractmethod
    def draw(self, key: PRNGKeyArray, batch: int) -> Float[Array, "batch dim"]:
        """Exact draws of z; differentiable in whatever trains."""

    @abc.abstractmethod
    def energy(self, z: Float[Array, " dim"]) -> Float[Array, ""]:
        """-ln of the density of z, normalized."""

    @abc.abstractmethod
    def place(self, z: Float[Array, " dim"]) -> Float[Array, " dim"]:
        """x of one z."""

    @abc.abstractmethod
    def coordinates(self, x: Float[Array, " dim"]) -> Float[Array, " dim"]:
        """z of one x."""

    @abc.abstractmethod
    def log_volume(self) -> Float[Array, ""]:
        """ln |det dx/dz|."""

    @abc.abstractmethod
    def trainable(self) -> tuple[str, ...]:
        """The fields that train."""


class AbstractGaussianBase(AbstractBase):
    """A Gaussian x = mean + factor z of a standard normal z.

    Its map trains: every draw, `(dim,)`, moves with it along its path, at fixed z.
    """

    mean: eqx.AbstractVar[Float[Array, " dim"]]

    @property
    def dim(self):
        return self.mean.shape[-1]

    def draw(self, key, batch):
        return jax.random.normal(key, (batch, self.dim), self.mean.dtype)

    def energy(self, z):
        return 0.5 * jnp.sum(z**2) + 0.5 * LOG_2PI * z.shape[-1]


class DiagonalBase(AbstractGaussianBase):
    """The Gaussian N(mean, diag(scale^2)): the start of mean-field variational inference.

    **Arguments:** `mean` `(dim,)`, or a number of coordinates for a standard normal; `scale`, the
    standard deviations, a number or `(dim,)`. Both train, the scale by its logarithm.

    **Raises:** ValueError for a scale that is not positive, or shapes that do not fit.
    """

    mean: Float[Array, " dim"]
    log_scale: Float[Array, " dim"]

    def __init__(self, mean: Numbers | int, scale: Positive = 1.0):
        if isinstance(mean, int) and not isinstance(mean, bool) and 0 < mean < 2**31:
            mean = jnp.zeros(mean)
        self.mean = vector("mean", mean)
        scale = floating(scale, "scale")
        require("scale", scale, positive, "positive standard deviations")
        if scale.shape not in ((), self.mean.shape):
            raise ValueError(
                f"scale has shape {scale.shape}: expected one number, or {self.mean.shape} as mean"
            )
        self.log_scale = jnp.log(jnp.broadcast_to(scale, self.mean.shape).astype(self.mean.dtype))

    def place(self, z):
        return self.mean + jnp.exp(self.log_scale) * z

    def coordinates(self, x):
        return (x - self.mean) * jnp.exp(-self.log_scale)

    def log_volume(self):
        return jnp.sum(self.log_scale)

    def trainable(self):
        return "mean", "log_scale"


class DenseBase(AbstractGaussianBase):
    """The Gaussian N(mean, covariance), with all correlations.

    **Arguments:** `mean` `(dim,)`; `covariance` `(dim, dim)`, symmetric and positive definite. Both
    train: of the covariance its Cholesky factor, the diagonal by its logarithm.
    `tj.anneal.laplace(target, template)` makes one at a mode.

    **Raises:** ValueError for shapes that do not fit, or a matrix that is not positive definite.
    """

    mean: Float[Array, " dim"]
    log_diagonal: Float[Array, " dim"]
    lower: Float[Array, "dim dim"]

    def __init__(self, mean: Numbers, covariance: Numbers):
        self.mean = vector("mean", mean)
        covariance = finite("covariance", covariance)
        if covariance.shape != 2 * self.mean.shape:
            raise ValueError(
                f"covariance has shape {covariance.shape}: expected {2 * self.mean.shape}, for a "
                f"mean of shape {self.mean.shape}"
            )
        require_definite("covariance", covariance)
        factor = jnp.linalg.cholesky(covariance)
        self.log_diagonal = jnp.log(jnp.diagonal(factor)).astype(self.mean.dtype)
        self.lower = jnp.tril(factor, -1).astype(self.mean.dtype)

    @property
    def factor(self) -> Float[Array, "dim dim"]:
        """The Cholesky factor of the covariance."""
        return jnp.tril(self.lower, -1) + jnp.diag(jnp.exp(self.log_diagonal))

    def place(self, z):
        return self.mean + self.factor @ z

    def coordinates(self, x):
        return jax.scipy.linalg.solve_triangular(self.factor, x - self.mean, lower=True)

    def log_volume(self):
        return jnp.sum(self.log_diagonal)

    def trainable(self):
        return "mean", "log_diagonal", "lower"


class DrawnBase(AbstractBase):
    """Any normalized law that can be drawn, as it is: nothing of it trains.

    **Arguments:** `log_prob(x)`, the log density of one position; `sample(key, batch)`, draws
    `(batch, ...)`; `size`, the number of coordinates. Positions may be pytrees, flattened here.
    """

    log_prob: Callable
    sample: Callable
    like: Any
    size: int = eqx.field(static=True)

    def __init__(self, log_prob: Callable, sample: Callable):
        function("log_prob", log_prob, "a function, log_prob(x) of one position")
        function("sample", sample, "a function, sample(key, batch) -> draws (batch, ...)")
        try:
            one = jax.eval_shape(lambda key: sample(key, 1), jax.random.key(0))
        except TypeError as error:
            raise ValueError(
                f"sample cannot be called with a key and a number ({error}): expected "
                "sample(key, batch) -> draws (batch, ...)"
            ) from error
        self.log_prob, self.sample = log_prob, sample
        self.like = jax.tree.map(lambda x: jnp.zeros(x.shape[1:], x.dtype), one)
        self.size = ravel_pytree(self.like)[0].size

    @property
    def dim(self):
        return self.size

    def draw(self, key, batch):
        return jax.vmap(lambda x: ravel_pytree(x)[0])(self.sample(key, batch))

    def energy(self, z):
        return -jnp.sum(self.log_prob(ravel_pytree(self.like)[1](z)))

    def place(self, z):
        return z

    def coordinates(self, x):
        return x

    def log_volume(self):
        return jnp.zeros(())

    def trainable(self):
        return ()


def vector(name: str, value) -> Float[Array, " dim"]:
    """Finite numbers `(dim,)`, at least one. **Raises:** ValueError."""
    array = finite(name, value)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}: expected (dim,), at least one number")
    return array


def base_of(value: Any, dim: int) -> AbstractBase:
    """The base that is meant: None for a standard normal, a base, or a distribution object.

    A distribution has `log_prob(x)` of one position and `sample`, as of NumPyro (`sample(key,
    sample_shape)`) or of distrax (`sample(seed=, sample_shape=)`).

    **Raises:** ValueError for anything else, and for another number of coordinates than `dim`.
    """
    if value is None:
        base: AbstractBase = DiagonalBase(dim)
    elif isinstance(value, AbstractBase):
        base = value
    elif callable(getattr(value, "log_prob", None)) and callable(getattr(value, "sample", None)):
        base = DrawnBase(LogProb(value), Draws(value))
    else:
        raise ValueError(
            f"base = {shown(value)}: expected a tj.anneal.DiagonalBase or DenseBase, a "
            "distribution with log_prob and sample, or None for a standard normal"
        )
    if base.dim != dim:
        raise ValueError(
            f"the base has {base.dim} coordinates and the target {dim}: make them one number"
        )
    return base


class LogProb(eqx.Module):
    """The log density of a distribution object: of one position, all elements together."""

    distribution: Any

    def __call__(self, x):
        return jnp.sum(self.distribution.log_prob(x))


class Draws(eqx.Module):
    """The draws of a distribution object."""

    distribution: Any

    def __call__(self, key, batch):
        try:
            return self.distribution.sample(key, (batch,))
        except TypeError:
            return self.distribution.sample(seed=key, sample_shape=(batch,))
