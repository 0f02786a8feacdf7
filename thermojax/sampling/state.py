"""Where a batch of paths is, and what a run returns."""

from __future__ import annotations

import warnings
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PyTree

from .._arguments import flag, is_real
from .._component import AbstractComponent, known, shown
from .._tree import by_name
from ..dynamics import Clock
from ..estimate import Estimate, weighted_mean
from ..interop.arviz import inference_data, weighted_draws
from ..ledger import Ledger
from ..system import AbstractSystem, Overdamped
from .burn_in import BurnInReport

UNDERDAMPED, OVERDAMPED = "underdamped", "overdamped"


class State(AbstractComponent):
    """Positions and momenta of a batch: every leaf has the batch as its first axis.

    An overdamped state carries the hidden momentum of its integrator, in units of sqrt(mass).
    `dynamics` says which it is, "underdamped" or "overdamped"; a state of the other kind is refused
    as a start. None, where nobody has said: it is taken as what the system needs.
    """

    position: PyTree[Array]
    momentum: PyTree[Array]
    dynamics: str | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        if self.dynamics not in (None, UNDERDAMPED, OVERDAMPED):
            raise ValueError(
                f"dynamics = {shown(self.dynamics)}: expected "
                f"'{UNDERDAMPED}', '{OVERDAMPED}', or None"
            )


def dynamics_of(system: AbstractSystem) -> str:
    """Which kind of momenta a system has."""
    return OVERDAMPED if isinstance(system, Overdamped) else UNDERDAMPED


def check_dynamics(name: str, dynamics: str | None, system: AbstractSystem, cure: str) -> None:
    """**Raises:** ValueError for the momenta of one kind of dynamics on a system of the other."""
    if dynamics in (None, dynamics_of(system)):
        return
    raise ValueError(
        f"{name} holds momenta of {dynamics} dynamics and the system is {dynamics_of(system)} (the "
        f"momentum of overdamped paths is the integrator's own, in units of sqrt(mass)): {cure}"
    )


class Snapshots(AbstractComponent):
    """Observations saved along the way: `values` with a leading axis of `times`.

    At time 0 after the first jump and kick, at the end after the last. `control` `(times, ...)` is
    what the potential holds there: that of the middle of the coming step, and at the end the last.
    """

    times: Float[Array, " times"]
    control: Array
    values: Any


