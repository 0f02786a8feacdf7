"""Schedules side by side: what ramps from a prior to a posterior dissipate in a given time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import instance, real, whole
from .._component import floating, known, shown
from .._keys import Purpose, check_key, part_key
from .._repr import aligned_text
from ..distances import transport_cost_gaussian
from ..estimate import Estimate
from ..protocol import AbstractProtocol
from .evidence import Goal
from .infer import LEAST, Inference
from .learned import FEWEST, learned
from .leg import Leg, Ramped
from .model import Model
from .schedule import SCHEDULES, check_schedule
from .stage import FRICTION

FINER = 0.5  # of the steps of `infer`: the price is to be that of haste, not of steps


class ScheduleCosts(eqx.Module):
    """The cost of the schedules of a ramp, each by its name, as arrays over the durations.

    - `durations`, `(durations,)`, in units of modes of mass and stiffness 1.
    - `dissipated`: the mean total work beyond -ln p(y), an `Estimate` of `(durations,)`, kT;
      its error holds that of ln p(y), which all schedules share.
    - `shadow_work`, `(durations,)`: what of it is owed to steps.
    - `bound`, `(durations,)`: what the same change of the law must dissipate in that time.
    - `control`, `(durations, 257)`: the couplings at even times, both ends included.
    """

    durations: Float[Array, " durations"]
    dissipated: dict[str, Estimate]
    shadow_work: dict[str, Float[Array, " durations"]]
    bound: dict[str, Float[Array, " durations"]]
    control: dict[str, Float[Array, "durations knots"]]

    def __str__(self):
        rows = [["duration", *self.dissipated, "least bound"]]
        least = np.min(np.stack([np.asarray(b) for b in self.bound.values()]), axis=0)
        for i, duration in enumerate(self.durations):
            pick = lambda e, i=i: Estimate(e.value[i], e.error[i], e.count)
            cells = [str(pick(e)) for e in self.dissipated.values()]
            rows.append([f"{float(duration):g}", *cells, f"{least[i]:.4g}"])
        return aligned_text(rows)


def compare_schedules(
    model: Model,
    key: PRNGKeyArray,
    *,
    durations: Sequence[float],
    log_evidence: Estimate | float,
    schedules: Sequence[str] | Mapping[str, str | AbstractProtocol] = SCHEDULES,
    samples: int = 4096,
) -> ScheduleCosts:
    r"""Dissipated work against duration for several schedules of `tj.bayes.infer`, and its bound.

    The ramps go from the prior to the posterior as those of `infer` do, with steps half as long. No
    ramp of duration tau dissipates less than

        kT Sigma >= gamma W_2(rho_0, rho_tau)^2 / tau,     |dx|^2 = dx^T C^-1 dx,

    with the ACTUAL law rho_tau of positions where it ends. That is the bound of overdamped motion;
    underdamped it holds for the law of positions, which mean velocities move against the friction.
    The friction of these ramps is gamma C_k^-1 where the pilot has seen the covariance C_k, and C
    is the mean of C_k over the time of the ramp. W_2 is that of Gaussians with the moments of the
    samples: exact for Gaussians, for other laws less than their W_2 (Gelbrich), and so a bound too.

    **Arguments:**

    - `model`, with a proper prior. `durations`, positive and increasing, as `duration` of `infer`.
    - `log_evidence`: ln p(y), a number that is known or `infer(model, key).log_evidence`.
    - `schedules`: names as for `infer`; or `{name: schedule}`, names and protocols of one's own.
    - `samples`: ramps of each schedule and duration; all share the pilot.

    **Returns:** a `tj.bayes.ScheduleCosts`. A duration has the same numbers whatever others stand
    beside it. **Raises:** ValueError for what `infer` refuses, and for a flat prior.

    **Cost:** `samples` times time steps gradients for each; learning takes 256 ramps more.

    **Source:** A. Dechant, Y. Sakurai, arXiv:1912.08405, for the bound; M. Gelbrich, Math. Nachr.
    147, 185 (1990), for moments.
    """
    instance("model", model, Model, "a tj.bayes.Model")
    check_key(key)
    if model.prior is None:
        raise ValueError(
            "model has a flat prior: expected a proper one, from which ramps can start"
        )
    times = known(floating(durations, "durations"))
    grows = lambda t: t[0] > 0 and np.all(np.isfinite(t)) and np.all(np.diff(t) > 0)
    if times is None or times.ndim != 1 or not len(times) or not grows(times):
        raise ValueError(
            f"durations = {shown(durations)}: expected positive times in increasing order, one or "
            "more"
        )
    if not isinstance(log_evidence, Estimate):
        log_evidence = Estimate(real("log_evidence", log_evidence, "a finite ln p(y)"), 0.0, 1)
    value = known(log_evidence.value)
    if value is None or not np.isfinite(value):
        raise ValueError(f"log_evidence = {shown(value)}: expected a finite ln p(y) that is known")
    named = by_name(schedules)
    goal = Goal(1.0, 0.5, whole("samples", samples, LEAST), np.inf)
    pilot_key, learn_key, run_key = (part_key(key, Purpose.STAGE, i) for i in range(3))
    way = Inference(model, goal, SCHEDULES[0], None, pilot_key).prior_leg()
    way = way.with_shorter_steps(FINER)
    rows = {name: [] for name in named}
    for duration in times:
        for name, schedule in named.items():
            leg, stages = way, way.stages_of(duration)
            if schedule == "learned":
                schedule = learned(leg, learn_key, max(stages, FEWEST))
            leg = leg.in_time(duration, stages, schedule)
            rows[name].append(costs(leg, stages, leg.forward(run_key, stages, samples)))
    of = lambda what: {n: jnp.stack([row[what] for row in found]) for n, found in rows.items()}
    work, error = of("work"), of("error")
    dissipated = {
        name: Estimate(
            work[name] + log_evidence.value,
            jnp.hypot(error[name], jnp.asarray(log_evidence.error)),
            samples,
        )
        for name in named
    }
    return ScheduleCosts(
        jnp.asarray(times), dissipated, of("shadow_work"), of("bound"), of("control")
    )


def by_name(schedules) -> dict[str, str | AbstractProtocol]:
    """The schedules by their names. **Raises:** ValueError for what are no schedules."""
    if not isinstance(schedules, list | tuple | Mapping) or not len(schedules):
        raise ValueError(
            f"schedules = {shown(schedules)}: expected a list of names such as 'linear', or "
            "{name: schedule}, one or more"
        )
    named = dict(schedules) if isinstance(schedules, Mapping) else {str(s): s for s in schedules}
    for name, schedule in named.items():
        check_schedule(schedule, f"schedules, {name!r}")
    return named


def costs(leg: Leg, stages: int, done: Ramped) -> dict[str, Float[Array, "..."]]:
    """Mean work, its error, shadow work, the bound and the controls of ramps that were made."""
    books, protocol = done.books, leg.protocol(stages)
    work = done.device_mean(books.work)
    return dict(
        work=jnp.asarray(work.value),
        error=jnp.asarray(work.error),
        shadow_work=books.mean(books.shadow_work),
        bound=transport_bound(leg, stages, done),
        control=protocol.values,
    )


def transport_bound(leg: Leg, stages: int, done: Ramped) -> Float[Array, ""]:
    """gamma W_2^2 / tau between the laws where ramps began and ended, in the mean metric."""
    parts = leg.stages(stages)
    factor, share = parts.coordinates.factor, parts.dt / jnp.sum(parts.dt)
    kept = np.asarray(done.books.alive) > 0
    ends = [x[kept] for x in (done.first, done.last)]
    if factor.ndim == 2:  # of standard deviations: marginal laws are no farther apart than whole
        scale = jnp.sqrt(share @ factor**2)
        moments = [m for x in ends for m in (jnp.mean(x / scale, 0), jnp.var(x / scale, 0))]
    else:
        root = jnp.linalg.cholesky(jnp.einsum("k,kij,klj->il", share, factor, factor))
        ends = [jax.scipy.linalg.solve_triangular(root, x.T, lower=True) for x in ends]
        moments = [m for x in ends for m in (jnp.mean(x, axis=1), jnp.atleast_2d(jnp.cov(x)))]
    return FRICTION * transport_cost_gaussian(*moments) / parts.duration
