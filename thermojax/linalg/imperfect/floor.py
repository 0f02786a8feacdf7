"""The error that imperfections of a device leave, however long it averages."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._arguments import flag, instance, real, whole
from ..._component import Numbers, finite, positive
from ..device.exact import modes_of
from ..device.operator import require_known, square
from .imperfections import Imperfections, rounded, rounding_variance, spacing_of
from .readout import (
    Readout,
    clipping_bias,
    clipping_second_moments,
    flicker_moments,
    flicker_variance,
    quantizer_bias,
    quantizer_second_moment,
    readout_of,
)

FINER = (
    "extrapolate=True programs numbers that input_bits cannot tell apart: expected input_bits=None,"
    " or copies= with rounding='random', which averages rounding out"
)
# The variance of 2 x_0 - (x_+ + x_-) / 2 in units of that of one of them.
EXTRAPOLATED = 4.5


def floor(
    A: Any,
    b: Numbers | None = None,
    *,
    imperfections: Imperfections,
    time: float | None = None,
    wait: float = 0.0,
    copies: int = 1,
    trajectories: int = 1,
    extrapolate: bool = False,
    temperature: float = 1.0,
) -> Array:
    r"""The root mean square error that imperfections leave in `solve`, or in `inv` without b.

    With x = A^-1 b, C = A^-1, and S the variances of the entries of A, to second order

        x' - x = C (db - dA x) + C dA C dA x,     A'^-1 - C = -C dA C + C dA C dA C:

    the first term is random, of a variance that falls with the number of copies; the mean of the
    second, C M x and C M C with M = S * C + diag(S diag(C)) - diag(S * C), stays. The mean of
    deterministic rounding stays, too. Read-outs add the average of 1/f noise and drift over `time`,
    what quantization leaves after its dither, what is lost beyond their range (between different
    coordinates of an inverse to first order in their correlation), and in inverses the variance of
    all noise.

    **Arguments:** as `tj.linalg.solve`, and `wait`, the time from programming to the first sample.
    Without `time` the noise and drift that depend on it are left out.

    **Returns:** the floor of every entry, `(dim,)` or `(dim, dim)`.

    **Raises:** ValueError for a matrix that is not symmetric positive definite, as it is or as it
    is rounded. **Cost:** an inversion; of inverses O(dim^4) where components are wrong.

    Source: the first order is textbook (Golub, Van Loan, Matrix Computations, 2.6); that the mean
    over random roundings is right to second order, M. Aifer et al., arXiv 2401.16231 (2024); M, and
    what the read-outs add, are derived here.
    """
    instance("imperfections", imperfections, Imperfections, "a tj.linalg.Imperfections(...)")
    if time is not None:
        real("time", time, "a positive time of the average, or None", positive)
    real("wait", wait, "a time from programming on, 0 or more", lambda t: (t >= 0) & (t < math.inf))
    real("temperature", temperature, "a positive kT", positive)
    copies = whole("copies", copies, cure="programmed each on its own")
    trajectories = whole("trajectories", trajectories, cure="devices side by side")
    checked_extrapolation(imperfections, extrapolate)
    require_known(A=A, b=b, time=time, wait=wait, temperature=temperature)
    matrix = square("A", A)
    field = None if b is None else jnp.atleast_1d(finite("b", b)).astype(matrix.dtype)
    if field is not None and field.shape != matrix.shape[:1]:
        raise ValueError(f"b has shape {field.shape}: expected {matrix.shape[:1]}, as rows of A")
    modes_of(matrix)
    of = floor_of_inverse if field is None else floor_of_solution
    kt = jnp.asarray(temperature, matrix.dtype)
    times = None if time is None else (float(wait), float(time))
    return of(imperfections, matrix, field, kt, times, copies, trajectories, extrapolate)


def checked_extrapolation(imperfections: Imperfections, extrapolate: bool) -> None:
    if flag("extrapolate", extrapolate) and imperfections.input_bits is not None:
        raise ValueError(FINER)


def mean_program(imperfections: Imperfections, A: Array) -> Array:
    """A as the mean of its programs. **Raises:** ValueError where that is not positive definite."""
    if imperfections.input_bits is None or imperfections.rounding == "random":
        return A
    nearest = rounded(A, spacing_of(imperfections, A), 0.5)
    if float(jnp.linalg.eigvalsh(nearest)[0]) <= 0:
        raise ValueError(
            f"input_bits = {imperfections.input_bits}: A is no longer positive definite when "
            "rounded; expected more bits, or A plus a multiple of the identity"
        )
    return nearest


def entry_variances(imperfections: Imperfections, mean: Array, given: Array) -> Array:
    """The variances of programmed numbers whose mean is `mean`, rounded from `given`."""
    random = rounding_variance(imperfections, given)
    return random + imperfections.component_error**2 * (mean**2 + random)


def second_order(S: Float[Array, "dim dim"], C: Float[Array, "dim dim"]) -> Array:
    """M = E[dA C dA] of a symmetric dA whose entries, independent otherwise, have variances S."""
    return S * C + jnp.diag(S @ jnp.diag(C) - jnp.diag(S) * jnp.diag(C))


def floor_of_solution(
    imperfections: Imperfections, A, b, kt, times, copies, trajectories, extrapolate
) -> Array:
    mean, field = mean_program(imperfections, A), b
    nearest = imperfections.input_bits if imperfections.rounding == "nearest" else None
    if nearest is not None:
        field = rounded(b, spacing_of(imperfections, b), 0.5)
    S, s = entry_variances(imperfections, mean, A), entry_variances(imperfections, field, b)
    C = jnp.linalg.inv(mean)
    x = C @ field
    # Without rounding it is the same solution, but for the rounding of this computation.
    off = jnp.zeros_like(x) if nearest is None else x - jnp.linalg.solve(A, b)
    if not extrapolate:
        off = off + C @ second_order(S, C) @ x
    # db - dA x, where dA_ij = dA_ji makes the entries i and j depend on each other.
    R = jnp.diag(s + S @ x**2) + (S - jnp.diag(jnp.diag(S))) * jnp.outer(x, x)
    variance = jnp.sum((C @ R) * C, axis=1) / copies
    readout = readout_of(imperfections, A.dtype)
    spread = kt * (1 + imperfections.excess_temperature) * jnp.diag(C) + readout.white**2
    off = off + quantizer_bias(readout, x, spread) + clipping_bias(readout, x, spread)
    if times is not None:
        wait, time = times
        off = off + readout.drift * (wait + time / 2)
        meters = copies * trajectories / (EXTRAPOLATED if extrapolate else 1)
        variance = variance + flicker_variance(readout, time) / meters
    return jnp.sqrt(off**2 + variance)


def floor_of_inverse(
    imperfections: Imperfections, A, _, kt, times, copies, trajectories, extrapolate
) -> Array:
    mean = mean_program(imperfections, A)
    S = entry_variances(imperfections, mean, A)
    C, hotter = jnp.linalg.inv(mean), 1 + imperfections.excess_temperature
    off = hotter * C - jnp.linalg.inv(A)
    variance = jnp.zeros_like(A)
    if imperfections.component_error or imperfections.rounding == "random":
        if not extrapolate:
            off = off + hotter * C @ second_order(S, C) @ C
        variance = hotter**2 * inverse_variances(S, C) / copies
    readout = readout_of(imperfections, A.dtype)
    moved, noisy = read_inverse(readout, hotter * kt * C, times)
    meters = copies * trajectories / (EXTRAPOLATED if extrapolate else 1)
    return jnp.sqrt((off + moved / kt) ** 2 + variance + noisy / (kt**2 * meters))


@jax.jit
def inverse_variances(S: Float[Array, "dim dim"], C: Float[Array, "dim dim"]) -> Array:
    """The variances of the entries of C dA C: of each of them a quadratic form of S."""
    beside = S - jnp.diag(jnp.diag(S))

    def row(c):
        both = C * c  # (b, i): C_ai C_bi
        return jnp.sum((both @ beside) * both, axis=1)

    return C**2 @ S @ C**2 + jax.lax.map(row, C)


def read_inverse(readout: Readout, covariance: Array, times) -> tuple[Array, Array]:
    """The mean that meters add to the second moments, and the variance of 1/f noise in it."""
    eye = jnp.eye(len(covariance), dtype=covariance.dtype)
    seen = jnp.diag(covariance) + readout.white**2
    off = eye * (readout.white**2 + quantizer_second_moment(readout, seen))
    off = off + clipping_second_moments(readout, covariance, seen)
    if times is None:
        return off, jnp.zeros_like(eye)
    wait, time = times
    square, variance = flicker_moments(readout, time)
    # The mean square of r t from `wait` on; the same offset in all meters.
    drifted = readout.drift**2 * (wait**2 + wait * time + time**2 / 3)
    return off + eye * square + drifted, variance * (1 + eye)
