"""Energy against time: the best protocol for each duration, its rivals, and the bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from .._component import known
from ..dynamics import BAOAB, AbstractSplitting
from ..estimate import Estimate
from ..protocol import AbstractProtocol, Linear
from ..sampling import Equilibrium, simulate, template_of
from ..system import AbstractSystem
from . import bounds
from .bounds.equilibrium import quadratic
from .fit import Fit, optimize
from .objectives import AbstractObjective


class Frontier(eqx.Module):
    """What `tj.frontier` returns: energy against time, arrays over the durations.

    - `durations`, `(durations,)`.
    - `work`: the mean total work of each kind of protocol, by name ("optimized", "linear",
      "geodesic"), each an `Estimate` of `(durations,)`, on paths that no training has seen; all
      kinds share their noise.
    - `bound`, `(durations,)`: what no protocol can beat; None where none was asked for.
    - `fits`: the trainings, one `tj.Fit` for each duration.
    """

    durations: Float[Array, " durations"]
    work: dict[str, Estimate]
    bound: Float[Array, " durations"] | None
    fits: tuple[Fit, ...]

    def __str__(self):
        names = [*self.work, *([] if self.bound is None else ["bound"])]
        rows = [["duration", *names]]
        for i, duration in enumerate(self.durations):
            cells = [str(entry(estimate, i)) for estimate in self.work.values()]
            cells += [] if self.bound is None else [f"{float(self.bound[i]):.6g}"]
            rows.append([f"{float(duration):g}", *cells])
        widths = [max(len(row[j]) for row in rows) for j in range(len(rows[0]))]
        lines = ("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in rows)
        return "\n".join(line.rstrip() for line in lines)


def frontier(
    system: AbstractSystem,
    objective: AbstractObjective,
    optimizer: optax.GradientTransformation,
    key: PRNGKeyArray,
    *,
    durations: Any,
    dt: float | None = None,
    time_steps: int | None = None,
    batch: int | None = None,
    steps: int,
    initial: Any = None,
    integrator: AbstractSplitting = BAOAB(),
    trainable: Callable | None = None,
    patience: int | None = None,
    evaluation: int | None = None,
    rivals: dict[str, AbstractProtocol] | None = None,
    bound: Callable | None = bounds.free_end,
    callback: Callable[[float, Fit], Any] | None = None,
) -> Frontier:
    r"""Optimize a protocol for each of several durations, and draw the energy-time frontier.

    The shortest comes first, from the protocol of `system`; each next duration starts from the
    schedule that the last one found, stretched. Schedules in the bath are stretched with it.

    **Arguments:**

    - `system`, `objective`, `optimizer`, `steps`, `batch`, `initial`, `integrator`, `trainable`,
      `patience`: as in `tj.optimize`, the same for each duration.
    - `durations`: `(durations,)`, positive, increasing.
    - `dt` or `time_steps`, as in `tj.simulate`. With `time_steps` all durations share the
      programs that measure them, and the step grows with the duration: it must still be short
      against the fastest relaxation at the longest.
    - `evaluation`: how many fresh paths measure each protocol, 4 batches when left out.
    - `rivals`: other protocols by name, stretched and measured, too; the linear ramp when left
      out, and for quadratic energies at constant bath `tj.bounds.geodesic`.
    - `bound(system, start)`: a `tj.bounds.WorkBound`; the default holds whatever the objective
      asks of the final state, `tj.bounds.fixed_end` where it asks for equilibrium. None for none.
    - `callback(duration, fit)`: called after each training.

    **Returns:** a `tj.Frontier`; print it.

    **Raises:** ValueError for durations that are not positive and increasing, a bound that does
    not exist for this system, or what `tj.optimize` refuses; all but the last before training.
    """
    durations = checked_durations(durations)
    systems = [stretched(system, duration) for duration in durations]
    floor = None if bound is None else lowest(systems, bound, initial)
    rivals = usual_rivals(system, initial) if rivals is None else rivals
    fits, protocol = [], system.protocol
    for i, (duration, trial) in enumerate(zip(durations, systems, strict=True)):
        trial = trial.replace(protocol=with_duration(protocol, duration))
        fit = optimize(
            trial,
            objective,
            optimizer,
            jax.random.fold_in(key, i),
            dt=dt,
            time_steps=time_steps,
            batch=batch,
            steps=steps,
            initial=initial,
            integrator=integrator,
            trainable=trainable,
            patience=patience,
        )
        protocol = fit.system.protocol
        fits.append(fit)
        if callback is not None:
            callback(duration, fit)

    if initial is None or isinstance(initial, Equilibrium):
        batch = 4 * batch if evaluation is None and batch is not None else evaluation
    fresh = jax.random.fold_in(key, len(durations))

    def measured(runs) -> Estimate:
        found = []
        for i, run in enumerate(runs):
            key_of = jax.random.fold_in(fresh, i)
            out = simulate(
                run,
                key_of,
                dt=dt,
                time_steps=time_steps,
                batch=batch,
                initial=initial,
                integrator=integrator,
            )
            found.append(out.mean(out.ledger.total_work))
        return stacked(found)

    def rival(protocol):
        pairs = zip(systems, durations, strict=True)
        return [s.replace(protocol=with_duration(protocol, duration)) for s, duration in pairs]

    work = {"optimized": measured([fit.system for fit in fits])}
    work |= {name: measured(rival(protocol)) for name, protocol in rivals.items()}
    return Frontier(jnp.asarray(durations), work, floor, tuple(fits))


def checked_durations(durations) -> list[float]:
    """**Raises:** ValueError unless they are positive numbers, each longer than the last."""
    values = known(durations)
    increasing = lambda v: v[0] > 0 and np.all(np.isfinite(v)) and np.all(np.diff(v) > 0)
    if values is None or values.ndim != 1 or values.size == 0 or not increasing(values):
        raise ValueError(
            f"durations = {durations}: expected positive times, each once and in increasing order; "
            "sort them and drop repetitions"
        )
    return [float(value) for value in values]


def is_protocol(node) -> bool:
    return isinstance(node, AbstractProtocol)


def with_duration(protocol: AbstractProtocol, duration) -> AbstractProtocol:
    """The same shape in another time."""
    place = lambda p: p.duration
    return eqx.tree_at(place, protocol, jnp.asarray(duration, protocol.duration.dtype))


def stretched(system: AbstractSystem, duration) -> AbstractSystem:
    """The system with all of its schedules stretched to one duration."""
    change = lambda node: with_duration(node, duration) if is_protocol(node) else node
    return jax.tree.map(change, system, is_leaf=is_protocol)


def lowest(systems, bound, initial) -> Float[Array, " durations"]:
    if initial is not None and not isinstance(initial, Equilibrium):
        raise ValueError(
            "initial gives positions, but the bound starts from equilibrium: pass bound=None, or a "
            "bound(system, start) of your own with tj.Equilibrium as the start"
        )
    return jnp.stack([bound(system, initial).work for system in systems])


def usual_rivals(system: AbstractSystem, initial) -> dict[str, AbstractProtocol]:
    """The linear ramp, and the geodesic where the friction has a closed form."""
    protocol = system.protocol
    rivals: dict[str, AbstractProtocol] = {
        "linear": Linear(protocol.initial, protocol.final, protocol.duration)
    }
    start = initial if isinstance(initial, Equilibrium) else None
    position = template_of(system, start)
    plain = system.drive is None and not system.bath.scheduled
    moves = not np.array_equal(np.asarray(protocol.initial), np.asarray(protocol.final))
    if plain and moves and position is not None and quadratic(system, position):
        rivals["geodesic"] = bounds.geodesic(system, template=start)
    return rivals


def entry(estimate: Estimate, index: int) -> Estimate:
    return jax.tree.map(lambda leaf: leaf[index], estimate)


def stacked(estimates: list[Estimate]) -> Estimate:
    """Estimates as one, of one axis more."""
    return Estimate(
        *(
            jnp.stack([jnp.asarray(getattr(e, name)) for e in estimates])
            for name in ("value", "error", "count")
        )
    )
