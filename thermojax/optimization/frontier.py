"""Energy against time: the best protocol for each duration, its rivals, and the bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from .. import bounds
from .._arguments import function, instance, whole
from .._component import floating, known, shown
from .._keys import Purpose, part_key
from .._repr import aligned_text
from ..bounds.equilibrium import has_quadratic_ends
from ..checkpoint import AbstractCheckpoint
from ..estimate import Estimate
from ..protocol import AbstractProtocol, Linear
from ..sampling import Equilibrium, template_of
from ..system import AbstractSystem
from .arguments import check_training
from .fit import Fit
from .gradients import AbstractGradient, Pathwise
from .objectives import AbstractObjective, MeanWork
from .picture import RunOptions, fresh_cost
from .stages import trained_in_turn


class Frontier(eqx.Module):
    """Energy against time, arrays over the durations, from `tj.frontier`.

    - `durations`, `(durations,)`.
    - `work`: the mean total work of each kind of protocol, by name ("optimized", "linear",
      "geodesic"), each an `Estimate` of `(durations,)`, on paths that no training has seen; all
      kinds share their noise. In an exact picture the error is zero.
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
            cells = [str(estimate_at(estimate, i)) for estimate in self.work.values()]
            cells += [] if self.bound is None else [f"{float(self.bound[i]):.6g}"]
            rows.append([f"{float(duration):g}", *cells])
        return aligned_text(rows)


def frontier(
    system: AbstractSystem,
    objective: AbstractObjective,
    optimizer: optax.GradientTransformation,
    key: PRNGKeyArray | None = None,
    *,
    durations: Any,
    steps: int,
    trainable: Callable | None = None,
    gradient: AbstractGradient = Pathwise(),
    patience: int | None = None,
    tolerance: float | None = None,
    evaluation: int | None = None,
    rivals: dict[str, AbstractProtocol] | None = None,
    bound: Callable | None = bounds.free_end,
    callback: Callable[[float, Fit], Any] | None = None,
    checkpoint: AbstractCheckpoint | None = None,
    common_noise: bool = False,
    **options: Unpack[RunOptions],
) -> Frontier:
    r"""Optimize a protocol for each of several durations, and draw the energy-time frontier.

    The shortest comes first, from the protocol of `system`; each next duration starts from the
    schedule that the last one found, stretched. Schedules in the bath are stretched with it.

    **Arguments:**

    - `system`, `objective`, `optimizer`, `key`, `steps`, `trainable`, `gradient`, `patience`,
      `tolerance`, `common_noise`: as in `tj.optimize`, the same for each duration.
    - `durations`: `(durations,)`, positive, increasing.
    - `options`, as in `tj.optimize`: `dt` or `time_steps`, `batch`, `initial`, `integrator`,
      `picture`, `sharding`, `antithetic`. With `time_steps` all durations share their programs,
      and the step grows with the duration: it must still be short against the fastest
      relaxation at the longest.
    - `evaluation`: how many fresh paths measure each protocol, 4 batches when left out.
    - `rivals`: other protocols by name, stretched and measured, too; the linear ramp when left
      out, and for quadratic energies at constant bath `tj.bounds.geodesic`.
    - `bound(system, start)`: a `tj.bounds.WorkBound`; the default holds whatever the objective
      asks of the final state, `tj.bounds.fixed_end` where it asks for equilibrium. None for none.
    - `callback(duration, fit)`: called after each training.
    - `checkpoint`: a `tj.Checkpoint`; killed at any moment, the same call goes on at the duration
      and the training step that it had reached.

    **Returns:** a `tj.Frontier`; print it.

    **Raises:** ValueError for durations that are not positive and increasing, a bound that does
    not exist for this system, or what `tj.optimize` refuses; all but the last before training.
    """
    training: dict[str, Any] = dict(
        gradient=gradient, patience=patience, tolerance=tolerance, common_noise=common_noise
    )
    check_training(
        system,
        objective,
        optimizer,
        key,
        steps=steps,
        trainable=trainable,
        callback=callback,
        checkpoint=checkpoint,
        **training,
        **options,
    )
    evaluation = None if evaluation is None else whole("evaluation", evaluation, 2)
    if bound is not None:
        function(
            "bound", bound, "a function, bound(system, start) -> a tj.bounds.WorkBound, or None"
        )
    if rivals is not None:
        instance("rivals", rivals, dict, "a dict of protocols by name, or None")
    for name, protocol in ({} if rivals is None else rivals).items():
        instance(f"rivals[{name!r}]", protocol, AbstractProtocol, "a protocol")
    durations, initial = checked_durations(durations), options.get("initial")
    systems = [stretched(system, duration) for duration in durations]
    floor = None if bound is None else lower_bounds(systems, bound, initial)
    rivals = usual_rivals(system, initial) if rivals is None else rivals
    tell = None if callback is None else lambda i, fit: callback(durations[i], fit)
    fits = trained_in_turn(
        systems,
        [objective] * len(systems),
        optimizer,
        key,
        follow=warm_started,
        steps=steps,
        trainable=trainable,
        checkpoint=checkpoint,
        callback=tell,
        training=training,
        options=options,
    )

    def work_of(runs) -> Estimate:
        keys = [part_key(key, Purpose.EVALUATION, i) for i in range(len(runs))]
        found = zip(runs, keys, strict=True)
        return stacked([fresh_cost(run, MeanWork(), k, evaluation, **options) for run, k in found])

    def rival(protocol):
        pairs = zip(systems, durations, strict=True)
        return [s.replace(protocol=with_duration(protocol, duration)) for s, duration in pairs]

    work = {"optimized": work_of([fit.system for fit in fits])}
    work |= {name: work_of(rival(protocol)) for name, protocol in rivals.items()}
    return Frontier(jnp.asarray(durations), work, floor, tuple(fits))


