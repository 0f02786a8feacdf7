"""The account of an inference: a refrigerator for the weights of a model."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..estimate import Estimate, weighted_mean


class Account(eqx.Module):
    r"""The cost of turning the prior into the posterior, in kT (nats), each a `tj.Estimate`.

    Work is done to carry entropy out of the weights into the bath, as in a refrigerator. With all
    the weights at rest again, as they are in the posterior,

        heat = work - energy_change,    work = free_energy_change + dissipated_work,
        heat = entropy_drop + dissipated_work.

    - `work`: of the reservoir that switches the couplings on, shadow work included.
    - `heat`: to the bath, until the weights have come to rest. `ramp_heat`: what of it was given
      off before the ramp ended.
    - `energy_change`: of the mean energy. `free_energy_change`: -ln p(y), the least work.
    - `dissipated_work`: the work beyond it.
    - `entropy_drop`: S(prior) - S(posterior), the least heat. Its mean over the data that the model
      itself expects is the mutual information of the data and the weights.
    - `information`: the relative entropy D(posterior|prior), what these data have told.
    """

    work: Estimate
    heat: Estimate
    ramp_heat: Estimate
    energy_change: Estimate
    free_energy_change: Estimate
    dissipated_work: Estimate
    entropy_drop: Estimate
    information: Estimate

    @classmethod
    def of(
        cls,
        work: Float[Array, " paths"],
        ramp_heat: Float[Array, " paths"],
        alive: Float[Array, " paths"],
        before: Float[Array, " n"],
        after: tuple[Float[Array, " m"], Float[Array, " m"]],
        weights: Float[Array, " m"],
        log_evidence: Estimate,
    ) -> Account:
        """**Arguments:** of every ramp its `work` and heat; -ln prior of draws of the prior,
        `before`; -ln prior and -ln likelihood of samples of the posterior with their `weights`."""
        prior, likelihood = after
        spent = weighted_mean(work, alive)
        start = weighted_mean(before, jnp.ones_like(before))
        end = weighted_mean(prior + likelihood, weights)
        gained = weighted_mean(-likelihood, weights)
        change = combined((1, end), (-1, start))
        free = combined((-1, log_evidence))
        return cls(
            work=spent,
            heat=combined((1, spent), (-1, change)),
            ramp_heat=weighted_mean(ramp_heat, alive),
            energy_change=change,
            free_energy_change=free,
            dissipated_work=combined((1, spent), (-1, free)),
            entropy_drop=combined((1, free), (-1, change)),
            information=combined((1, gained), (1, free)),
        )


def combined(*terms: tuple[int, Estimate]) -> Estimate:
    """A sum of estimates that do not know of each other, each with its sign."""
    value = sum(sign * term.value for sign, term in terms)
    error = jnp.sqrt(sum(jnp.square(jnp.asarray(term.error)) for _, term in terms))
    count = min((term.count for _, term in terms), key=lambda n: float(jax.numpy.asarray(n)))
    return Estimate(value, error, count)
