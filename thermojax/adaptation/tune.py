"""`tj.tune`: mass, friction and step size of persistent chains, from the chains themselves."""

from __future__ import annotations

import dataclasses
import warnings
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import real, whole
from .._component import floating, known, shown
from .._keys import Purpose, check_key, purpose_key
from .._repr import with_numbers
from .._tree import cast, like_position
from ..sampling import Chain, LocalStep
from ..sampling.chain import begin
from ..sampling.initial import (
    Start,
    checked_start,
    draw_start,
    prepare_start,
    stopped,
    warn_burn_in,
)
from ..sampling.state import dynamics_of
from ..system import AbstractSystem, Underdamped
from .free import Free
from .local import Local
from .stages import CHUNK, AbstractWay, StageRecord, stage, system_of

STAGES = 6
SHORTEST = STAGES * 4 * CHUNK
UNITS = "choose units in which kT and typical lengths are about 1, or use float64"


class TuningReport(eqx.Module):
    """The statistics of the chains in the last stage of tuning; shapes `(dim,)`, or scalars.

    - `autocorrelation_time`, in steps, of x; `autocorrelation_time_of_squares`, of (x - mean)^2.
    - `r_hat`: split, over the second half of the stage.
    - `virial`: <(x - mean) dU/dx> / kT. It is 1 in equilibrium whatever the potential: how far it
      is from 1 tells the bias of the step size and of chains that have not arrived.
    - `energy_error`: <shadow work of a step ^2> / (kT^2 dim), a scalar; 0 where it is corrected.
    - `rejected`: the share of paths, in pieces of 32 steps, that diverged and were
      taken back, or of proposals that were refused; a scalar.
    - `steps` in all, how many `chains`, and whether they were `adjusted`.
    """

    autocorrelation_time: Float[Array, " dim"]
    autocorrelation_time_of_squares: Float[Array, " dim"]
    r_hat: Float[Array, " dim"]
    virial: Float[Array, " dim"]
    energy_error: Float[Array, ""]
    rejected: Float[Array, ""]
    steps: int = eqx.field(static=True)
    chains: int = eqx.field(static=True)
    adjusted: bool = eqx.field(static=True, default=False)

    __pdoc__ = with_numbers

    @property
    def effective_samples_per_step(self) -> Float[Array, ""]:
        """Effective samples per step of all chains together, for x or (x - mean)^2, the least over
        the coordinates; a scalar."""
        times = (self.autocorrelation_time, self.autocorrelation_time_of_squares)
        return self.chains / jnp.maximum(*map(jnp.max, times))

    @property
    def acceptance(self) -> Float[Array, ""]:
        """The share of proposals that were accepted, a scalar; NaN where chains moved freely."""
        return 1 - self.rejected if self.adjusted else jnp.full_like(self.rejected, jnp.nan)

    @property
    def effective_samples(self) -> Float[Array, ""]:
        """The effective samples in the second half of the last stage, a scalar."""
        return self.effective_samples_per_step * (self.steps // STAGES // 2)

    def concerns(self) -> list[str]:
        """The problems, in sentences; empty where there is none."""
        undefined = [
            name
            for name in ("autocorrelation_time", "r_hat", "virial", "energy_error")
            if np.any(np.isnan(np.asarray(getattr(self, name))))
        ]
        if undefined:
            return [
                f"the report's {' and '.join(undefined)} could not be computed (nan): positions or "
                "forces of the last stage are not finite, or do not change beyond rounding: "
                f"{UNITS}"
            ]
        found = []
        worst, effective = float(jnp.max(self.r_hat)), float(self.effective_samples)
        if not effective >= 20:
            found.append(
                f"{effective:.0f} effective samples at the end: pass a larger steps= than "
                f"{self.steps}"
            )
        if not worst < 1.2:
            found.append(
                f"R-hat is {worst:.2f}: the chains have not mixed (or sit in different modes); "
                "tune for longer, or start them from tj.Equilibrium"
            )
        if self.adjusted and not float(self.rejected) < 0.8:
            found.append(
                f"{float(self.rejected):.0%} of the last proposals were refused: pass a "
                "tj.LocalStep of a smaller angle"
            )
        if not self.adjusted and float(self.rejected) > 0:
            found.append(
                f"{float(self.rejected):.1%} of the last stage diverged and was taken back: this "
                "potential has narrow places that the step cannot enter, and the chains are "
                "biased: pass adjusted=tj.LocalStep()"
            )
        off = float(jnp.abs(jnp.mean(self.virial) - 1))
        error = (2 / (effective * self.virial.size)) ** 0.5
        if not off < 0.02 + 4 * error:
            cure = "a larger steps=" if self.adjusted else "a smaller accuracy="
            found.append(
                f"the mean of x dU/dx is {float(jnp.mean(self.virial)):.3f} kT and should be 1: "
                f"pass {cure}"
            )
        return found

    def __str__(self):
        slow = self.chains / float(self.effective_samples_per_step)
        lines = [
            f"{self.chains} chains tuned in {self.steps} steps: autocorrelation time at most "
            f"{slow:.0f} steps, R-hat at most {float(jnp.max(self.r_hat)):.3f}, "
            f"mean virial {float(jnp.mean(self.virial)):.3f}"
            + (f", {float(self.acceptance):.0%} of proposals accepted" if self.adjusted else ""),
            *self.concerns(),
        ]
        return "\n".join(lines)


class Tuned(eqx.Module):
    """A system and chains that are ready to sample: `tj.advance(system, chain, dt=dt, steps=20)`.

    - `system`: the one given, its bath with the mass and the friction found, each of the shape of
      one position, its protocol held at the initial control.
    - `dt`: the time step, a scalar. `chain`: the chains where tuning left them, ledger at zero.
    - `report`: a `tj.TuningReport`.
    """

    system: Underdamped
    dt: Float[Array, ""]
    chain: Chain
    report: TuningReport


def tune(
    system: AbstractSystem,
    key: PRNGKeyArray,
    *,
    batch: int | None = None,
    initial: Any = None,
    steps: int = 3072,
    accuracy: float = 0.02,
    adjusted: LocalStep | None = None,
) -> Tuned:
    r"""Choose mass, friction and time step for sampling exp(-U/kT), from the chains themselves.

    What others call window adaptation or warm-up, for persistent underdamped chains (BAOAB):

    - mass_i = sqrt(Var(dU/dx_i) / Var(x_i)) over chains and time: that of a quadratic well is
      its curvature, exact from two samples; elsewhere a compromise of wide and narrow places;
    - friction / mass = sqrt(2 (friction / mass) / tau) for the slowest coordinate: the damping at
      which x and x^2 of a slow mode decorrelate equally fast;
    - dt such that <shadow work of one step ^2> / (kT^2 dim) = `accuracy`, and at most 1.6 / omega,
      omega^2 the stiffest eigenvalue of Hessian / mass that any chain meets.

    Six stages of equal length; the first half of each is left out of what is judged. A path
    that diverges within 32 steps is taken back and goes the other way. The chains are not
    Metropolis-adjusted: the error of the step remains in averages, and `report.virial` shows it.

    With `adjusted` they are, each with steps of its own, for potentials whose wide and narrow
    places want steps that differ much. Then

    - mass_i = exp(<ln |dU/dx_i - mean|> - <ln |x_i - mean|>), of a typical place: the narrowest
      that a chain has met would rule a variance;
    - friction / mass = 1 / (32 dt): a proposal of 32 steps forgets its momentum;
    - dt = angle / exp(<ln omega>), the step of the widest places, omega as in `tj.LocalStep`.

    Sample as it was tuned, by `tj.advance(..., dt=tuned.dt, steps=32, adjusted=tj.LocalStep())`.

    **Arguments:** `system`, underdamped, bath constant in time; its mass and friction are first
    guesses of the mass only. `key`, `batch`, `initial` as `tj.start`: positions near the bulk are
    enough, `tj.Equilibrium` is safer where there are several modes. `steps`, integration steps in
    all; `accuracy`, a number: a larger one samples faster and with more bias, where chains are not
    `adjusted`; that is a `tj.LocalStep`.

    **Returns:** a `tj.Tuned`. Outside of jit it warns of what its report finds wrong. **Raises:**
    ValueError for an overdamped or driven system, schedules in the bath, too few steps or chains,
    an `adjusted` that is no `tj.LocalStep`, or where no time step is found. **Cost:** `steps`
    gradients per chain, and about a quarter more; no gradient flows through.

    **Source:** windows: B. Carpenter et al., J. Stat. Softw. 76 (2017); masses from gradients as
    in nutpie (A. Seyboldt and others); the energy error per dimension as a measure of the step:
    J. Robnik, G. B. De Luca, E. Silverstein, U. Seljak, JMLR 24, 311 (2023).
    """
    check_key(key)
    if not isinstance(system, Underdamped):
        raise ValueError(
            f"system is a {type(system).__name__}: tj.tune needs momenta, pass a tj.Underdamped"
        )
    if system.bath.scheduled or system.drive is not None:
        raise ValueError(
            "tj.tune samples one equilibrium: expected a bath constant in time and no drive"
        )
    steps = whole("steps", steps, SHORTEST)
    if not isinstance(adjusted, LocalStep | None):
        raise ValueError(f"adjusted = {shown(adjusted)}: expected a tj.LocalStep(), or None")
    real("accuracy", accuracy, "a number between 0 and 1", lambda x: (x > 0) & (x < 1))
    ready = prepare_start(system, initial, batch)
    if ready.batch < 2:
        raise ValueError("batch = 1: tj.tune compares chains, expected two or more")
    system, ready = with_unit_mass(system, ready)
    system = checked_start(system, ready)
    assert isinstance(system, Underdamped)
    way = Free(floating(accuracy)) if adjusted is None else Local(adjusted)
    tuned, burn_in = tuned_chains(system, key, ready, steps // STAGES // CHUNK, way)
    warn_burn_in(burn_in, system.potential)
    if known(tuned.dt) is not None and (concerns := found_wrong(tuned)):
        warnings.warn("tj.tune: " + "; ".join(concerns), stacklevel=2)
    return tuned


def with_unit_mass(system: Underdamped, ready: Start) -> tuple[Underdamped, Start]:
    """The system and its start with masses whose geometric mean is 1, in units of time to match.

    A factor of all masses is a unit of time and nothing else, and tuning finds its own. Squares of
    momenta are out of the range of float32 where masses are those of molecules, in kilograms.
    """
    leaves = jax.tree.leaves(system.bath.mass)
    typical = jnp.exp(sum(jnp.mean(jnp.log(leaf)) for leaf in leaves) / len(leaves))
    mass = jax.tree.map(lambda leaf: leaf / typical, system.bath.mass)
    system = system.replace(bath=dataclasses.replace(system.bath, mass=mass))
    if ready.state is not None:
        momentum = jax.tree.map(lambda p: p / jnp.sqrt(typical), ready.state.momentum)
        state = dataclasses.replace(ready.state, momentum=momentum)
        ready = dataclasses.replace(ready, state=state)
    return system, ready


def check_range(tuned: Tuned) -> None:
    """Refuse masses whose momenta, squared, the dtype does not hold. **Raises:** ValueError."""
    kt, dtype = np.asarray(tuned.system.bath.temperature, float), tuned.dt.dtype
    squares = [kt * np.asarray(mass, float) for mass in jax.tree.leaves(tuned.system.bath.mass)]
    info = jnp.finfo(dtype)
    least, most = float(info.tiny / info.eps), float(info.max) * float(info.eps)
    if all(np.all((least < x) & (x < most)) for x in squares):
        return
    low, high = min(x.min() for x in squares), max(x.max() for x in squares)
    raise ValueError(
        f"mass times kT is {low:.2g} to {high:.2g} where tj.tune sets the masses to the curvature "
        f"of {type(tuned.system.potential).__name__}, beyond the squares that {dtype} holds: "
        f"{UNITS}"
    )


def found_wrong(tuned: Tuned) -> list[str]:
    """The problems of a tuning, in sentences.

    **Raises:** ValueError where there is nothing to sample with.
    """
    dt, lost = np.asarray(tuned.dt), int(tuned.chain.diverged)
    name, count = type(tuned.system.potential).__name__, len(tuned.chain.ledger.work)
    stuck = (
        f"{lost} of {count} chains stand where {name} has no finite energy: begin from other "
        "positions, initial=, or from tj.Equilibrium"
    )
    if lost == count:
        raise ValueError(f"tj.tune has found nothing: {stuck}")
    if not (np.isfinite(dt) and dt > 0):
        beyond = f"energies or forces of {name} leave the range of {dt.dtype}: {UNITS}"
        raise ValueError(f"tj.tune has found no time step (dt = {dt}): {stuck if lost else beyond}")
    check_range(tuned)
    return ([stuck] if lost else []) + tuned.report.concerns()


@eqx.filter_jit
def tuned_chains(system: Underdamped, key, ready: Start, chunks: int, way: AbstractWay):
    """The compiled part of `tune`."""
    state, _, burn_in = draw_start(system, key, ready)
    state = jax.lax.stop_gradient(cast(state, ready.dtype))
    state = dataclasses.replace(state, dynamics=dynamics_of(system))
    sample = jax.tree.map(lambda x: x[0], state.position)
    vector, unravel = ravel_pytree(sample)
    control = system.protocol.initial
    spread = lambda m, x: jnp.broadcast_to(jnp.asarray(m, x.dtype), x.shape)
    mass, _ = ravel_pytree(jax.tree.map(spread, like_position(system.bath.mass, sample), sample))
    way = cast(way, vector.dtype)
    setting = way.first_setting(system, mass, unravel, control, state)
    run = partial(stage, way, system, unravel, control, chunks)
    keys = jax.random.split(purpose_key(key, Purpose.TUNING), STAGES)
    (setting, state), records = jax.lax.scan(run, (setting, state), keys)
    last = jax.tree.map(lambda x: x[-1], records)
    system = system_of(system, setting, unravel, control)
    chain, _ = begin(system, purpose_key(key, Purpose.CHAIN), Start(state=state, batch=ready.batch))
    report = reported(last, STAGES * chunks * CHUNK, ready.batch, isinstance(way, Local))
    return stopped(Tuned(system, setting.step, chain, report)), burn_in


def reported(last: StageRecord, steps: int, chains: int, adjusted: bool) -> TuningReport:
    return TuningReport(
        last.tau,
        last.tau_square,
        last.r_hat,
        last.virial,
        last.energy_error,
        last.rejected,
        steps,
        chains,
        adjusted,
    )
