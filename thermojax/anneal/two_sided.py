"""Both directions of an annealing together: the sharpest estimate, and whether modes are lost."""

from __future__ import annotations

import warnings

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._arguments import instance
from .._component import known
from ..estimate import Estimate
from ..estimators import FreeEnergy
from ..estimators.free_energy import bennett
from .annealed import Annealed, AnnealedBack

LOST = 0.1  # of the share that forward paths claim: target samples that see less see lost modes


class TwoSided(eqx.Module):
    """ln Z from both directions of one annealer, from `tj.anneal.two_sided`.

    - `log_z`, a scalar: Bennett's estimate. `elbo` <= ln Z <= `eubo`.
    - `forward_share`: the effective share of forward paths by their own weights;
      `share_seen`: the same as the samples of the target see it, Z / <w>.
    """

    log_z: Estimate
    elbo: Estimate
    eubo: Estimate
    forward_share: Float[Array, ""]
    share_seen: Float[Array, ""]

    @property
    def doubt(self) -> str | None:
        """The reason in words not to trust the forward runs; None while tracing."""
        own, seen = known(self.forward_share), known(self.share_seen)
        if own is None or seen is None or not seen < LOST * own:
            return None
        return (
            f"the annealer loses modes or tails: by their own weights {own:.1%} of its paths "
            f"count, by samples of the target {seen:.1g}; widen the base, take more steps, or "
            "train with objective='log_variance' from a wide base"
        )


def two_sided(there: Annealed, back: AnnealedBack) -> TwoSided:
    """Bennett's estimate of ln Z, both bounds, and a warning where forward paths miss modes.

    Forward paths that never reach a mode cannot know that it is there: they may all weigh the same
    and agree on an ln Z that is too low. Samples of the target know. Crooks' theorem itself is
    `tj.fluctuation.crooks(-there.log_weights, back.log_weights)`: it crosses zero at -ln Z.

    **Arguments:** `there`, from `Annealer.run` without resampling, and `back`, from
    `Annealer.reverse` of the same annealer. **Returns:** a `TwoSided`.
    **Raises:** ValueError for anything else, or a run with resampling.

    **Source:** C. H. Bennett, J. Comput. Phys. 22, 245 (1976); R. B. Grosse, S. Ancha, D. Roy,
    NeurIPS 2016.
    """
    instance("there", there, Annealed, "the result of Annealer.run")
    instance("back", back, AnnealedBack, "the result of Annealer.reverse")
    if there.resampled:
        raise ValueError(
            "there was resampled, and its paths have no way back: pass a run without resample="
        )
    turned = jnp.where(back.alive > 0, -back.log_weights, -jnp.inf)
    found: FreeEnergy = bennett(there.log_weights, turned, there.alive, back.alive)
    share = there.effective_samples / there.alive.size
    seen = back.forward_effective_share(found.log_ratio.value)
    sides = TwoSided(found.log_ratio, there.elbo, back.eubo, share, seen)
    if sides.doubt is not None:
        warnings.warn(sides.doubt, stacklevel=2)
    return sides
