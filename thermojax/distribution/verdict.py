"""Checks of the exact pictures on themselves: first law, steps, jumps of the control, domain."""

from __future__ import annotations

import warnings

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._arguments import exceeds
from .._component import known
from ..protocol import AbstractProtocol
from .undeclared import undeclared_jump

COARSER = 10  # times as long are the steps that the error of the steps on a grid is judged by
ROUGH = 0.02  # of kT and of the work or heat: an error of the steps that is told
EDGE = 1e-6  # the share of a density that a cell at the end of a natural domain may hold


class Verdict(eqx.Module):
    """The checks of one solution of the moment equations."""

    finished: Bool[Array, ""]  # within the number of steps
    first_law: Float[Array, ""]  # how far it is off, as a share of the energies in it
    control: Float[Array, ""]  # by how much the steps saw another integral of it, over its size

    def passed(self, dtype, time_steps: int | None) -> Bool[Array, ""]:
        """Whether every check is within its tolerance; False for NaN."""
        law, control = verdict_tolerances(dtype, time_steps)
        return self.finished & (self.first_law <= law) & (self.control <= control)


def verdict_tolerances(dtype, time_steps: int | None) -> tuple[float, float]:
    """The tolerated errors of the first law and of the integral of the control."""
    if time_steps is not None:
        return 1e-3, 1e-3
    return (1e-7, 1e-6) if dtype == jnp.float64 else (1e-3, 1e-4)


def require_exact(system, result, verdict: Verdict, limit, time_steps: int | None) -> None:
    """Refuse a solution that fails a check of its verdict; skipped while tracing.

    **Raises:** ValueError, which says what to change.
    """
    finished, law, control = (
        known(x) for x in (verdict.finished, verdict.first_law, verdict.control)
    )
    if finished is None or law is None or control is None:
        return
    if not np.all(finished):
        require_declared_jumps(system.protocol, "the moment equations")
        raise ValueError(
            f"the moment equations did not finish within {limit} steps: some relaxation is "
            "very fast against the duration; take a shorter run, or a softer potential"
        )
    most_law, most_control = verdict_tolerances(result.mean.dtype, time_steps)
    if exceeds(law, most_law) or exceeds(control, most_control):
        require_declared_jumps(system.protocol, "the moment equations")
        steps = "" if time_steps is None else "raise time_steps, or "
        if exceeds(control, most_control):
            raise ValueError(
                f"the moment equations have stepped over part of {type(system.protocol).__name__} "
                f"(its integral over time is off by {float(control):.2g} of its size): {steps}list "
                "where it moves suddenly in its `events()`"
            )
        raise ValueError(
            f"the first law does not hold along the run (energy, work and heat are off by "
            f"{float(law):.2g} of their size): {steps}list the times at which "
            f"{type(system.protocol).__name__} jumps or bends in its `events()` and `jumps()`, or "
            "use tj.simulate"
        )
    level = known(result.ledger.equilibrium_free_energy)
    if level is not None and np.any(np.isnan(level)):
        when = float(result.times[int(np.argmax(np.isnan(level)))])
        raise ValueError(
            f"{type(system.potential).__name__} has no equilibrium at time {when:g}: its curvature "
            "must stay positive for F_eq to exist; choose times at which it is"
        )


def require_scales(scale) -> None:
    """Refuse variances that leave the range of the numbers; skipped while tracing.

    **Raises:** ValueError.
    """
    value = known(scale)
    if value is None:
        return
    verdict_tolerances, squares = np.finfo(value.dtype), np.asarray(value, np.float64) ** 2
    if not np.all(
        (squares > 100 * float(verdict_tolerances.tiny))
        & (squares < float(verdict_tolerances.max) / 100)
    ):
        raise ValueError(
            f"positions and momenta are spread over {np.min(value):.2g} to {np.max(value):.2g}, "
            f"whose squares {value.dtype.name} does not hold: take other units, or float64"
        )


def require_declared_jumps(protocol: AbstractProtocol, who: str) -> None:
    """Refuse a control with a jump that its `jumps` does not list. **Raises:** ValueError."""
    found = undeclared_jump(protocol)
    if found is None:
        return
    name = type(protocol).__name__
    listed = "listed in its `events()`, but not in" if found.listed else "not declared: add to"
    raise ValueError(
        f"{name} jumps by {found.size:.3g} at t = {found.time:.6g}, which {who} cannot see: it is "
        f"{listed} its {'`jumps()`' if found.listed else '`events()` and `jumps()`'} the time, "
        "and the control before and after"
    )


def warn_of_large_constant(energies, temperature, dtype, what: str) -> bool:
    """Warn where energies have so large a constant that their differences are lost in rounding.

    **Returns:** whether they do.
    """
    values, kt = known(energies), known(temperature)
    if values is None or kt is None:
        return False
    lost = float(np.finfo(dtype).eps) * np.max(np.abs(values)) / np.min(kt)
    drowned = exceeds(lost, 1e-3)
    if drowned:
        warnings.warn(
            f"{what} reach {np.max(np.abs(values)):.3g}, of which {np.dtype(dtype).name} holds "
            f"digits down to {lost:.2g} kT: take the constant out of the energy, or use float64",
            stacklevel=4,
        )
    return drowned


def warn_of_steps(ledger, coarse, temperature, steps: int) -> None:
    """Warn where steps ten times as long give another work or heat by more than they should.

    An error of second order is a hundredth of the difference, one of first order, where a control
    jumps within a step, a tenth.
    """
    for name in ("work", "heat"):
        values = np.asarray(getattr(ledger, name), float)
        off = abs(values[-1] - float(getattr(coarse, name))) / COARSER
        size = float(temperature) + np.max(np.abs(values))
        if exceeds(off, ROUGH * size):
            warnings.warn(
                f"time_steps = {steps}: with a tenth of them the {name} is "
                f"{float(getattr(coarse, name)):.4g} instead of {values[-1]:.4g}, which may be off "
                f"by {off:.2g} itself: take more, and let jumps of the control fall on steps",
                stacklevel=3,
            )
            return


def require_within_domain(out) -> None:
    """Refuse a density that has reached the ends of the grid. **Raises:** ValueError."""
    for i in range(out.grid.dim):
        along = np.moveaxis(np.asarray(out.density), i + 1, -1)
        for side, edge in (("lower", along[..., 0]), ("upper", along[..., -1])):
            share = np.max(np.sum(edge.reshape(len(edge), -1), axis=1) * float(out.volume))
            if exceeds(share, EDGE):
                name = side if out.grid.dim == 1 else f"{side}[{i}]"
                bound = float(getattr(out.grid, side)[i])
                raise ValueError(
                    f"{name} = {bound:g}: its cell holds {share:.2g} of the density; take a wider "
                    "domain, or boundary='reflecting' if this is a real wall"
                )
