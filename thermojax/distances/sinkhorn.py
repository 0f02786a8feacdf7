"""Two sets of samples in any dimension: optimal transport with an entropic penalty, by ott-jax."""

from __future__ import annotations

import warnings

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._component import known, positive_number
from .._scale import power_of_two
from .samples import checked_points, checked_weights, normalized_weights
from .units import require_in_range


def sinkhorn_divergence(
    x: Float[ArrayLike, "n dim"],
    y: Float[ArrayLike, "m dim"],
    *,
    epsilon: float | None = None,
    x_weights: Float[ArrayLike, " n"] | None = None,
    y_weights: Float[ArrayLike, " m"] | None = None,
) -> Float[Array, ""]:
    r"""The debiased Sinkhorn divergence between samples in any dimension, an estimate of W_2^2.

    The divergence S(x, y) = OT(x, y) - OT(x, x)/2 - OT(y, y)/2, where OT is the
    transport cost |x - y|^2 with an entropic penalty `epsilon`; zero where x is y, and W_2^2 as
    epsilon -> 0. On top of that, n samples of one law stand apart by about n^(-2/dim).

    **Arguments:** `x`, `(n, dim)` and `y`, `(m, dim)`; `epsilon`, length^2, by default 0.05
    standard deviations of |x_i - y_j|^2; weights, `(n,)` and `(m,)`, not negative, normalized here.

    **Returns:** a scalar, length^2, differentiable in the samples. **Cost:** O(n m) in memory, and
    per iteration. **Warns:** where the iterations did not converge.

    **Raises:** ValueError for shapes that do not fit, or NaN; ImportError without ott-jax.

    **Source:** A. Genevay, G. Peyre, M. Cuturi, AISTATS 2018; J. Feydy et al., AISTATS 2019.
    """
    x, y = checked_points("x", x, 2), checked_points("y", y, 2)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x has shape {x.shape}, y {y.shape}: expected points of one dimension")
    if epsilon is not None:
        positive_number("epsilon", epsilon, "regularization, length^2")
    transport = import_ott()
    a = checked_weights("x_weights", x_weights, x, "x")
    b = checked_weights("y_weights", y_weights, y, "y")
    unit = power_of_two(jnp.maximum(jnp.max(jnp.abs(x)), jnp.max(jnp.abs(y))))
    regular = None if epsilon is None else jnp.asarray(epsilon) / unit / unit
    scaled, converged, used = debiased(transport.sinkdiv, x / unit, y / unit, a, b, regular)
    divergence = require_in_range("the divergence", scaled, scaled * unit * unit)
    if (all_did := known(converged)) is not None and not all_did:
        warnings.warn(
            "the Sinkhorn iterations did not converge: take the divergence as rough, or raise "
            f"epsilon (now {float(used * unit * unit):.3g})",
            stacklevel=2,
        )
    return divergence


@eqx.filter_jit
def debiased(sinkdiv, x, y, a, b, epsilon):
    """The divergence, whether all three problems converged, and the epsilon that was used."""
    a, b = normalized_weights(a, x), normalized_weights(b, y)
    x, y, a, b = (array.astype(jnp.result_type(x, y)) for array in (x, y, a, b))
    tolerance = {"threshold": 1e-4}  # on the marginals; the value is far closer
    divergence, solved = sinkdiv(x, y, epsilon=epsilon, a=a, b=b, solve_kwargs=tolerance)
    return divergence, jnp.all(jnp.stack(solved.converged)), solved.geoms[0].epsilon


def import_ott():
    """Import the solver of ott-jax. **Raises:** ImportError, which says how to get it."""
    try:
        with warnings.catch_warnings():
            # ott-jax loads jaxopt, which says at import that nobody maintains it any more.
            warnings.filterwarnings("ignore", "JAXopt is no longer", DeprecationWarning)
            from ott.tools import sinkhorn_divergence
    except ImportError as error:
        raise ImportError(
            "tj.distances.sinkhorn_divergence needs ott-jax: pip install 'thermojax[transport]'"
        ) from error
    return sinkhorn_divergence
