"""Schedules that learn, and bend smoothly: the cubic spline through values on knots."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .knots import AbstractKnots, clipped, interpolation_rounding


class CubicSpline(AbstractKnots):
    r"""The cubic spline through values y_i on equally spaced knots, a distance h apart.

    Between two knots, with a + b = 1 the weights of the left and the right one,

        control = a y_i + b y_(i+1) + ((a^3 - a) M_i + (b^3 - b) M_(i+1)) h^2 / 6,
        M_(i-1) + 4 M_i + M_(i+1) = 6 (y_(i-1) - 2 y_i + y_(i+1)) / h^2,

    M being the second derivatives. At both ends it is "not a knot": the third derivative is
    continuous at the second knot and the last but one, which asks for nothing where the control
    jumps. Through two or three knots it is the line or the parabola.

    **Arguments:** as for `tj.PiecewiseLinear`. A spline swings beyond its values between the knots:
    there bounds hold by clipping.

    **Raises:** ValueError as `tj.PiecewiseLinear`.

    **Source:** C. de Boor, A Practical Guide to Splines (1978), chapter IV.
    """

    __init__ = AbstractKnots.__init__  # a type checker would else make one of the fields

    @staticmethod
    def positions(count):
        return np.linspace(0, 1, count)

    @property
    def curvatures(self) -> Float[Array, "knots *control"]:
        """M h^2, the second derivatives in units of the knots' distance."""
        solution = jnp.asarray(curvature_of_values(len(self.values)), self.values.dtype)
        return jnp.tensordot(solution, self.knot_values, axes=1)

    def __call__(self, t):
        y, m, last = self.knot_values, self.curvatures, len(self.values) - 1
        place = jnp.clip(t / self.duration, 0, 1) * last
        i = jnp.minimum(jnp.floor(place).astype(int), last - 1)
        b = place - i
        a = 1 - b
        bend = ((a**3 - a) * m[i] + (b**3 - b) * m[i + 1]) / 6
        slack = interpolation_rounding(self.values)
        return clipped(a * y[i] + b * y[i + 1] + bend, self.lower, self.upper, slack)

    def mirrored(self):
        return self.in_reverse_order()


def curvature_of_values(count: int) -> np.ndarray:
    """The matrix `(count, count)` that takes values to M h^2.

    Knots are evenly spaced, so it is a constant: the tridiagonal system is solved here by numpy,
    once, and not for every time at which the control is asked for.
    """
    n = count - 2  # inner knots
    if n == 0:
        return np.zeros((2, 2))
    knots = np.arange(n)
    difference = np.zeros((n, count))
    for shift, weight in enumerate((6, -12, 6)):
        difference[knots, knots + shift] = weight
    system = 4 * np.eye(n) + np.eye(n, k=1) + np.eye(n, k=-1)
    system[0], system[-1] = 6 * np.eye(n)[0], 6 * np.eye(n)[-1]  # M_0 = 2 M_1 - M_2 put in
    inner = np.linalg.solve(system, difference)
    beyond = min(1, n - 1)  # a single inner knot has the curvature of the ends, too
    return np.stack([2 * inner[0] - inner[beyond], *inner, 2 * inner[-1] - inner[-1 - beyond]])
