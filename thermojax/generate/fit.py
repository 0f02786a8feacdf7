"""The training of a machine: the local rule, once for each path or at each of its steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PRNGKeyArray

from .._arguments import choice, function, instance, real, whole
from .._keys import Purpose, check_key, part_key
from ..checkpoint import AbstractCheckpoint
from ..estimate import Estimate, weighted_mean
from ..optimization.training import Training, fingerprint, resumed
from .computer import Computer
from .noising import NoisedPaths, Noising, check_fits, noised, resting
from .path_law import end_log_ratios, log_ratios, step_log_ratios

RULES = ("batch", "online")
GROWN = 100.0  # times the first loss: beyond, training has gone astray


class ComputerProgress(NamedTuple):
    """The state of a training that a callback gets after each cycle."""

    cycle: int  # from 1
    cycles: int  # planned
    loss: Estimate  # of this cycle's paths, in k_B; of "online", while the machine learned
    computer: Computer  # after it


class ComputerFit(eqx.Module):
    """The trained computer and its history, from `tj.generate.fit`.

    - `computer`: after the last cycle; the one of lowest loss where training went astray.
    - `history`: arrays over the cycles, `loss` and its `error`: entropy production per path, k_B.
    - `stopped`: why training ended, in words.
    """

    computer: Computer
    history: dict[str, np.ndarray]
    stopped: str = eqx.field(static=True)


def fit(
    computer: Computer,
    noising: Noising,
    key: PRNGKeyArray,
    *,
    rule: str = "batch",
    cycles: int,
    batch: int | None = None,
    dt: float = 1e-3,
    learning_rate: float | None = None,
    optimizer: optax.GradientTransformation | None = None,
    callback: Callable[[ComputerProgress], bool | None] | None = None,
    checkpoint: AbstractCheckpoint | None = None,
) -> ComputerFit:
    """Train a machine to make the reverse of noising paths probable.

    **Arguments:**

    - `computer`: where training starts. `noising`: a `tj.generate.Noising` of the images.
    - `rule`: "batch", one update after each path by the gradient of all of it, or "online", the
      local gradient at every time step, applied at once. Both agree to first order in the rate.
    - `cycles`: each is `batch` noising paths at once, whose mean gradient counts; by default as
      many paths as there are images. `dt`: their time step.
    - `learning_rate`: of gradient descent; by default dt / duration, as published, or where that
      is less 2 kT / (mu duration sum_i x_i^2) of units that images hold, which is stable.
    - `optimizer`: for "batch", any optax transformation in place of the rate.
    - `callback(progress)`: called after each cycle with a `ComputerProgress`; True ends training.
    - `checkpoint`: a `tj.Checkpoint`, from where training goes on if it was killed.

    Training also ends, the best kept, when the loss is no longer finite or a hundred times what it
    was at first: the rate is then too high.

    **Returns:** a `ComputerFit`. **Raises:** ValueError, in one sentence with the cure, or for a
    checkpoint of another training. **Cost:** per path and step four products with the couplings;
    "online" reads and writes all couplings once a step, which is slower on most machines.

    **Source:** S. Whitelam, arXiv:2506.15121 (2025); of the online rule H. Wang, W. Deng,
    arXiv:2609.15439 (2026).
    """
    check_key(key)
    choice("rule", rule, RULES)
    cycles = whole("cycles", cycles)
    steps = check_fits(computer, noising, dt)
    batch = len(noising.fields) if batch is None else whole("batch", batch)
    descent = descent_of(rule, learning_rate, optimizer, default_rate(computer, noising, steps))
    if callback is not None:
        function("callback", callback, "a function of a ComputerProgress, or None")
    if checkpoint is not None:
        instance("checkpoint", checkpoint, AbstractCheckpoint, "a tj.Checkpoint, or None")
    params, rest = computer.split()
    training = Training.begin(params, descent.init(params), key, cycles, 0.9)
    if checkpoint is not None:
        facts = (computer, noising, rule, batch, steps, learning_rate)
        training = resumed(checkpoint, training.marked(fingerprint(facts)))
    for cycle in range(training.step + 1, cycles + 1):
        own = part_key(key, Purpose.TRAINING, cycle)
        paths = noised(computer, noising, own, batch, steps)
        moved, state, found, begun, finite = cycle_of(
            rest, descent, training.params, training.state, paths, rule
        )
        value, error = float(found.value), float(found.error)
        first = training.record[0, 3] if training.step else float(begun)
        if astray := gone_astray(cycle, value, bool(finite), first):
            return fit_of(dataclasses.replace(training, params=training.best), rest, astray)
        training = training.after(moved, state, training.average, (value, error, 0, float(begun)))
        progress = ComputerProgress(cycle, cycles, found, eqx.combine(moved, rest))
        if callback is not None and callback(progress):
            return fit_of(training, rest, f"the callback ended training at cycle {cycle}")
        if checkpoint is not None:
            checkpoint.save(training, last=cycle == cycles)
    return fit_of(training, rest, f"all {cycles} cycles done")


def default_rate(computer: Computer, noising: Noising, steps: int) -> Array:
    """1 / steps, or the inverse of the largest curvature of the loss, which is below sum x^2."""
    force = jnp.abs(noising.protocol.initial * noising.fields)
    largest = jnp.max(jnp.sum(resting(computer, force) ** 2, axis=1))
    stable = 2 * computer.temperature / (computer.mobility * noising.duration * largest)
    return jnp.minimum(1.0 / steps, stable)


def descent_of(rule: str, rate, optimizer, default) -> Any:
    """The optimizer of an update. **Raises:** ValueError for contradictory arguments."""
    if optimizer is not None:
        kind = "an optax transformation such as optax.adam(0.01), or None"
        instance("optimizer", optimizer, optax.GradientTransformation, kind)
        if rule == "online" or rate is not None:
            other = "rule = 'online'" if rule == "online" else "learning_rate"
            raise ValueError(
                f"optimizer and {other} were both given: an optimizer serves rule='batch', in "
                "place of the learning_rate"
            )
        return optimizer
    if rate is None:
        return sgd(default)
    return sgd(real("learning_rate", rate, "a positive number", lambda x: (x > 0) & (x < np.inf)))


def sgd(rate) -> optax.GradientTransformation:
    """Gradient descent whose rate is a part of its state, so that any rate is one program."""
    init = lambda params: jnp.asarray(rate, jnp.result_type(float))

    def update(updates, state, params=None):
        return jax.tree.map(lambda g: (-state * g).astype(g.dtype), updates), state

    return optax.GradientTransformation(init, update)


def gone_astray(cycle: int, value: float, finite: bool, first: float) -> str:
    """Why training may not go on, in words; empty where it may. `first`: the loss of the start."""
    cure = "the best before is kept: take a lower learning_rate, or a smaller dt"
    if not np.isfinite(value) or not finite:
        return f"the loss was not finite at cycle {cycle}; {cure}"
    if abs(value) > GROWN * max(abs(first), 1.0):
        return f"the loss rose from {first:.3g} to {value:.3g} by cycle {cycle}; {cure}"
    return ""


def fit_of(training: Training, rest: Any, stopped: str) -> ComputerFit:
    history = {name: training.history[name] for name in ("loss", "error")}
    return ComputerFit(eqx.combine(training.params, rest), history, stopped)


@eqx.filter_jit
def cycle_of(rest, descent, params, state, paths: NoisedPaths, rule: str):
    """One cycle: (parameters, optimizer state, the loss, that of before, whether all is finite)."""
    learn = by_batch if rule == "batch" else online
    moved, state, ratios = learn(rest, descent, params, state, paths)
    found = weighted_mean(ratios, jnp.ones_like(ratios))
    before = ratios if rule == "batch" else log_ratios(eqx.combine(params, rest), paths)
    finite = jnp.array([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(moved)])
    return moved, state, found, jnp.mean(before), jnp.all(finite)


def by_batch(rest, descent, params, state, paths: NoisedPaths):
    """One update by the gradient of whole paths."""

    def cost(params):
        ratios = log_ratios(eqx.combine(params, rest), paths)
        return jnp.mean(ratios), ratios

    slope, ratios = jax.grad(cost, has_aux=True)(params)
    change, state = descent.update(slope, state, params)
    return eqx.apply_updates(params, change), state, ratios


def online(rest, descent, params, state, paths: NoisedPaths):
    """An update at every step of the paths, by the gradient of that step."""

    def step(carried, at: tuple[Array, Array, Array]):
        params, state, sums = carried

        def cost(params):
            ratios = step_log_ratios(eqx.combine(params, rest), paths, *at)
            return jnp.mean(ratios), ratios

        slope, ratios = jax.grad(cost, has_aux=True)(params)
        change, state = descent.update(slope, state, params)
        return (eqx.apply_updates(params, change), state, sums + ratios), None

    x = paths.position
    begin = (params, state, end_log_ratios(eqx.combine(params, rest), paths))
    (params, state, ratios), _ = jax.lax.scan(step, begin, (x[:-1], x[1:], paths.strength[:-1]))
    return params, state, ratios
