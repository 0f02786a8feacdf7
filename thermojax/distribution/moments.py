"""The exact Gaussian picture: mean and covariance under any protocol, with the whole ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import whole
from .._component import floating, known, require, shown
from ..distances.gaussian import kl_between, require_covariance
from ..execution import require_within
from ..potential import LOG_2PI
from ..sampling import Equilibrium, template_of
from ..system import AbstractSystem, check_system
from .ledger import EnsembleLedger
from .linear import Forces, LinearLangevin, Quadratic, linear_langevin
from .undeclared import control_integral
from .verdict import Verdict, require_exact, require_scales, warn_of_large_constant

MAX_STEPS = 2**14
FIRST_STEP = 1e-3  # of the duration


class Moments(eqx.Module):
    """The Gaussian law through time, from `tj.moments`.

    `mean` `(times, n)` and `covariance` `(times, n, n)` of the position, flattened, and on an
    underdamped system of the momentum after it: n is the dimension or twice that. `ledger`: a
    `tj.EnsembleLedger` of arrays `(times,)`.
    """

    mean: Float[Array, "times n"]
    covariance: Float[Array, "times n n"]
    ledger: EnsembleLedger

    @property
    def times(self) -> Float[Array, " times"]:
        return self.ledger.times

    def log_density(self, index: int) -> Callable:
        """ln rho at `times[index]`, a function of one position, underdamped of (x, p)."""
        mean, covariance = self.mean[index], self.covariance[index]

        def log_density(*z):
            z = jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(z)])
            return jax.scipy.stats.multivariate_normal.logpdf(z, mean, covariance)

        return log_density


class GaussianAccount(eqx.Module):
    """The state of the integration: the law, and the work and heat so far."""

    mean: Array
    covariance: Array
    work: Array
    heat: Array
    bath_entropy: Array
    control: Array  # the integral over time so far, in units of the duration and of its size


@eqx.filter_jit
def solve_moments(langevin: LinearLangevin, times, mean, covariance, time_steps):
    """The moments of z, and the verdict on them; NaN where it is not passed."""
    protocol, d = langevin.system.protocol, len(langevin.origin)
    start, duration = jnp.zeros_like(protocol.duration), protocol.duration
    before, opening = langevin.parameters_outside("initial")[:2], langevin.parameters_at(start)[:2]
    start_energy = average(langevin, langevin.energy(*before, mean[:d]), mean, covariance)
    start_entropy = gaussian_entropy(covariance)
    zero = jnp.zeros((), mean.dtype)
    wanted_integral, rough, size = control_integral(protocol)

    y = GaussianAccount(mean, covariance, zero, zero, zero, jnp.zeros_like(wanted_integral))
    y = after_jump(langevin, y, before, opening)
    kicks = protocol.impulses()
    if kicks is not None:
        y = after_kick(langevin, y, kicks[0], start)

    def rate(t, y, args):
        place, control = y.mean[:d], protocol(t)
        energy, change = langevin.energy_and_rate(t, place)
        forces = langevin.forces(energy, control, place)
        matrix, constant, spread = langevin.equation(t, forces)
        grown = matrix @ y.covariance
        work, heat = power_and_heat(langevin, t, forces, y)
        work = work + average(langevin, change, y.mean, y.covariance)
        return GaussianAccount(
            matrix @ langevin.relative_to(y.mean, place) + constant,
            grown + grown.T + 2 * spread,
            work,
            heat,
            heat / langevin.temperature(t),
            jax.lax.stop_gradient(control / size / duration),
        )

    breaks, jumps = protocol.events(), protocol.jumps()
    wanted = jnp.clip(times, 0, duration)
    if time_steps is None:
        good, along, end, crossed = adaptive(rate, y, wanted, duration, breaks, jumps)
    else:
        good, along, end, crossed = fixed(rate, y, duration, breaks, jumps, time_steps)
    if jumps is not None and crossed is not None:  # they do work beside the rate

        def work_of_jump(t, before, after, y: GaussianAccount):
            mass = langevin.mass(t)
            return after_jump(langevin, y, (before, mass), (after, mass)).work - y.work

        spent = jax.vmap(work_of_jump)(*jumps, crossed)
        past = jnp.sum(jnp.where(jumps[0] <= wanted[:, None], spent, 0), axis=1)
        along = eqx.tree_at(lambda y: y.work, along, along.work + past)
        end = eqx.tree_at(lambda y: y.work, end, end.work + jnp.sum(spent))
    if kicks is not None:
        end = after_kick(langevin, end, kicks[1], duration)
    after = langevin.parameters_outside("final")[:2]
    end = after_jump(langevin, end, langevin.parameters_at(duration)[:2], after)
    last = times >= duration
    eps = float(jnp.finfo(mean.dtype).eps)
    unit, widths = langevin.units.energy, jnp.sum(jnp.log(langevin.scale))

    def one(t, y: GaussianAccount, last):
        y = jax.tree.map(lambda a, b: jnp.where(last, a, b), end, y)
        place = y.mean[:d]
        choose = lambda a, b: jnp.where(last, a, b)
        control, mass, temperature = map(
            choose, langevin.parameters_outside("final"), langevin.parameters_at(t)
        )
        energy = langevin.energy(control, mass, place)
        center, width, equilibrium = energy.equilibrium(temperature)
        centered = langevin.relative_to(y.mean, place)
        mean_energy, entropy = energy.mean(centered, y.covariance), gaussian_entropy(y.covariance)
        divergence = kl_between(centered, y.covariance, center, width)
        off = mean_energy - start_energy - (y.work - y.heat)
        rounding = 16 * eps * (jnp.abs(mean_energy) + jnp.abs(start_energy))
        sizes = len(mean) + jnp.abs(y.work) + jnp.abs(y.heat)
        found = Moments(
            langevin.offset + langevin.scale * y.mean,
            langevin.scale[:, None] * y.covariance * langevin.scale,
            EnsembleLedger(
                t,
                unit * y.work,
                unit * y.heat,
                unit * mean_energy,
                entropy + widths,
                unit * (mean_energy - temperature * (entropy + widths)),
                unit * (equilibrium - temperature * widths),
                divergence,
                y.bath_entropy,
                entropy - start_entropy + y.bath_entropy,
            ),
        )
        return found, jnp.maximum(jnp.abs(off) - rounding, 0) / sizes

    found, off = jax.vmap(one)(times, along, last)
    missed = jnp.max(jnp.maximum(jnp.abs(end.control - wanted_integral) - rough, 0))
    verdict = jax.lax.stop_gradient(Verdict(jnp.asarray(good), jnp.max(off), missed))
    fine = verdict.passed(mean.dtype, time_steps)
    return jax.tree.map(lambda leaf: jnp.where(fine, leaf, jnp.nan), found), verdict


def average(langevin: LinearLangevin, energy: Quadratic, mean, covariance):
    """<H> of a quadratic in z relative to the mean position."""
    return energy.mean(langevin.relative_to(mean, mean[: len(langevin.origin)]), covariance)


def adaptive(rate, y: GaussianAccount, times, duration, breaks, jumps):
    """(whether it finished, y at `times`, at the end, and at the jumps), to rounding."""
    exact = 1e-12 if y.mean.dtype == jnp.float64 else 1e-6
    controller = dfx.PIDController(rtol=exact, atol=exact)
    if breaks is not None:
        controller = dfx.ClipStepSizeController(controller, jump_ts=jax.lax.stop_gradient(breaks))
    saved = [dfx.SubSaveAt(ts=times, t1=True)]
    if jumps is not None:
        saved.append(dfx.SubSaveAt(ts=jumps[0]))
    solution = dfx.diffeqsolve(
        dfx.ODETerm(rate),
        dfx.Dopri8(),
        jnp.zeros_like(duration),
        duration,
        FIRST_STEP * duration,  # diffrax's own choice knows seconds only
        y,
        saveat=dfx.SaveAt(subs=saved),
        stepsize_controller=controller,
        max_steps=MAX_STEPS,
        throw=False,
    )
    assert solution.ys is not None
    path, *crossed = solution.ys
    along, end = (jax.tree.map(lambda leaf, p=p: leaf[p], path) for p in (slice(-1), -1))
    good = solution.result == dfx.RESULTS.successful
    return good, along, end, crossed[0] if crossed else None


def fixed(rate, y: GaussianAccount, duration, breaks, jumps, time_steps: int):
    """(True, y at 0 and the end, y at the end, y at the jumps), by `time_steps` or more Runge-Kutta
    steps of fourth order.

    Every interval between two breaks gets equally many, so that the order is kept across them.
    """
    zero, one = jnp.zeros_like(duration)[None], duration[None]
    edges = jnp.concatenate([zero, one] if breaks is None else [zero, breaks, one])
    each = -(-time_steps // (len(edges) - 1))
    fraction = jnp.arange(each, dtype=edges.dtype) / each
    starts = (edges[:-1, None] + jnp.diff(edges)[:, None] * fraction).ravel()
    h = jnp.repeat(jnp.diff(edges) / each, each)
    # The four stages: time, weight of the last slope in the next state, weight in the step. Just
    # inside of the step, where a control that jumps at its ends is that of the step.
    skin = 1e-9 if edges.dtype == jnp.float64 else 1e-4
    stages = [(skin, 0.5, 1 / 6), (0.5, 0.5, 1 / 3), (0.5, 1.0, 1 / 3), (1 - skin, 0.0, 1 / 6)]
    stages = tuple(jnp.asarray(column, edges.dtype) for column in zip(*stages, strict=True))

    def step(y, slot):
        t, h = slot
        move = lambda y, k, c: jax.tree.map(lambda a, b: a + c * h * b, y, k)

        def stage(both, coefficients):  # a loop, for the rate is much to compile
            at, total = both
            place, ahead, weight = coefficients
            slope = rate(t + place * h, at, None)
            return (move(y, slope, ahead), move(total, slope, weight)), None

        (_, total), _ = jax.lax.scan(stage, (y, y), stages)
        return total, None if jumps is None else total

    end, path = jax.lax.scan(step, y, (starts, h))
    along = jax.tree.map(lambda a, b: jnp.stack([a, b]), y, end)
    if jumps is None:
        return True, along, end, None
    places = jnp.searchsorted(starts, jumps[0] - h[0] / 2)
    return True, along, end, jax.tree.map(lambda leaf: leaf[places - 1], path)


def gaussian_entropy(covariance):
    """ln det(2 pi e S) / 2; minus infinity for a singular covariance."""
    sign, logdet = jnp.linalg.slogdet(covariance)
    logdet = jnp.where(sign > 0, logdet, -jnp.inf)
    return 0.5 * (len(covariance) * (LOG_2PI + 1) + logdet)


def after_jump(langevin: LinearLangevin, y: GaussianAccount, before, after) -> GaussianAccount:
    """The state after (control, mass) has jumped at a fixed law: the change of <H> is work."""
    change = langevin.energy_change(before, after, y.mean[: len(langevin.origin)])
    work = average(langevin, change, y.mean, y.covariance)
    return eqx.tree_at(lambda y: y.work, y, y.work + work)


def after_kick(langevin: LinearLangevin, y: GaussianAccount, strength, t) -> GaussianAccount:
    """The state after a momentum kick, an affine map of the law: the change of <H> is work."""
    matrix, constant = langevin.momentum_kick(strength)
    map_ = jnp.eye(len(y.mean), dtype=y.mean.dtype) - matrix
    mean, covariance = map_ @ y.mean - constant, map_ @ y.covariance @ map_.T
    energy = langevin.at(t, y.mean[: len(langevin.origin)])
    work = average(langevin, energy, mean, covariance) - average(
        langevin, energy, y.mean, y.covariance
    )
    return GaussianAccount(mean, covariance, y.work + work, y.heat, y.bath_entropy, y.control)


def power_and_heat(langevin: LinearLangevin, t, forces: Forces, y: GaussianAccount):
    r"""(dW/dt of the drive, <f o dx/dt>, and dQ/dt), forces being those about the mean position.

    Q overdamped: <F o dx/dt> = sum_i (<F_i^2> + kT dF_i/dx_i) / gamma_i with the total force F
    (Sekimoto); underdamped: sum_i (gamma_i / m_i) (<p_i^2> / m_i - kT).
    """
    d = len(langevin.origin)
    width = y.covariance[:d, :d]
    temperature, rates = langevin.temperature(t), langevin.coefficients(t)
    force, push = forces.constant, forces.drive_constant
    matrix, jacobian = forces.matrix, forces.drive_matrix
    if langevin.overdamped:
        mobility, _, _ = rates
        square = force**2 + jnp.sum((matrix @ width) * matrix, axis=1)
        heat = jnp.sum((square + temperature * jnp.diagonal(matrix)) * mobility)
        both = push * force + jnp.sum((jacobian @ width) * matrix, axis=1)
        return jnp.sum((both + temperature * jnp.diagonal(jacobian)) * mobility), heat
    p, (velocity, thrust, damping) = y.mean[d:], rates
    square = (p**2 + jnp.diagonal(y.covariance)[d:]) * (velocity / thrust)  # p^2 / m
    heat = jnp.sum(damping * (square - temperature))
    both = push * p + jnp.sum(jacobian * y.covariance[d:, :d], axis=1)
    return jnp.sum(both * velocity), heat


def moments(
    system: AbstractSystem, times: Any, initial: Any = None, *, time_steps: int | None = None
) -> Moments:
    r"""Mean and covariance of a quadratic system through time, exactly, with the whole ledger.

    With U quadratic in x (its curvature, center and offset driven in any way) the law stays
    Gaussian, z = x overdamped and z = (x, p) underdamped,

        d mean/dt = A mean + a,     dC/dt = A C + C A^T + 2 D,

    integrated with the work and the heat at a relative error of 1e-12 in float64 (1e-6 in
    float32). Schedules in the bath, jumps, kicks and a linear drive are included.

    **Arguments:**

    - `system`: a `tj.Overdamped` or `tj.Underdamped` with a quadratic potential.
    - `times`: `(times,)` within the run, not decreasing, or a number of evenly spaced ones. At 0
      after the first jump, at the end after the last, as in `tj.simulate`.
    - `initial`: None or `tj.Equilibrium(template)`, the equilibrium before the first jump; or a
      pair (mean, covariance) of the position (momenta thermal) or of all of phase space.
    - `time_steps`: steps of a fourth-order method, at least so many, instead of adaptive ones of
      eighth order. It compiles in a fraction of the time, which suits training. For `times=2`.

    **Returns:** a `tj.Moments`. Differentiable in every array of the system.

    **Raises:** ValueError for a potential that is not quadratic, has no equilibrium, a covariance
    that is not one, times outside of the run, or equations too stiff to finish.

    **Cost:** O(n^3) per evaluation, some ten to a hundred steps of an eighth-order method per
    relaxation time.

    **Source:** H. Risken, The Fokker-Planck Equation (1989), section 6.5; K. Sekimoto, Stochastic
    Energetics (2010), chapter 4, for the heat.
    """
    check_system(system)
    if time_steps is not None:
        time_steps = whole("time_steps", time_steps)
        if not isinstance(times, int | np.integer) or times != 2:
            raise ValueError(
                f"times = {shown(times)}: with time_steps only times=2, the start and the end"
            )
    times = checked_times(times, system.protocol.duration)
    langevin = linear_langevin(system, find_template(system, initial))
    mean, covariance = starting_law(langevin, initial)
    result, verdict = solve_moments(langevin, times, mean, covariance, time_steps)
    require_scales(langevin.scale)
    require_exact(system, result, verdict, MAX_STEPS, time_steps)
    lowest = result.ledger.energy, langevin.units.energy, result.mean.dtype
    warn_of_large_constant(*lowest, "the energies")
    return result


def find_template(system: AbstractSystem, initial):
    """One position: from `initial`, or from the potential."""
    pair = initial if isinstance(initial, tuple | list) and len(initial) == 2 else None
    if initial is not None and pair is None and not isinstance(initial, Equilibrium):
        raise ValueError(
            f"initial = {shown(initial)}: expected tj.Equilibrium(template), a pair (mean, "
            "covariance), or None for the equilibrium before the first jump"
        )
    template = template_of(system, initial)
    if template is None and pair is not None and np.ndim(pair[0]) == 1:
        template = jnp.zeros_like(floating(pair[0]))  # a law of the position alone
    if template is None:
        raise ValueError(
            f"nothing says what a position of {type(system.potential).__name__} looks like: pass "
            "initial=tj.Equilibrium(jnp.zeros(dim)), or a pair (mean, covariance)"
        )
    return template


def checked_times(times, duration):
    if isinstance(times, int | np.integer) and not isinstance(times, bool):
        if not 2 <= times < 2**31:
            raise ValueError(
                f"times = {shown(times)}: expected at least 2 and below 2^31, or an array of times"
            )
        return jnp.linspace(0, 1, int(times), dtype=duration.dtype) * duration
    times = jnp.atleast_1d(floating(times, "times"))
    if times.ndim > 1 or times.size == 0:
        raise ValueError(f"times has shape {times.shape}: expected (times,), at least one")
    require("times", times, np.isfinite, "finite times")
    values, length = known(times), known(duration)
    if values is not None and length is not None:
        require_within("times", values, float(length))
    return times.astype(duration.dtype)  # float64 lists for a system in float32, say


@eqx.filter_jit
def equilibrium_before(langevin: LinearLangevin):
    """Mean and covariance of the equilibrium before the first jump, of z."""
    control, mass, temperature = langevin.parameters_outside("initial")
    mean, covariance, _ = langevin.energy(control, mass).equilibrium(temperature)
    return mean, covariance


def starting_law(langevin: LinearLangevin, initial):
    """Mean and covariance of z before the first jump."""
    mean, covariance = equilibrium_before(langevin)
    if initial is None or isinstance(initial, Equilibrium):
        value = known(covariance)
        if value is not None and not np.all(np.isfinite(value)):
            raise ValueError(
                f"{type(langevin.system.potential).__name__} has no equilibrium at the protocol's "
                f"start (control {langevin.system.protocol.initial}): its curvature must be "
                "positive; pass initial=(mean, covariance) to start elsewhere"
            )
        return mean, covariance
    given_mean, given = (
        floating(x, f"the {name} of initial")
        for name, x in zip(("mean", "covariance"), initial, strict=True)
    )
    d, n = len(langevin.origin), len(mean)
    if given_mean.shape not in ((d,), (n,)) or given.shape != given_mean.shape * 2:
        raise ValueError(
            f"initial has a mean of shape {given_mean.shape} and a covariance of shape "
            f"{given.shape}: expected ({d},) and ({d}, {d})"
            + ("" if n == d else f", or ({n},) and ({n}, {n}) for all of phase space")
        )
    require("initial mean", given_mean, np.isfinite, "finite numbers")
    require_covariance("initial covariance", given, singular=True)
    scale = langevin.scale[: len(given_mean)]
    given_mean = (given_mean - langevin.offset[: len(scale)]) / scale
    given = given / scale / scale[:, None]
    if len(given_mean) == n:
        return given_mean, given
    return (
        mean.at[:d].set(given_mean),
        jax.scipy.linalg.block_diag(given, covariance[d:, d:]),
    )