class Result(AbstractComponent):
    """The result of `tj.simulate`. Arrays of the batch have it as their first axis.

    - `position`, `momentum`: at the end. `ledger`: a `tj.Ledger`, energies `(batch,)`.
    - `log_weight`, `(batch,)`: -(beta_1 H_1 - beta_0 H_0) - bath_entropy; with one temperature
      it is -beta (total work), and <exp(log_weight)> = Z_1 / Z_0 at any step.
    - `score`, `(batch,)`: zero, but its gradient carries the dependence of the initial law on
      parameters where draws do not; every mean taken here uses it.
    - `saved`: `tj.Snapshots`, or None. `burn_in`: a `tj.BurnInReport`, or None where the start
      was exact or given.
    - `antithetic`: whether the paths 2j and 2j + 1 had opposite noise, as errors must know.
    - `dynamics`: "underdamped" or "overdamped", whose momenta these are.
    """

    position: PyTree[Array]
    momentum: PyTree[Array]
    ledger: Ledger
    log_weight: Float[Array, " batch"]
    score: Float[Array, " batch"]
    saved: Snapshots | None
    burn_in: BurnInReport | None
    antithetic: bool = eqx.field(static=True, default=False)
    dynamics: str | None = eqx.field(static=True, default=None)

    @property
    def state(self) -> State:
        return State(self.position, self.momentum, self.dynamics)

    @property
    def weights(self) -> Float[Array, " batch"]:
        """1 for paths that survived, 0 for those that diverged, with the score's gradient."""
        return self.ledger.alive * jnp.exp(self.score)

    def mean(self, values: ArrayLike) -> Estimate:
        """The mean over the surviving paths of `(batch, ...)` values, with its standard error.

        nan where no path survived, its error where fewer than two did; outside of jit it warns.

        **Raises:** ValueError for values that are not one for each path.
        """
        batch = self.log_weight.shape[0]
        if not is_real(values) or np.shape(values)[:1] != (batch,):
            came = f"an array of shape {np.shape(values)}" if is_real(values) else shown(values)
            raise ValueError(f"values = {came}: expected real numbers of shape ({batch}, ...)")
        found = weighted_mean(jnp.asarray(values), self.weights, self.antithetic)
        if (count := known(found.count)) is not None and count < min(batch, 2):
            why = "one path survived, and no error can be stated"
            if count == 0:
                why = "all paths diverged, and no mean is left"
            warnings.warn(f"{why} ({batch} paths): take a smaller dt", stacklevel=3)
        return found

    @property
    def diverged(self) -> Int[Array, ""]:
        """The number of paths that left the range of finite numbers."""
        return jnp.sum(self.ledger.diverged)

    def to_arviz(self, *, resampled: bool = True, snapshots: bool = False):
        """The run as ArviZ plots and summarizes it: `arviz.summary(out.to_arviz())`.

        Paths do not weigh the same, and ArviZ knows no weights: one chain of draws is taken among
        the final positions by weight, each about as often as its weight says (systematic
        resampling, in which nothing is random), as many as there are effective samples. Errors that
        ArviZ finds from the draws are then those of the weighted means.

        **Arguments:** `resampled=False`: all paths as they are, weights in `sample_stats`.
        `snapshots=True`: what `save=` kept of a run at one control, unweighted; a path is a chain
        and a time a draw, as for trace plots, effective sample sizes and R-hat.

        **Returns:** an `InferenceData` before version 1 of ArviZ, a `DataTree` from there on.
        `posterior` holds the leaves of the position by their path (one array alone is `x`),
        `(chain, draw, ...)`; `sample_stats` log_weight, work (the total), heat, shadow_work,
        diverging and path, `(chain, draw)`.

        **Raises:** ImportError that names the extra, where ArviZ is missing; ValueError where there
        are no snapshots of states, or of more than one control.
        """
        flag("resampled", resampled)
        if not flag("snapshots", snapshots):
            log_weight = jnp.where(self.ledger.alive > 0, self.log_weight, -jnp.inf)
            stats = statistics(self.ledger)
            return weighted_draws(by_name(self.position), log_weight, stats, resampled=resampled)
        kept = None if self.saved is None else self.saved.values
        if self.saved is None or not (isinstance(kept, tuple) and isinstance(kept[0], State)):
            raise ValueError(
                "snapshots = True: expected a run with save=, and without observe=, that kept its "
                "states"
            )
        control = np.asarray(self.saved.control)
        if np.any(control != control[0]):
            raise ValueError(
                "snapshots = True: the control changes from snapshot to snapshot, and each is of "
                "another law: expected the run of a tj.Constant protocol"
            )
        paths_first = lambda arrays: {k: np.swapaxes(x, 0, 1) for k, x in arrays.items()}
        posterior, stats = by_name(kept[0].position), statistics(kept[1])
        return inference_data(
            {"posterior": paths_first(posterior), "sample_stats": paths_first(stats)}
        )