def checked_durations(durations) -> list[float]:
    """The durations as floats. **Raises:** ValueError unless they are positive and increase."""
    values = known(floating(durations, "durations"))
    increasing = lambda v: v[0] > 0 and np.all(np.isfinite(v)) and np.all(np.diff(v) > 0)
    if values is None or not is_vector(values) or not increasing(values):
        raise ValueError(
            f"durations = {shown(durations)}: expected positive times, each once and in increasing "
            "order; sort them and drop repetitions"
        )
    return [float(value) for value in values]


def is_vector(values: np.ndarray) -> bool:
    """Whether it is one axis of real numbers, one or more."""
    return values.ndim == 1 and values.size > 0 and values.dtype.kind in "iuf"


def is_protocol(node) -> bool:
    return isinstance(node, AbstractProtocol)


def with_duration(protocol: AbstractProtocol, duration) -> AbstractProtocol:
    """The protocol with its shape stretched to another duration."""
    place = lambda p: p.duration
    return eqx.tree_at(place, protocol, jnp.asarray(duration, protocol.duration.dtype))


def warm_started(system: AbstractSystem, found: AbstractSystem) -> AbstractSystem:
    """The system with the schedule that was found at another duration."""
    return system.replace(protocol=with_duration(found.protocol, system.protocol.duration))


def stretched(system: AbstractSystem, duration) -> AbstractSystem:
    """The system with all of its schedules stretched to one duration."""
    change = lambda node: with_duration(node, duration) if is_protocol(node) else node
    return jax.tree.map(change, system, is_leaf=is_protocol)


def lower_bounds(systems, bound, initial) -> Float[Array, " durations"]:
    if initial is not None and not isinstance(initial, Equilibrium):
        raise ValueError(
            "initial gives positions, but the bound starts from equilibrium: pass bound=None, or a "
            "bound(system, start) of your own with tj.Equilibrium as the start"
        )
    try:
        found = [bound(system, initial) for system in systems]
    except TypeError as error:
        raise ValueError(f"bound(system, start) cannot be called so: {error}") from error
    for each in found:
        instance("the result of bound", each, bounds.WorkBound, "a tj.bounds.WorkBound")
    return jnp.stack([each.work for each in found])


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
    if plain and moves and position is not None and has_quadratic_ends(system, position):
        rivals["geodesic"] = bounds.geodesic(system, template=start)
    return rivals


def estimate_at(estimate: Estimate, index: int) -> Estimate:
    return jax.tree.map(lambda leaf: leaf[index], estimate)


def stacked(estimates: list[Estimate]) -> Estimate:
    """Estimates as one, of one axis more."""
    return Estimate(
        *(
            jnp.stack([jnp.asarray(getattr(e, name)) for e in estimates])
            for name in ("value", "error", "count")
        )
    )
