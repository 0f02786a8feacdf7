"""What the exact picture finds out about itself: its steps, its first law, the control it saw."""

from __future__ import annotations

import warnings

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._arguments import exceeds
from .._component import known
from ..protocol import AbstractProtocol
from .announced import surprise


class Verdict(eqx.Module):
    """Of a solution of the moment equations."""

    finished: Bool[Array, ""]  # within the number of steps
    first_law: Float[Array, ""]  # how far it is off, as a share of the energies in it
    control: Float[Array, ""]  # by how much the steps saw another integral of it, over its size

    def passed(self, dtype, time_steps: int | None) -> Bool[Array, ""]:
        """Whether all is as it should be; False for NaN."""
        law, control = limits(dtype, time_steps)
        return self.finished & (self.first_law <= law) & (self.control <= control)


def limits(dtype, time_steps: int | None) -> tuple[float, float]:
    """What the first law and the control may be off by: what the steps themselves may lose."""
    if time_steps is not None:
        return 1e-3, 1e-3
    return (1e-7, 1e-6) if dtype == jnp.float64 else (1e-3, 1e-4)


def require_exact(system, result, verdict: Verdict, limit, time_steps: int | None) -> None:
    """**Raises:** ValueError where a solution is not what it should be; skipped while tracing."""
    finished, law, control = (
        known(x) for x in (verdict.finished, verdict.first_law, verdict.control)
    )
    if finished is None or law is None or control is None:
        return
    if not np.all(finished):
        require_announced(system.protocol, "the moment equations")
        raise ValueError(
            f"the moment equations did not finish within {limit} steps: some relaxation is "
            "very fast against the duration; take a shorter run, or a softer potential"
        )
    most_law, most_control = limits(result.mean.dtype, time_steps)
    if exceeds(law, most_law) or exceeds(control, most_control):
        require_announced(system.protocol, "the moment equations")
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


def require_announced(protocol: AbstractProtocol, who: str) -> None:
    """**Raises:** ValueError where the control jumps and does not say so."""
    found = surprise(protocol)
    if found is None:
        return
    name = type(protocol).__name__
    listed = "listed in its `events()`, but not in" if found.announced else "not announced: add to"
    raise ValueError(
        f"{name} jumps by {found.size:.3g} at t = {found.time:.6g}, which {who} cannot see: it is "
        f"{listed} its {'`jumps()`' if found.announced else '`events()` and `jumps()`'} the time, "
        "and the control before and after"
    )


def warn_of_rounding(energies, temperature, dtype, what: str) -> None:
    """Say so where energies have so large a constant that their differences drown in it."""
    values, kt = known(energies), known(temperature)
    if values is None or kt is None:
        return
    lost = float(np.finfo(dtype).eps) * np.max(np.abs(values)) / np.min(kt)
    if exceeds(lost, 1e-3):
        warnings.warn(
            f"{what} reach {np.max(np.abs(values)):.3g}, of which {np.dtype(dtype).name} holds "
            f"digits down to {lost:.2g} kT: take the constant out of the energy, or use float64",
            stacklevel=4,
        )
