"""A Gaussian observation: a linear function of the position, with noise of any covariance."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._component import Numbers, finite, floating
from ..._tree import product
from ..base import require_position
from ..gaussian import LOG_2PI, half_square, require_definite
from .base import AbstractLikelihood


class GaussianLikelihood(AbstractLikelihood):
    r"""The likelihood of an observation y = H x + noise, U = -ln N(y; H x, covariance).

    Kept is what the energy needs, the observation in units of its noise: with covariance = L L^T,
    y and H times L^-1. Of correlated noise a row is a datum given those before it,
    ln p(y_i | y_1, ..., y_(i-1), x): so that rows add, and can be learned in their order.

    **Arguments:** `y`, `(rows,)`; `covariance` of the noise (the variance, not the standard
    deviation): a number, `(rows,)` for a diagonal, or a symmetric positive definite matrix
    `(rows, rows)`; `operator` H, `(rows, dim)`, the identity when left out.

    **Raises:** ValueError for shapes that do not fit, what is not finite, or an indefinite
    covariance. **Cost:** of an energy, one product with the operator, for a batch matrix-matrix,
    and two of a gradient; without an operator and with noise that is not correlated, none. Once,
    a Cholesky factor of a matrix.
    """

    white_y: Float[Array, " rows"]
    white_operator: Float[Array, "rows dim"] | None  # None where y - x is taken entry by entry
    root: Float[Array, "..."]  # L: a number, (rows,) or (rows, rows)

    def __init__(self, y: Numbers, covariance: Numbers, operator: Numbers | None = None):
        y, covariance = finite("y", y), floating(covariance, "covariance")
        if y.ndim != 1 or y.size == 0:
            raise ValueError(f"y has shape {y.shape}: expected (rows,), for example jnp.zeros(2)")
        require_definite("covariance", covariance)
        if covariance.shape not in ((), y.shape, y.shape * 2):
            raise ValueError(
                f"y has shape {y.shape} and covariance {covariance.shape}: expected (rows,), and a "
                "number, (rows,) or (rows, rows)"
            )
        if operator is not None:
            operator = finite("operator", operator)
            if operator.ndim != 2 or operator.shape[0] != y.size or operator.shape[1] == 0:
                raise ValueError(
                    f"y has shape {y.shape} and operator {operator.shape}: expected (rows,) and "
                    "(rows, dim), so that operator @ x is like y"
                )
            y = y.astype(jnp.result_type(y, operator))
        matrix = covariance.ndim == 2
        self.root = (jnp.linalg.cholesky if matrix else jnp.sqrt)(covariance).astype(y.dtype)
        self.white_y = self.whitened(y)
        if operator is None and matrix:
            operator = jnp.eye(y.size, dtype=y.dtype)
        self.white_operator = None if operator is None else self.whitened(operator.astype(y.dtype))

    @property
    def y(self) -> Float[Array, " rows"]:
        """The observation, `(rows,)`."""
        return self.colored(self.white_y)

    @property
    def covariance(self) -> Float[Array, "..."]:
        """The covariance of its noise: a number, `(rows,)` or `(rows, rows)`."""
        return product(self.root, self.root.T) if self.root.ndim == 2 else self.root**2

    def whitened(self, values: Float[Array, "rows ..."]) -> Float[Array, "rows ..."]:
        """L^-1 times values, `(rows,)` or `(rows, dim)`."""
        if self.root.ndim == 2:
            return jax.scipy.linalg.solve_triangular(self.root, values, lower=True)
        return values / (self.root[:, None] if self.root.ndim and values.ndim == 2 else self.root)

    def colored(self, values: Float[Array, " rows"]) -> Float[Array, " rows"]:
        """L times values, `(rows,)`."""
        return product(self.root, values) if self.root.ndim == 2 else self.root * values

    def diagonal_of_root(self) -> Float[Array, "..."]:
        """The standard deviation of a row given those before it: a number or `(rows,)`."""
        return jnp.diagonal(self.root) if self.root.ndim == 2 else self.root

    def expected(self, x: Float[Array, " dim"]) -> Float[Array, " rows"]:
        """H x in units of the noise, `(rows,)`."""
        if self.white_operator is None:
            require_position(self, x, self.white_y.shape, "y")
            return x / self.root
        require_position(self, x, self.white_operator.shape[1:], "operator")
        return product(self.white_operator, x)

    def energy(self, x, control):
        return -jnp.sum(self.log_likelihood(x))

    def log_likelihood(self, x):
        residual = half_square(self.white_y - self.expected(x))
        return -residual - jnp.log(self.diagonal_of_root()) - 0.5 * LOG_2PI

    def template(self, control):
        like = self.white_y if self.white_operator is None else self.white_operator[0]
        return jnp.zeros_like(like)

    def draw_data(self, key, x):
        z = jax.random.normal(key, self.white_y.shape, self.white_y.dtype)
        return self.colored(self.expected(x) + z)

    def with_data(self, data):
        return eqx.tree_at(lambda u: u.white_y, self, self.whitened(data))

    def with_rows(self, rows):
        root, operator = self.diagonal_of_root(), self.white_operator
        root = root[rows] if root.ndim else root
        if operator is None:  # rows of the identity
            one = jax.nn.one_hot(rows, self.white_y.size, dtype=self.white_y.dtype)
            operator = one / (root[:, None] if root.ndim else root)
        else:
            operator = operator[rows]
        fields = lambda u: (u.white_y, u.white_operator, u.root)
        new = self.white_y[rows], operator, root
        return eqx.tree_at(fields, self, new, is_leaf=lambda leaf: leaf is None)
