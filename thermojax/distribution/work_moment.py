"""Exact exponential averages of the work on quadratic systems, and where they are infinite."""

from __future__ import annotations

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import real
from .._component import known
from ..potential import LOG_2PI
from ..protocol import AbstractProtocol, require_no_jumps
from ..system import AbstractSystem, check_system
from .linear import LinearLangevin, Quadratic, linear_langevin
from .moments import FIRST_STEP, MAX_STEPS, find_template, starting_law
from .undeclared import control_integral
from .verdict import require_declared_jumps, verdict_tolerances


class Tilted(eqx.Module):
    """The density exp(-z^T P z / 2 + eta . z + c), which need not be normalizable."""

    precision: Array
    eta: Array
    constant: Array

    def times_exponential(self, energy: Quadratic, factor) -> Tilted:
        """The density times exp(factor * energy)."""
        return Tilted(
            self.precision - factor * energy.matrix,
            self.eta + factor * energy.linear,
            self.constant + factor * energy.constant,
        )

    def log_mass(self):
        """ln of the integral; infinite unless the precision is positive definite."""
        root = jnp.linalg.cholesky(self.precision)
        white = jax.scipy.linalg.solve_triangular(root, self.eta, lower=True)
        logdet = 2 * jnp.sum(jnp.log(jnp.diagonal(root)))
        mass = self.constant + 0.5 * (white @ white + len(self.eta) * LOG_2PI - logdet)
        return jnp.where(jnp.all(jnp.isfinite(root)), mass, jnp.inf)


@eqx.filter_jit
def solve_log_moment(langevin: LinearLangevin, order, mean, covariance):
    protocol, before = langevin.system.protocol, langevin.parameters_outside("initial")
    after = langevin.parameters_outside("final")
    weight = -order / before[2]
    precision = jnp.linalg.inv(covariance)
    eta = precision @ mean
    logdet = jnp.linalg.slogdet(covariance)[1]
    constant = -0.5 * (mean @ eta + len(mean) * LOG_2PI + logdet)
    start, end = jnp.zeros_like(protocol.duration), protocol.duration
    wanted, rough, size = control_integral(protocol)

    def jumped(y, before, after):
        return y.times_exponential(langevin.energy_change(before[:2], after[:2]), weight)

    def rate(t, state, args):
        y, _ = state
        control = protocol(t)
        energy, change = langevin.energy_and_rate(t)
        matrix, drift, spread = langevin.equation(t, langevin.forces(energy, control))
        p, eta = y.precision, y.eta
        moved = Tilted(
            -(matrix.T @ p + p @ matrix) - 2 * p @ spread @ p,
            -matrix.T @ eta + p @ drift - 2 * p @ spread @ eta,
            eta @ spread @ eta - jnp.trace(matrix) - drift @ eta - jnp.sum(spread * p),
        )
        seen = jax.lax.stop_gradient(control / size / end)
        return moved.times_exponential(change, weight), seen

    y = jumped(Tilted(precision, eta, constant), before, langevin.parameters_at(start))
    exact = 1e-11 if mean.dtype == jnp.float64 else 1e-6
    solution = dfx.diffeqsolve(
        dfx.ODETerm(rate),
        dfx.Dopri8(),
        start,
        end,
        FIRST_STEP * end,
        (y, jnp.zeros_like(wanted)),
        stepsize_controller=dfx.PIDController(rtol=exact, atol=exact, dtmin=1e-9 * end),
        max_steps=MAX_STEPS,
        throw=False,
    )
    assert solution.ys is not None
    y, seen = jax.tree.map(lambda leaf: leaf[-1], solution.ys)
    y = jumped(y, langevin.parameters_at(end), after)
    finite = solution.result == dfx.RESULTS.successful
    missed = jnp.max(jnp.maximum(jnp.abs(seen - wanted) - rough, 0))
    # A solution that has blown up stands for an average that is infinite, and has not seen all.
    fine = ~finite | (missed <= verdict_tolerances(mean.dtype, None)[1])
    return jnp.where(finite, jnp.where(fine, y.log_mass(), jnp.nan), jnp.inf)


def log_work_moment(
    system: AbstractSystem, order: float = 2.0, initial: Any = None
) -> Float[Array, ""]:
    r"""ln <exp(-order beta W)> of a quadratic system, exactly: infinity where it diverges.

    The law weighted by exp(-s beta W) so far stays exp(-z^T P z / 2 + eta . z + c), and

        dP/dt = -(A^T P + P A) - 2 P D P + s beta d(H'')/dt,

    a matrix Riccati equation. Where its solution loses positivity the average over paths is
    infinite. At order 1 it gives -beta Delta F (Jarzynski); where order 2 is infinite, so is the
    variance of exp(-beta W), and no number of paths makes an exponential average reliable.

    **Arguments:** `system`, a `tj.Overdamped` or `tj.Underdamped` with a quadratic potential, at a
    constant temperature, without drive and kicks; `order` s, a number; `initial` as in
    `tj.moments` (by default the equilibrium before the first jump).

    **Returns:** a scalar, `inf` where the average is infinite.

    **Raises:** ValueError for a system that is not of this kind.

    **Cost:** as `tj.moments`.
    """
    check_system(system)
    if isinstance(system.bath.temperature, AbstractProtocol):
        raise ValueError(
            "the temperature changes in time: exp(-beta W) needs one temperature; use the "
            "log_weight of tj.simulate"
        )
    if system.drive is not None or system.protocol.impulses() is not None:
        raise ValueError("log_work_moment takes no drive and no kicks: leave them out")
    require_no_jumps(system.protocol, "log_work_moment")
    real("order", order, "a finite number")
    template = find_template(system, initial)
    require_declared_jumps(system.protocol, "log_work_moment")
    langevin = linear_langevin(system, template)
    mean, covariance = starting_law(langevin, initial)
    found = solve_log_moment(langevin, jnp.asarray(order, mean.dtype), mean, covariance)
    if (value := known(found)) is not None and np.any(np.isnan(value)):
        raise ValueError(
            f"the equations have stepped over part of {type(system.protocol).__name__}: list where "
            "it moves suddenly in its `events()`"
        )
    return found