class Chain(AbstractComponent):
    """Persistent paths for a training loop: `tj.start` makes one, `tj.advance` moves it on.

    Positions and momenta have the batch as their first axis, energies are `(batch,)`.
    `control` is the value that the potential holds now, a scalar or `(k,)`, `temperature` the kT
    of the bath, `step` the absolute step since the start, `words` the noise key: the chain is a
    pytree to carry through jit, scan and checkpoints.

    `proposed` and `accepted`, `(batch,)`: proposals of `tj.advance(..., adjusted=...)` since the
    start or the last `tj.switch`, of the path while it was alive. `dynamics`: "underdamped" or
    "overdamped", whose momenta these are.
    """

    position: PyTree[Array]
    momentum: PyTree[Array]
    ledger: Ledger
    control: Array
    clock: Clock
    step: Int[Array, ""]
    words: tuple[Array, Array]
    temperature: Float[Array, ""]
    temperature_start: Float[Array, ""]  # when the ledger was opened
    log_mean_weight: Float[Array, " batch"]  # of what has been resampled, in each one's group
    proposed: Int[Array, " batch"]
    accepted: Int[Array, " batch"]
    dynamics: str | None = eqx.field(static=True, default=None)

    @property
    def state(self) -> State:
        return State(self.position, self.momentum, self.dynamics)

    @property
    def time(self) -> Float[Array, ""]:
        """The time since the start, a scalar: exact step by step, then rounded."""
        return self.clock.time

    @property
    def diverged(self) -> Int[Array, ""]:
        """The number of paths that left the range of finite numbers, or began outside."""
        return jnp.sum(self.ledger.diverged)

    @property
    def acceptance(self) -> Float[Array, ""]:
        """The share of proposals that were accepted, a scalar; NaN where nothing was proposed."""
        dtype = self.ledger.work.dtype
        taken, all_ = (jnp.sum(x.astype(dtype)) for x in (self.accepted, self.proposed))
        return taken / all_

    @property
    def log_weight(self) -> Float[Array, " batch"]:
        r"""-(beta H - beta_0 H_0) - bath_entropy, `(batch,)`: the logarithm of Jarzynski's weight.

        With one temperature -total_work / kT. The mean of exp(log_weight) over all paths is
        Z(control now) / Z(control at the start), at any step, where the chain began in
        equilibrium; weighted by it, the paths sample the equilibrium of the control now.
        `tj.resample` makes the weights equal and keeps their mean. Minus infinity for a path that
        has diverged: it carries no weight.

        Weights belong to parameters that did not learn from these paths. Trained on the walkers
        themselves, the evidence comes out biased (measured: 4 to 5 standard errors too low); fresh
        walkers taken through the stored parameters are unbiased.
        """
        book, warmed = self.ledger, 1 / self.temperature - 1 / self.temperature_start
        # H - H_0 = total work - heat put in: at one temperature no large energies are subtracted.
        exponent = (book.heat - book.total_work) / self.temperature - book.bath_entropy
        exponent = exponent - warmed * book.energy_start
        return jnp.where(book.alive > 0, self.log_mean_weight + exponent, -jnp.inf)

    @property
    def effective_samples(self) -> Float[Array, ""]:
        """(sum w)^2 / sum w^2 of the weights, a scalar: resample where it has become small."""
        weight = self.log_weight
        twice, squares = 2 * logsumexp(weight), logsumexp(2 * weight)
        return jnp.exp(twice - squares)

    def to_arviz(self, *, resampled: bool = True):
        """The paths where they are now, as ArviZ plots and summarizes them.

        As `tj.Result.to_arviz`: one chain of draws taken by weight, as many as there are effective
        samples; with `resampled=False` all paths as they are. Weights of a chain that moved freely
        at one control hold the shadow work of its steps and nothing else.

        **Returns:** an `InferenceData` before version 1 of ArviZ, a `DataTree` from there on:
        `posterior`, `(1, draw, ...)`, and `sample_stats`, `(1, draw)`. **Raises:** ImportError that
        names the extra, where ArviZ is missing.
        """
        flag("resampled", resampled)
        stats = statistics(self.ledger)
        return weighted_draws(by_name(self.position), self.log_weight, stats, resampled=resampled)

    def __repr__(self):
        numbers = [known(x) for x in (self.time, self.step, self.diverged, self.acceptance)]
        if any(x is None or x.ndim for x in numbers):  # inside of jit, or many chains by vmap
            return eqx.tree_pformat(self)
        time, step, diverged, acceptance = (x.item() for x in numbers if x is not None)
        paths = len(self.ledger.work)
        words = [
            f"{paths:,} {self.dynamics} paths at time {time:.6g} (step {step:,})",
            f"{diverged:,} diverged",
        ]
        if np.any(np.asarray(self.proposed)):
            words.append(f"{acceptance:.1%} of proposals accepted")
        return f"Chain({', '.join(words)})"

    __str__ = __repr__


def statistics(ledger: Ledger) -> dict[str, Array]:
    """The entries of a ledger that ArviZ keeps, under the names that it knows."""
    return {
        "work": ledger.total_work,
        "heat": ledger.heat,
        "shadow_work": ledger.shadow_work,
        "diverging": ledger.diverged,
    }


def as_state(initial) -> State | None:
    """The state in anything that holds one."""
    if isinstance(initial, State):
        return initial
    return initial.state if isinstance(initial, Result | Chain) else None
