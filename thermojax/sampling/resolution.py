"""Whether a dtype holds the numbers of a run: squares of momenta, and differences of energies."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .._arguments import exceeds
from .._component import known, shown
from ..ledger import Ledger
from ..protocol import AbstractProtocol
from ..system import AbstractSystem, Overdamped
from .burn_in import COARSE

PATHS = 4096  # so many are looked at


def check_momenta(system: AbstractSystem, dtype) -> None:
    """Refuse units in which the squares of momenta, about m kT, under- or overflow.

    Overdamped, the momentum is in units of sqrt(mass). Silent where a value is being traced.

    **Raises:** ValueError with the cure.
    """
    temperature = range_of(system.bath.temperature)
    overdamped = isinstance(system, Overdamped)
    mass = (1.0, 1.0) if overdamped else range_of(system.bath.mass)
    if temperature is None or mass is None:
        return
    info = jnp.finfo(dtype)
    # Below it, what of p^2 falls under the smallest number is no longer lost in rounding.
    least, most = float(info.tiny / info.eps), float(info.max * info.eps)
    low, high = temperature[0] * mass[0], temperature[1] * mass[1]
    if least <= low and high <= most:
        return
    what = "temperature" if overdamped else "mass * temperature"
    raise ValueError(
        f"{what} = {shown(np.asarray(low if low < least else high))}: expected {least:.0e} to "
        f"{most:.0e}, since {jnp.dtype(dtype).name} does not hold the squares of momenta of other "
        "sizes; use units in which it is nearer to 1, or float64 "
        "(jax.config.update('jax_enable_x64', True))"
    )


def range_of(value) -> tuple[float, float] | None:
    """The least and the largest number of a member of a bath, of a schedule those that it names."""
    if isinstance(value, AbstractProtocol):
        value = value.initial, value.final
    found = [known(leaf) for leaf in jax.tree.leaves(value)]
    if any(one is None for one in found):
        return None
    return (
        min(float(np.min(one)) for one in found if one is not None),
        max(float(np.max(one)) for one in found if one is not None),
    )


def warn_rounding(system: AbstractSystem, ledger: Ledger) -> None:
    """Say in words when energies are too large beside kT for their dtype; silent while tracing.

    An energy U is known to eps U. Differences of energies, which is what work is, cannot be known
    better, however they are formed: a large constant in the potential takes away their digits.
    """
    temperature = range_of(system.bath.temperature)
    start, end, alive = (here(x) for x in (ledger.energy_start, ledger.energy, ledger.alive))
    if temperature is None or start is None or end is None or alive is None:
        return
    end = np.where(alive > 0, end, start)  # a path that diverged had no bound to its energy
    begun, reached = (typical(energies) for energies in (start, end))
    size = max(begun, reached)
    unit = float(np.finfo(start.dtype).eps) / temperature[0]
    if not exceeds(size * unit, COARSE):
        return
    lost = "" if np.any(alive > 0) else ", and every path counts as diverged"
    # What the run begins with is a constant; what it grows to may be an unstable step.
    grown = "" if exceeds(begun * unit, COARSE) else "take a smaller dt where they grow by it, or "
    warnings.warn(
        f"energies of {size:.1e} are rounded to {size * unit:.2g} kT in {start.dtype}: work, "
        f"shadow work and log_weight are wrong by as much{lost}; {grown}subtract a constant from "
        f"{type(system.potential).__name__}, so that its energies are of the size of their "
        "differences, or use float64 (jax.config.update('jax_enable_x64', True), and positions "
        "of that dtype)",
        stacklevel=3,
    )


def typical(energies: np.ndarray) -> float:
    """The median of the sizes of those that are finite; zero where none is."""
    sizes = np.abs(energies[np.isfinite(energies)]).astype(float)
    return float(np.median(sizes)) if sizes.size else 0.0


def here(x) -> np.ndarray | None:
    """Some of the numbers of a batch that lie on this host; None while they are being traced."""
    if isinstance(x, Tracer):
        return None
    if isinstance(x, jax.Array):
        x = x.addressable_shards[0].data
    x = np.asarray(x)
    return x[:: max(1, len(x) // PATHS)]
