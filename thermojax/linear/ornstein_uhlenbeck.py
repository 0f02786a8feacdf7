"""The linear Langevin equation, solved: transitions, stationary law, exact paths, their density.

Everything is a polynomial or a linear solve in the drift matrix: no eigenvalues of the drift are
taken, so that non-normal drifts, Jordan blocks and singular diffusions are ordinary cases, and so
are their gradients. A drift that is known to be symmetric, in noise that is the same in all
directions, is a diagonal drift seen from its eigenbasis; its gradients are taken the general way.
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from .._arguments import instance, is_real, real, whole
from .._component import AbstractComponent, Numbers, finite, floating, known, require
from .._keys import check_key
from ..system import Bath
from .matrix_equations import dot
from .process import (
    density,
    matrix,
    matrix_back,
    moments,
    principal,
    spectral_density,
    stationary_covariance,
    walk,
)


class OrnsteinUhlenbeck(AbstractComponent):
    r"""The linear process dx = -A (x - b) dt + D^(1/2) dW, solved exactly.

    D is the covariance that the noise adds per unit of time, so that the stationary covariance S
    solves A S + S A^T = D. A drift may be non-normal and D singular (underdamped motion). Where
    all three are numbers, the state has dimension 1.

    **Arguments:**

    - `drift`: A, 1 / time: a number, `(dim,)` for a diagonal, or a matrix `(dim, dim)`.
    - `shift`: b, the fixed point: a number or `(dim,)`.
    - `diffusion`: D: a number, `(dim,)` for a diagonal, or a symmetric positive semidefinite
      matrix `(dim, dim)`.

    **Raises:** ValueError for shapes that disagree, NaN, a diffusion that is asymmetric or
    indefinite. An unstable drift is refused by what needs a stationary law.

    Source: C. W. Gardiner, Handbook of Stochastic Methods, section 4.4.6.
    """

    drift: Float[Array, "..."]
    shift: Float[Array, "..."]
    diffusion: Float[Array, "..."]

    def __init__(self, drift: Numbers, shift: Numbers = 0.0, diffusion: Numbers = 1.0):
        self.drift, self.shift = floating(drift, "drift"), floating(shift, "shift")
        self.diffusion = floating(diffusion, "diffusion")
        sizes = set()
        for name, most in (("drift", 2), ("shift", 1), ("diffusion", 2)):
            shape = getattr(self, name).shape
            if len(shape) > most or len(set(shape)) > 1 or 0 in shape:
                expected = "a number, (dim,) or (dim, dim)" if most == 2 else "a number or (dim,)"
                raise ValueError(f"{name} has shape {shape}: expected {expected}")
            sizes.update(shape)
            value = known(getattr(self, name))
            if value is not None and not np.all(np.isfinite(value)):
                raise ValueError(f"{name} is not finite: expected numbers, found NaN or infinity")
        if len(sizes) > 1:
            raise ValueError(
                f"drift, shift and diffusion have shapes {self.drift.shape}, {self.shift.shape} "
                f"and {self.diffusion.shape}: expected one dimension for all, or plain numbers"
            )
        require_semidefinite("diffusion", self.diffusion)

    @classmethod
    def overdamped(cls, stiffness: Numbers, center: Numbers, bath: Bath) -> OrnsteinUhlenbeck:
        r"""The motion dx = -(K / gamma)(x - c) dt + sqrt(2 kT / gamma) dW in a quadratic well.

        **Arguments:** `stiffness` K, a number, `(dim,)` or `(dim, dim)`; `center` c, a number or
        `(dim,)`; `bath`, constant in time.
        """
        k, c = quadratic(stiffness, center)
        temperature, friction, _ = constants(bath)
        rows = friction[:, None] if k.ndim == 2 and jnp.ndim(friction) else friction
        return cls(k / rows, c, held_power(2 * temperature / friction))

    @classmethod
    def underdamped(cls, stiffness: Numbers, center: Numbers, bath: Bath) -> OrnsteinUhlenbeck:
        r"""Position and momentum in a quadratic well; the state is (x, p), `(2 dim,)`.

        dx = p/m dt,  dp = -K (x - c) dt - (gamma/m) p dt + sqrt(2 gamma kT) dW.

        **Arguments:** `stiffness` K, a number, `(dim,)` or `(dim, dim)`; `center` c, a number or
        `(dim,)`; `bath`, constant in time.
        """
        k, c = quadratic(stiffness, center)
        temperature, friction, mass = constants(bath)
        dim = max(x.shape[0] if x.ndim else 1 for x in (k, c, friction, mass))
        k, inverse_mass, rate = (matrix(x, dim) for x in (k, 1 / mass, friction / mass))
        zero = jnp.zeros((dim, dim), k.dtype)
        drift = jnp.block([[zero, -inverse_mass], [k, rate]])
        power = jnp.broadcast_to(held_power(2 * friction * temperature), (dim,))
        rest = jnp.zeros(dim, c.dtype)
        shift = jnp.concatenate([jnp.broadcast_to(c, (dim,)), rest])
        return cls(drift, shift, jnp.concatenate([rest, power]))

    @property
    def dim(self) -> int:
        """The number of coordinates."""
        sizes = [x.shape[0] for x in (self.drift, self.shift, self.diffusion) if x.ndim]
        return sizes[0] if sizes else 1

    @property
    def dtype(self):
        return jnp.result_type(self.drift, self.shift, self.diffusion)

    def transition(self, t: ArrayLike) -> tuple[Float[Array, "dim dim"], Float[Array, "dim dim"]]:
        r"""e^(-A t), and the covariance S(t) of x(t) given x(0).

        S(t) = int_0^t e^(-A s) D e^(-A^T s) ds: Taylor series of both over t / 2^m, then doubled m
        times, S(2t) = S + e^(-A t) S e^(-A^T t), a sum of positive parts that neither overflows nor
        cancels (Van Loan's block exponential does at long times).

        **Arguments:** `t`, a number, not negative.

        **Returns:** two arrays `(dim, dim)`. Cost: about 30 + 3 log2(|A| t) products of matrices.

        Source: C. Van Loan, IEEE Trans. Autom. Control 23, 395 (1978).
        """
        cure = "a time that is finite and not negative; use jax.vmap for many"
        real("t", t, cure, lambda t: np.isfinite(t) & (t >= 0))
        process, basis = principal(self)
        pair = moments(process, jnp.asarray(t, self.dtype))
        decay, covariance = (matrix_back(x, basis) for x in pair)
        self.require_held(covariance, t)
        return matrix(decay, self.dim), matrix(covariance, self.dim)

    def require_held(self, covariance, t=None) -> None:
        """**Raises:** ValueError for variances that the dtype cannot tell from nothing."""
        variances = known(covariance if covariance.ndim < 2 else jnp.diagonal(covariance))
        power = known(self.diffusion if self.diffusion.ndim < 2 else jnp.diagonal(self.diffusion))
        if variances is None or power is None or (t is not None and known(t) in (None, 0)):
            return
        lost = (variances < np.finfo(variances.dtype).tiny) & (power > 0)
        if np.any(lost) or np.any((power > 0) & ~np.isfinite(variances)):
            raise ValueError(
                f"the variances reach {np.min(variances):.3g} to {np.max(variances):.3g}, out of "
                f"the range of {variances.dtype.name}: take other units of length, or float64"
            )

    def mean_covariance(
        self, t: ArrayLike, mean0: Numbers, covariance0: Numbers = 0.0
    ) -> tuple[Float[Array, " dim"], Float[Array, "dim dim"]]:
        r"""The moments b + e^(-A t) (m - b) and e^(-A t) C e^(-A^T t) + S(t) at time t.

        **Arguments:** `t`, a number; `mean0` m, a number or `(dim,)`; `covariance0` C, a number,
        `(dim,)` or `(dim, dim)`: zero for a start at one point.

        **Returns:** the mean `(dim,)` and the covariance `(dim, dim)`.
        """
        decay, covariance = self.transition(t)
        mean0 = floating(mean0, "mean0")
        covariance0 = floating(covariance0, "covariance0")
        for name, value, most in (("mean0", mean0, 1), ("covariance0", covariance0, 2)):
            if value.ndim > most or set(value.shape) - {self.dim}:
                expected = ("", f", ({self.dim},)", f", ({self.dim},) or {(self.dim, self.dim)}")
                raise ValueError(
                    f"{name} has shape {value.shape}: expected a number{expected[most]}"
                )
            require(name, value, np.isfinite, "finite numbers")
        require_semidefinite("covariance0", covariance0)
        away = jnp.broadcast_to(mean0 - self.shift, (self.dim,))
        start = matrix(covariance0, self.dim)
        return self.shift + dot(decay, away), dot(dot(decay, start), decay.T) + covariance

    def stationary(self) -> tuple[Float[Array, " dim"], Float[Array, "dim dim"]]:
        r"""The mean b and the covariance S of the stationary law, A S + S A^T = D.

        **Returns:** `(dim,)` and `(dim, dim)`.

        **Raises:** ValueError for a drift with an eigenvalue whose real part is not positive.

        Cost: one LU decomposition and about 30 products of matrices. The gradient solves the
        adjoint Lyapunov equation. Source: R. A. Smith, SIAM J. Appl. Math. 16, 198 (1968).
        """
        require_stable(self.drift)
        mean = jnp.broadcast_to(self.shift, (self.dim,)).astype(self.dtype)
        process, basis = principal(self)
        covariance = matrix_back(stationary_covariance(process), basis)
        self.require_held(covariance)
        return mean, matrix(covariance, self.dim)

    def spectrum(self, frequency: Numbers) -> Complex[Array, "*frequencies dim dim"]:
        r"""The two-sided spectral density of the stationary law, whose integral is its covariance.

        S(f) = (A + 2 pi i f)^-1 D (A + 2 pi i f)^-H, the Fourier transform of <x(t) x(0)^T> less
        the mean, f from minus to plus infinity. The one-sided density of meters is twice as much.

        **Arguments:** `frequency` f, a number or `(frequencies,)`, 1 / time.

        **Returns:** `(dim, dim)` or `(frequencies, dim, dim)`, complex and Hermitian.

        **Raises:** ValueError for a drift with an eigenvalue whose real part is not positive.

        Cost: one LU decomposition per frequency. Source: C. W. Gardiner, Handbook of Stochastic
        Methods, section 4.4.6.
        """
        f = finite("frequency", frequency)
        if f.ndim > 1:
            raise ValueError(f"frequency has shape {f.shape}: expected a number or (frequencies,)")
        require_stable(self.drift)
        return spectral_density(self, f.astype(self.dtype))

    def sample(
        self,
        key: PRNGKeyArray,
        times: Numbers,
        batch: int,
        initial: Numbers | None = None,
    ) -> Float[Array, "times batch dim"]:
        r"""Exact paths: x_(i+1) = b + e^(-A h) (x_i - b) + S(h)^(1/2) z, h = t_(i+1) - t_i.

        Noise is a pure function of (key, time index, path, coordinate).

        **Arguments:** `key`; `times`, `(times,)`, increasing; `batch`, the number of paths;
        `initial`: positions at time 0, `(dim,)` or `(batch, dim)`, or None to draw the first
        position from the stationary law.

        **Returns:** `(times, batch, dim)`.

        **Raises:** ValueError for times that do not increase or, with `initial`, are negative; and
        without `initial` for an unstable drift.

        Cost: one transition (O(dim^3)) per distinct step, so one on a uniform grid; then two
        products of a matrix and a vector per path and step, those of the noise taken at once for
        all steps of a uniform grid. Diagonal drift and diffusion: O(dim) per step. Symmetric drift
        with a number for the diffusion, both known (not traced): one eigenbasis for all steps,
        O(dim) per step, and two products per path and step that are taken at once for all.
        """
        check_key(key)
        batch = whole("batch", batch, cure="the number of paths")
        place = None if initial is None else floating(initial, "initial")
        if place is None:
            require_stable(self.drift)
        elif place.shape not in {(self.dim,), (batch, self.dim)}:
            raise ValueError(
                f"initial has shape {place.shape}: expected ({self.dim},), or "
                f"({batch}, {self.dim}) for one position per path"
            )
        if place is not None:
            require("initial", place, np.isfinite, "finite numbers")
        first, steps, index = distinct_steps(times, place is not None)
        process, basis = principal(self)
        return walk(process, basis, key, first, steps, index, batch, place)

    def log_prob(self, path: Numbers, times: Numbers) -> Float[Array, "*batch"]:
        r"""The log-density of paths: stationary at the first time, then transition by transition.

        **Arguments:** `path`, `(times, dim)` or `(times, batch, dim)`, as `sample` returns;
        `times`, `(times,)`, increasing.

        **Returns:** a scalar, or `(batch,)`.

        **Raises:** ValueError for shapes that disagree, an unstable drift, and a covariance that is
        singular, where no density exists (while tracing, the result is then -inf).

        Cost: as `sample`.
        """
        path = floating(path, "path")
        require("path", path, np.isfinite, "finite numbers")
        if path.ndim not in (2, 3) or path.shape[-1] != self.dim:
            raise ValueError(
                f"path has shape {path.shape}: expected (times, {self.dim}) or "
                f"(times, batch, {self.dim})"
            )
        if np.shape(times) != path.shape[:1]:
            raise ValueError(
                f"times has shape {np.shape(times)}: expected {path.shape[:1]}, one per position"
            )
        require_stable(self.drift)
        _, steps, index = distinct_steps(times, False)
        many = path if path.ndim == 3 else path[:, None]
        process, basis = principal(self)
        value, regular = density(process, basis, many, steps, index)
        if (fine := known(regular)) is not None and not fine:
            raise ValueError(
                "diffusion leaves a direction without noise (to rounding), so that a path has no "
                "density: add noise to every direction, or take longer steps between the times"
            )
        return value if path.ndim == 3 else value[0]


# What is asked of the arguments.


def distinct_steps(times, started: bool):
    """(first time, distinct steps, which of them each step is); steps alike to rounding are one.

    A first time known to be 0 is None: no step leads to it.
    """
    if not eqx.is_array(times):
        times = np.asarray(floating(times, "times"), np.float64)
    elif not is_real(times):
        raise ValueError(f"times has dtype {times.dtype}: expected real numbers")
    if jnp.ndim(times) != 1 or jnp.shape(times)[0] == 0:
        raise ValueError(f"times has shape {jnp.shape(times)}: expected (times,), at least one")
    value = known(times)
    if value is None:
        return times[0], jnp.diff(times), np.arange(times.shape[0] - 1)
    kind = value.dtype if np.issubdtype(value.dtype, np.floating) else np.dtype(np.float64)
    value = value.astype(np.float64)
    steps = np.diff(value)
    if not np.all(np.isfinite(value)) or np.any(steps <= 0):
        raise ValueError("times do not increase: expected finite numbers, each above the last")
    if started and value[0] < 0:
        raise ValueError(f"times start at {value[0]:g}: expected 0 or later, as initial is at 0")
    first = np.asarray(value[0]) if value[0] else None
    tolerance = 4 * float(np.finfo(kind).eps) * np.max(np.abs(value))
    if steps.size and np.ptp(steps) <= tolerance:
        return first, np.mean(steps, keepdims=True), np.zeros(steps.size, int)
    _, index = np.unique(np.round(steps / tolerance), return_inverse=True)
    return first, np.bincount(index, steps) / np.bincount(index), index


def quadratic(stiffness: Numbers, center: Numbers):
    """K and c of a quadratic well, of one dimension."""
    k, c = finite("stiffness", stiffness), finite("center", center)
    if k.ndim > 2 or c.ndim > 1 or len(set((*k.shape, *c.shape))) > 1 or 0 in (*k.shape, *c.shape):
        raise ValueError(
            f"stiffness has shape {k.shape} and center {c.shape}: expected a number, (dim,) or "
            "(dim, dim), and a number or (dim,)"
        )
    return k, c


def held_power(power):
    """The power of the noise, which is not zero at a temperature that is not."""
    value = known(power)
    if value is not None and not np.all(np.isfinite(value) & (value > np.finfo(value.dtype).tiny)):
        raise ValueError(
            f"the diffusion is {value}, out of the range of {value.dtype.name}: take other units, "
            "or float64"
        )
    return power


def constants(bath: Bath):
    """(temperature, friction, mass) of a bath that does not change in time."""
    instance("bath", bath, Bath, "a tj.Bath(...)")
    members = {name: getattr(bath, name) for name in ("temperature", "friction", "mass")}
    for name, value in members.items():
        if not eqx.is_array(value) or value.ndim > 1:
            raise ValueError(
                f"bath.{name} is a {type(value).__name__}: expected a constant, a number or (dim,)"
            )
    return tuple(members.values())


def require_semidefinite(name: str, matrix) -> None:
    """Not negative, or symmetric positive semidefinite; skipped while tracing."""
    value = known(matrix)
    if value is None:
        return
    rounding = 10 * np.finfo(value.dtype).eps
    if value.ndim < 2:
        lowest = np.min(value)
    else:
        asymmetry = np.max(np.abs(value - value.T))
        if asymmetry > rounding * np.max(np.abs(value)):
            raise ValueError(
                f"{name} is not symmetric (largest |D - D^T| = {asymmetry:.3g}): pass (D + D.T) / 2"
            )
        if positive_definite(value):
            return
        eigenvalues = np.linalg.eigvalsh(value)
        lowest = eigenvalues[0]
        if -lowest <= len(value) * rounding * eigenvalues[-1]:
            return
    if lowest < 0:
        raise ValueError(
            f"{name} has the {'eigenvalue' if value.ndim == 2 else 'value'} {lowest:.3g}: "
            "expected positive or zero, as it is a covariance per unit of time"
        )


def require_stable(drift) -> None:
    """All eigenvalues in the right half plane; skipped while tracing."""
    value = known(drift)
    if value is None:
        return
    if value.ndim == 2:
        if positive_definite(value + value.T):  # suffices, and costs next to nothing
            return
        value = np.linalg.eigvals(value)
    worst = np.ravel(value)[np.argmin(np.real(value))]
    if not np.real(worst) > 0:
        raise ValueError(
            f"drift has the eigenvalue {worst:.3g}: expected positive real parts, without which "
            "there is no stationary law; check its sign in dx = -drift (x - shift) dt, or give "
            "`sample` an initial position"
        )


def positive_definite(value: np.ndarray) -> bool:
    try:
        np.linalg.cholesky(value)
    except np.linalg.LinAlgError:
        return False
    return True
