"""Costs in energy: work, what of it is lost, and what it tells of a free energy."""

from __future__ import annotations

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._arguments import choice, real
from ..._component import Numbers, floating
from ...distribution import Densities, Moments, log_work_moment
from ...estimate import Estimate
from ...estimators.entropy import momentum_free_energy
from ...estimators.free_energy import bennett
from ...protocol import AbstractProtocol
from ...sampling import Equilibrium, Result
from ...system import AbstractSystem, Overdamped
from .objective import AbstractObjective, exact, function_of_means, mean_work


class MeanWork(AbstractObjective):
    r"""The mean total work <W + W_shadow + W_drive + W_kick> = <Delta H + Q>, a scalar.

    The shadow work is in it, since an optimizer that sees W alone learns to hide work in the
    integrator's error.
    """

    def __call__(self, system, result):
        return mean_work(result)


class Dissipation(AbstractObjective):
    r"""The dissipated work W_diss = <W> - Delta F_eq, of the total work: a scalar, >= 0.

    Delta F_eq is that between the protocol's outside values: given, or in an exact picture from the
    law's own ledger (which starts in equilibrium), else from the potential's `free_energy`.

    **Arguments:** `free_energy_difference`: Delta F_eq, a number, where nothing else knows it.

    **Raises:** ValueError where nothing knows it, or for a temperature that changes in time.
    """

    free_energy_difference: Float[Array, ""] | None

    def __init__(self, free_energy_difference: Numbers | None = None):
        given = free_energy_difference
        if given is not None:
            given = floating(real("free_energy_difference", given, "one number, or None"))
        self.free_energy_difference = given

    def __call__(self, system, result):
        work = mean_work(result)
        return Estimate(work.value - self.difference(system, result), work.error, work.count)

    def difference(self, system, result):
        """Delta F_eq of the system."""
        if self.free_energy_difference is not None:
            return self.free_energy_difference
        kt = system.bath.temperature
        if isinstance(kt, AbstractProtocol):
            raise ValueError(
                "the temperature changes in time: Dissipation needs free_energy_difference="
            )
        if isinstance(result, Moments | Densities):
            ledger = result.ledger
            before = ledger.free_energy[0] - ledger.work[0]  # a jump does not move the law
            return ledger.equilibrium_free_energy[-1] - before
        sample = jax.tree.map(lambda x: x[0], result.position)
        ends = (system.protocol.initial, system.protocol.final)
        before, after = (system.potential.free_energy(c, kt, sample) for c in ends)
        if before is None or after is None:
            raise ValueError(
                f"{type(system.potential).__name__} does not know its free energy: pass "
                "tj.Dissipation(free_energy_difference=...), for example from tj.free_energy"
            )
        light, heavy = (momentum_free_energy(system, sample, end) for end in ("initial", "final"))
        return (after - before) + (heavy - light)  # the latter where the mass changes


class FreeEnergyVariance(AbstractObjective):
    r"""The variance, per path, of the estimate of ln(Z_1/Z_0) from the work: a scalar.

    `"forward"`: of Jarzynski's, <w^2>/<w>^2 - 1 with w = exp(-beta W), n times the squared error of
    n paths; `"reverse"`: of the same average over the reverse run; `"both"`: of Bennett's
    estimate from as many paths each way, per path of either.

    Dominated by few paths where it is large: start from a protocol of little dissipation. Exact
    for `tj.ExactMoments` (one direction, without kicks).

    **Arguments:** `direction`: `"forward"`, `"reverse"` or `"both"`.

    **Raises:** ValueError for another direction, or a picture that does not know the work's law.

    **Source:** C. H. Bennett, J. Comput. Phys. 22, 245 (1976), eq. (10).
    """

    direction: Literal["forward", "reverse", "both"] = eqx.field(static=True)

    def __init__(self, direction: Literal["forward", "reverse", "both"] = "forward"):
        self.direction = choice("direction", direction, ("forward", "reverse", "both"))

    def runs_reverse(self):
        return self.direction != "forward"

    def __call__(self, system, result):
        """The variance from one run alone, in its own direction."""
        if isinstance(result, Moments):
            start = equilibrium_template(system, result)
            first, second = (log_work_moment(system, order, start) for order in (1.0, 2.0))
            return exact(jnp.expm1(second - 2 * first))
        return relative_variance(sampled(result), jnp.exp(relative_logs(result, result.log_weight)))

    def of(self, runs):
        if self.direction == "forward":
            return self(runs.system, runs.forward)
        back = runs.reverse
        if self.direction == "reverse":
            return self(runs.reversed_system, back)
        there, back = sampled(runs.forward), sampled(back)
        root = bennett(
            there.log_weight, back.log_weight, there.ledger.alive, back.ledger.alive
        ).log_ratio.value
        sides = ((there, there.log_weight - root), (back, back.log_weight + root))
        # ln sigma: far from overlap the shares themselves are below the smallest float.
        a, b = (
            relative_variance(out, jnp.exp(relative_logs(out, jax.nn.log_sigmoid(x))))
            for out, x in sides
        )
        return Estimate(a.value + b.value, jnp.hypot(a.error, b.error), a.count + b.count)


def equilibrium_template(system: AbstractSystem, result: Moments) -> Equilibrium:
    """The start that the two averages stand for, of as many coordinates as the law has."""
    found = system.potential.template(system.protocol.initial)
    if found is not None:
        return Equilibrium(found)
    size = result.mean.shape[1] // (1 if isinstance(system, Overdamped) else 2)
    return Equilibrium(jnp.zeros(size, result.mean.dtype))


def sampled(result) -> Result:
    if not isinstance(result, Result):
        raise ValueError(
            f"a {type(result).__name__} does not know the law of the work: train "
            "FreeEnergyVariance with paths (picture=None)"
        )
    return result


def relative_logs(result: Result, log_weight: Float[Array, " batch"]) -> Float[Array, " batch"]:
    """Logarithms relative to the largest of a surviving path, so that none overflows."""
    alive = result.ledger.alive > 0
    weight = jnp.where(alive, log_weight, 0)
    return weight - jax.lax.stop_gradient(jnp.max(jnp.where(alive, weight, -jnp.inf)))


def relative_variance(result: Result, w: Float[Array, " batch"]) -> Estimate:
    """<w^2>/<w>^2 - 1 over the paths."""
    values = jnp.stack([w, w**2], axis=1)
    return function_of_means(result, values, lambda mean: mean[1] / mean[0] ** 2 - 1)
