"""Schedules that learn, of few numbers: one polynomial for the whole run."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .knots import AbstractKnots, clipped, interpolation_rounding


class Chebyshev(AbstractKnots):
    r"""The polynomial through values on Chebyshev's knots, t_j = tau (1 - cos(pi j / n)) / 2,

        control = sum_k c_k T_k(2 t / tau - 1),        k = 0..n = knots - 1.

    Its values train, not its coefficients: they obey bounds and can be pinned at the ends, and
    the optimum is as well conditioned in them. Smooth optima are reached with six to ten.

    **Arguments:** as for `tj.PiecewiseLinear`; `values`, `(knots,)` or `(knots, k)`, at `knots`.
    Between these a polynomial may swing beyond bounds: there they hold by clipping.

    **Raises:** ValueError as `tj.PiecewiseLinear`.

    **Source:** J. P. Boyd, Chebyshev and Fourier Spectral Methods (2001), chapter 4.
    """

    __init__ = AbstractKnots.__init__  # a type checker would else make one of the fields

    @staticmethod
    def positions(count):
        return (1 - np.cos(np.pi * np.arange(count) / (count - 1))) / 2

    @property
    def coefficients(self) -> Float[Array, "knots *control"]:
        """c_k, from the values by a discrete cosine transform."""
        n = len(self.values) - 1
        x = 2 * self.positions(n + 1) - 1
        transform = np.linalg.inv(np.polynomial.chebyshev.chebvander(x, n))
        return jnp.tensordot(jnp.asarray(transform, self.values.dtype), self.knot_values, axes=1)

    def __call__(self, t):
        x = 2 * jnp.clip(t / self.duration, 0, 1) - 1
        first, *rest = self.coefficients
        b, before = jnp.zeros_like(first), jnp.zeros_like(first)
        for c in reversed(rest):  # Clenshaw's recurrence
            b, before = c + 2 * x * b - before, b
        slack = interpolation_rounding(self.values)
        return clipped(first + x * b - before, self.lower, self.upper, slack)

    def mirrored(self):
        return self.in_reverse_order()
