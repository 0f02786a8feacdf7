"""What an extrapolation from kT and kT / 2 to 0 leaves of the displacement that walls cause."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from .box import Box


def left_of_temperature(
    box: Box,
    value: Float[np.ndarray, " dim"],
    difference: Float[np.ndarray, " dim"],
    force: Float[np.ndarray, " dim"],
    stiffness: Float[np.ndarray, " dim"],
    kt: float,
) -> Float[np.ndarray, " dim"]:
    r"""How far the extrapolated mean of each coordinate is from the minimum, about.

    While the others rest, a coordinate is a Gaussian of variance kT / k about mu = x + f / k that
    its walls cut off. The mean m(kT) of that is known, and with it

        left = 2 m(kT/2) - m(kT) - m(0),    seen = m(kT) - m(kT/2).

    Coordinates that are coupled to others follow them: what is left of theirs is to the difference
    that has been measured as `left` is to `seen`, in the root mean square over all walls. The larger
    one of both is taken.

    **Arguments:** `value`, the extrapolated mean x; `difference`, of the means at kT and kT / 2;
    `force`, f = b - A x; `stiffness`, k, the diagonal of A.
    """
    lower, upper = (np.asarray(x, float) for x in (box.lower, box.upper))
    middle = value + force / stiffness
    warm, cold = (cut_off(lower, upper, middle, np.sqrt(t / stiffness)) for t in (kt, kt / 2))
    left = np.abs(2 * cold - warm - np.clip(middle, lower, upper))
    seen = np.linalg.norm(warm - cold)
    share = np.linalg.norm(left) / seen if seen > 0 else 0.0
    return np.maximum(left, share * np.abs(difference))


def cut_off(lower, upper, middle, width) -> np.ndarray:
    """The mean of a Gaussian about `middle` between two walls.

    mu + s (phi(a) - phi(b)) / (Phi(b) - Phi(a)), and by its logarithms where both are tails.
    """
    from scipy import special

    a, b = (lower - middle) / width, (upper - middle) / width
    flip = a + b < 0  # the tail that is nearer to the walls has the digits
    a, b = np.where(flip, -b, a), np.where(flip, -a, b)
    log_density = lambda z: -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    log_a, log_b = special.log_ndtr(-a), special.log_ndtr(-b)
    inside = log_a + np.log1p(-np.exp(np.minimum(log_b - log_a, -1e-300)))
    mean = np.exp(log_density(a) - inside) - np.exp(log_density(b) - inside)
    return np.clip(middle + np.where(flip, -1, 1) * width * mean, lower, upper)
