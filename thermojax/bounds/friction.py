"""The friction of a control: what driving it slowly dissipates, in closed form and measured."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import whole
from .._component import Numbers, finite, positive_number
from ..diagnostics.correlation import windowed_sum
from ..distribution.linear import LinearLangevin, linear_langevin
from ..distribution.quadratic import require_quadratic
from ..estimate import Estimate, weighted_mean
from ..execution import count_steps
from ..linear import lyapunov
from ..potential import AbstractPotential
from ..protocol import Constant
from ..sampling import Equilibrium, simulate, template_of
from ..system import AbstractSystem, check_system


def friction_tensor(
    system: AbstractSystem, control: Numbers, template: Equilibrium | None = None
) -> Float[Array, "*tensor"]:
    r"""The friction of a control, in closed form for quadratic energies, over- or underdamped.

        zeta_ij = beta int_0^inf <delta X_i(t) delta X_j(0)> dt,     X = -dU/dcontrol,

    in equilibrium at this control. X is quadratic in the position, with K_i = d^2 X_i/dx^2 and
    the slope g_i at the mean, and z' = A z + noise has the covariance S:

        zeta_ij = beta (g_i . (-A)^-1 S g_j + tr(Q_i S K_j S) / 2),     A^T Q_i + Q_i A = -K_i.

    For a stiffness k this is (gamma/k + m/gamma) / (4 beta k^2), overdamped gamma / (4 beta k^3).

    **Arguments:** `system`; `control`, a number or `(k,)`; `template`, a `tj.Equilibrium(...)`
    where the potential does not say the shape of a position.

    **Returns:** energy time / control^2: a scalar, or `(k, k)`. **Cost:** k Lyapunov equations.

    **Raises:** ValueError for an energy that is not quadratic, a drive, or a scheduled bath.

    **Source:** D. A. Sivak, G. E. Crooks, Phys. Rev. Lett. 108, 190602 (2012), eq. (6).
    """
    control = control_like(system, control)
    langevin = langevin_of(system, template)
    require_quadratic(system, langevin.template, [control])
    return tensor(langevin, control)


def control_like(system: AbstractSystem, control: Numbers) -> Float[Array, "*control"]:
    """A control of the shape of the protocol's."""
    check_system(system)
    control, shape = finite("control", control), jnp.shape(system.protocol.initial)
    if control.shape != shape:
        raise ValueError(f"control has shape {control.shape}: expected {shape}, as the protocol's")
    return control


def langevin_of(system: AbstractSystem, template: Equilibrium | None) -> LinearLangevin:
    require_equilibrium(system)
    position = template_of(system, template, "template")
    return linear_langevin(system, jnp.zeros(1) if position is None else position)


@eqx.filter_jit
def tensor(langevin: LinearLangevin, control):
    """The compiled part of `friction_tensor`."""
    start = jnp.zeros((), langevin.origin.dtype)
    kt, energy = langevin.temperature(start), langevin.energy(control, langevin.mass(start))
    drift, _, _ = langevin.equation(start, langevin.forces(energy, control))
    mean, spread, _ = energy.equilibrium(kt)
    change = jax.jacrev(langevin.potential_energy)(control)  # of U, the control's axis last
    d, n = len(langevin.origin), len(mean)
    bend = jnp.moveaxis(change.matrix.reshape(d, d, -1), -1, 0)
    slope = change.linear.reshape(d, -1).T + bend @ mean[:d]
    slope = jnp.pad(slope, [(0, 0), (0, n - d)])
    bend = jnp.pad(bend, [(0, 0), (0, n - d), (0, n - d)])
    linear = slope @ jnp.linalg.solve(-drift, spread @ slope.T)
    memory = jax.vmap(lambda k: lyapunov(-drift.T, k))(bend)
    squares = 0.5 * jnp.einsum("iab,bc,jcd,da->ij", memory, spread, bend, spread)
    found = (linear + squares) / kt * langevin.units.energy
    return (0.5 * (found + found.T)).reshape(control.shape * 2)


def measured_friction(
    system: AbstractSystem,
    control: Numbers,
    key: PRNGKeyArray,
    *,
    duration: float,
    dt: float,
    batch: int,
    initial: Equilibrium | None = None,
) -> Estimate:
    r"""The friction of a control from equilibrium paths, for any potential.

        zeta_ij = beta int_0^M <delta X_i(t) delta X_j(0)> dt,     X = -dU/dcontrol,

    up to Sokal's window M (`tj.diagnostics.autocorrelation_time`). The error is that of the mean
    over the paths, each of which gives one value. Take a `duration` of 50 correlation times or
    more.

    **Arguments:** `system`; `control`, a number or `(k,)`; `key`; `duration`, time; `dt`, the
    step, at which X is also recorded; `batch`, paths, at least 8; `initial`, as in `tj.simulate`.

    **Returns:** an `Estimate` of energy time / control^2: a scalar, or `(k, k)`. **Cost:** memory
    for k^2 numbers per step and path.

    **Raises:** ValueError for a drive, a scheduled bath, too few paths, or what `tj.simulate`
    refuses.

    **Source:** as `tj.bounds.friction_tensor`.
    """
    control = control_like(system, control)
    require_equilibrium(system)
    batch = whole("batch", batch, 8, "it takes at least 8 paths to tell the error")
    positive_number("duration", duration, "time")
    rest, steps = (
        system.replace(protocol=Constant(control, duration)),
        count_steps(duration, dt, None),
    )
    force = ConjugateForce(system.potential, control)
    out = simulate(
        rest, key, dt=duration / steps, batch=batch, initial=initial, save=steps + 1, observe=force
    )
    assert out.saved is not None
    values = out.saved.values.reshape(steps + 1, batch, -1)
    each = integrated_correlation(values) * (duration / steps) / system.bath.temperature
    each = each.reshape(batch, *control.shape * 2)
    return weighted_mean(each, jnp.ones(batch, each.dtype))


class ConjugateForce(eqx.Module):
    """The observer of dU/dcontrol at a fixed control, `(batch, ...)`."""

    potential: AbstractPotential
    control: Float[Array, "*control"]

    def __call__(self, time, state, ledger):
        slope = jax.grad(self.potential.energy, 1)
        return jax.vmap(lambda x: slope(x, self.control))(state.position)


@jax.jit
def integrated_correlation(values: Float[Array, "time chains k"]) -> Float[Array, "chains k k"]:
    """C(0)/2 + C(1) + ... of every chain, up to one window for all, by the trapezoidal rule."""
    n, chains, _ = values.shape
    wave = jnp.fft.rfft(values - jnp.mean(values, (0, 1)), n=2 * n, axis=0)
    power = jnp.real(wave[..., :, None].conj() * wave[..., None, :])  # the part even in time
    covariance = jnp.fft.irfft(power, n=2 * n, axis=0)[:n] / n
    diagonal = jnp.diagonal(jnp.mean(covariance, 1), axis1=1, axis2=2)
    stop = jnp.max(windowed_sum(diagonal, 5.0, n * chains)[1])
    lag = jnp.arange(n)
    weight = jnp.where(lag <= stop, n / (n - lag), 0).at[0].multiply(0.5)
    return jnp.tensordot(weight, covariance, axes=1)


def require_equilibrium(system: AbstractSystem) -> None:
    """Refuse a system that at a fixed control has no equilibrium, or more than one.

    **Raises:** ValueError.
    """
    check_system(system)
    if system.drive is not None or system.bath.scheduled:
        raise ValueError(
            "the friction of a control is that of an equilibrium: leave out drive, and give the "
            "bath constant values"
        )
