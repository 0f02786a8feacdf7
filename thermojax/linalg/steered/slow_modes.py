"""A start near the answer along the slowest modes, as far as a few products tell them."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..._arguments import whole
from ..._component import Numbers, finite
from ..._keys import check_key
from ...potential import AbstractPotential
from ..device.operator import operator_of, require_known
from ..device.spectrum import require_positive_spectrum, require_symmetric, ritz


class SlowModes(eqx.Module):
    """Approximate modes of a matrix, the slowest first, each with what it lacks.

    - `values`, `(modes,)`: Ritz values, above the eigenvalues they stand for; `vectors`,
      `(dim, modes)`, orthonormal; `residuals`, |A v - value v|.
    - `highest`: the largest Ritz value of all; `products`: of A with a vector, that were spent.
    """

    values: Float[Array, " modes"]
    vectors: Float[Array, "dim modes"]
    residuals: Float[Array, " modes"]
    highest: float = eqx.field(static=True)
    products: int = eqx.field(static=True)

    def mean(self, b: Numbers) -> Float[Array, " dim"]:
        """The answer to A x = b in the space of these modes, sum_i v_i (v_i . b) / value_i."""
        b = finite("b", b)
        if b.shape != self.vectors.shape[:1]:
            raise ValueError(
                f"b has shape {b.shape}: expected {self.vectors.shape[:1]}, one number per row of A"
            )
        return self.vectors @ (self.vectors.T @ b / self.values)

    def prepared(self, b: Numbers | None = None, rest: float | None = None) -> SlowSprings:
        """The energy of a device that is idle but for its slow modes, which are set beforehand.

        Its equilibrium has the mean and the covariance of the answer along these modes. Start a
        chain there, and `tj.switch` to the couplings: the rest relaxes at its own pace.

        **Arguments:** `b`, `(dim,)`, zero when left out; `rest`, the stiffness of what is not
        along these modes, `highest` when left out.
        """
        zero = jnp.zeros_like(self.vectors[:, 0])
        along = self.vectors.T @ (zero if b is None else self.mean(b))
        rest = self.highest if rest is None else rest
        return SlowSprings(self.vectors, self.values, along, jnp.asarray(rest, zero.dtype))


class SlowSprings(AbstractPotential):
    """U = rest |x - V V^T x|^2 / 2 + sum_i value_i (v_i . x - along_i)^2 / 2."""

    vectors: Float[Array, "dim modes"]
    values: Float[Array, " modes"]
    along: Float[Array, " modes"]
    rest: Float[Array, ""]

    def energy(self, x, control):
        y = self.vectors.T @ x
        beside = jnp.sum(x * x) - jnp.sum(y * y)
        return 0.5 * (self.rest * beside + jnp.sum(self.values * (y - self.along) ** 2))

    def template(self, control):
        return jnp.zeros_like(self.vectors[:, 0])

    def sampled_by(self, control, temperature):
        return self

    def sample(self, key, control, temperature, batch, template):
        z = jax.random.normal(key, (batch, *template.shape), template.dtype)
        y = z @ self.vectors
        widths = 1 / jnp.sqrt(self.values) - 1 / jnp.sqrt(self.rest)
        x = z / jnp.sqrt(self.rest) + (y * widths) @ self.vectors.T
        return jnp.sqrt(jnp.asarray(temperature)) * x + self.vectors @ self.along


def slow_modes(
    A: Any,
    key: PRNGKeyArray,
    *,
    products: int = 32,
    modes: int | None = None,
    first: Numbers | None = None,
) -> SlowModes:
    """The slowest modes of a matrix as the method of Lanczos knows them after a few products.

    A device that starts with its first moment (`mean`) or its whole law (`prepared`) right along
    them has the faster modes to wait for alone. It gains where the slow modes are found: with
    residuals that are a small part of their values. On d = 200 and log-uniform eigenvalues 32
    products gain nothing; see `thermojax run configs/driven_inversion.yaml`.

    The modes serve any number of right-hand sides. For a single b the same products are better
    spent on conjugate gradients, as `first=b` does: `mean(b)` is then their iterate.

    **Arguments:**

    - `A`, symmetric positive definite: `(dim, dim)`, a lineax operator, or, with `first`, a
      function. `key`.
    - `products`: of A with a vector, at most dim. `modes`: how many to keep, the lowest; all when
      left out, which has the smallest error in the norm of A.
    - `first`: `(dim,)`, the vector to start from; random when left out.

    **Returns:** a `SlowModes`.

    **Raises:** ValueError for a matrix that is not symmetric, a Ritz value that is not positive (of
    too few products all may be, whatever A is), and shapes that do not fit.

    **Cost:** `products` products, two more for the check, and as many vectors. Source: G. Golub,
    C. Van Loan, Matrix Computations, sections 10.1 and 11.3.
    """
    check_key(key)
    products = whole("products", products, 1)
    modes = products if modes is None else whole("modes", modes)
    require_known(A=A, key=key, first=first)
    given = None if first is None else jnp.atleast_1d(finite("first", first))
    if callable(A) and given is None:
        raise ValueError(
            "A is a function: pass a lineax operator, or first=, a vector to start from, either of "
            "which says the dimension"
        )
    operator = operator_of(A, given if callable(A) else None)
    dim, dtype = operator.in_size(), operator.in_structure().dtype
    if given is None:
        given = jax.random.normal(key, (dim,), dtype)
    elif given.shape != (dim,):
        raise ValueError(
            f"first has shape {given.shape}: expected ({dim},), one number per row of A"
        )
    elif not np.any(np.asarray(given)):
        raise ValueError("first is zero: expected a vector to start from, or None for a random one")
    require_symmetric(operator, key)
    products = min(products, dim)
    values, vectors, residuals = compiled_ritz(operator, given.astype(dtype), key, products)
    lowest, highest = float(values[0]), float(values[-1])
    require_positive_spectrum(lowest, highest, dim, dtype)
    return SlowModes(values[:modes], vectors[:, :modes], residuals[:modes], highest, products + 2)


@eqx.filter_jit
def compiled_ritz(operator, first, key, size: int):
    """`ritz`, compiled."""
    return ritz(operator, first, key, size)
