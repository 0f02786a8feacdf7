"""The account of an inference: a refrigerator for the weights of a model."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..estimate import Estimate, weighted_mean
from .leg import Ramped


class Account(eqx.Module):
    r"""The cost of turning the prior into the posterior, in kT (nats), each a `tj.Estimate`.

    Work is done to carry entropy out of the weights into the bath, as in a refrigerator. With all
    the weights at rest again, as they are in the posterior,

        heat = work + copied_energy - energy_change,
        work = free_energy_change + dissipated_work,
        heat = entropy_drop + dissipated_work + copied_energy.

    - `work`: of the reservoir that switches the couplings on, shadow work included.
    - `heat`: to the bath, until the weights have come to rest. `ramp_heat`: what of it was given
      off before the ramp ended.
    - `energy_change`: of the mean energy. `free_energy_change`: -ln p(y), the least work.
    - `dissipated_work`: the work beyond it.
    - `entropy_drop`: S(prior) - S(posterior), the least heat. Its mean over the data that the model
      itself expects is the mutual information of the data and the weights.
    - `information`: the relative entropy D(posterior|prior), what these data have told.
    - `copied_energy`: what copies of others have brought into the weights beyond what they took the
      place of; zero without resampling, which is no device and is not paid for. Where it is
      negative, copying has removed entropy in the place of heat.
    """

    work: Estimate
    heat: Estimate
    ramp_heat: Estimate
    energy_change: Estimate
    free_energy_change: Estimate
    dissipated_work: Estimate
    entropy_drop: Estimate
    information: Estimate
    copied_energy: Estimate

    @classmethod
    def of(
        cls,
        device: Ramped,
        before: Float[Array, " n"],
        posterior: Ramped,
        after: tuple[Float[Array, " m"], Float[Array, " m"]],
        log_evidence: Estimate,
    ) -> Account:
        """**Arguments:** the ramps from the prior, and -ln prior `before` them; those that ended in
        samples of the `posterior`, and -ln prior and -ln likelihood `after` them."""
        prior, likelihood = after
        books = device.books
        spent = device.device_mean(books.work)
        start = weighted_mean(before, jnp.ones_like(before))
        end = posterior.mean(prior + likelihood)
        gained = posterior.mean(-likelihood)
        change = combined((1, end), (-1, start))
        free = combined((-1, log_evidence))
        return cls(
            work=spent,
            heat=combined((1, device.device_mean(books.work + books.copied_energy)), (-1, change)),
            ramp_heat=device.device_mean(books.heat),
            energy_change=change,
            free_energy_change=free,
            dissipated_work=combined((1, spent), (-1, free)),
            entropy_drop=combined((1, free), (-1, change)),
            information=combined((1, gained), (1, free)),
            copied_energy=device.device_mean(books.copied_energy),
        )


def combined(*terms: tuple[int, Estimate]) -> Estimate:
    """A sum of estimates, each with its sign, as if they did not know of each other."""
    value = sum(sign * term.value for sign, term in terms)
    error = jnp.sqrt(sum(jnp.square(jnp.asarray(term.error)) for _, term in terms))
    count = min((term.count for _, term in terms), key=lambda n: float(jax.numpy.asarray(n)))
    return Estimate(value, error, count)
