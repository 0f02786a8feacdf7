"""What is inferred: a prior and a likelihood apart, and how a position is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, PyTree

from .._arguments import function
from .._component import AbstractComponent
from ..potential import AbstractPotential, require_potential
from ..sampling import Equilibrium


class Model(AbstractComponent):
    r"""A prior -ln p(x) and a likelihood -ln p(y|x) as energies (kT = 1) of one position x.

    The likelihood keeps its normalizer in y and knows nothing of the prior: what is handed in twice
    counts twice. The prior's own normalizer cancels in the evidence.

    **Arguments:**

    - `prior`: a potential, or None for a flat one, which has a posterior and no evidence.
    - `likelihood`: a potential. One that also is a `tj.AbstractLikelihood` can draw data and take
      others, and so be calibrated.
    - `template`: ONE position, where neither potential knows its shape.
    - `constrain`: a function of one position that returns what people call it by, a dict of arrays
      (a NumPyro model's sites); None where the position itself is.

    **Raises:** ValueError for what is no potential, and where nothing knows a position's shape.
    """

    prior: AbstractPotential | None
    likelihood: AbstractPotential
    template: PyTree[Array]
    constrain: Callable[[Any], dict[str, Array]] | None

    def __init__(
        self,
        prior: AbstractPotential | None,
        likelihood: AbstractPotential,
        *,
        template: PyTree[Array] | None = None,
        constrain: Callable[[Any], dict[str, Array]] | None = None,
    ):
        self.prior = None if prior is None else require_potential("prior", prior)
        self.likelihood = require_potential("likelihood", likelihood)
        if constrain is not None:
            function("constrain", constrain, "a function of one position that returns a dict")
        self.constrain = constrain
        if template is None:
            known = (p.template(None) for p in (self.prior, self.likelihood) if p is not None)
            template = next((x for x in known if x is not None), None)
        if template is None:
            raise ValueError(
                "nothing says what a position of this model looks like: pass template=, ONE "
                "position such as jnp.zeros(dim)"
            )
        self.template = Equilibrium(template).template

    def shown(self, position: PyTree[Array]) -> dict[str, Array]:
        """Positions `(n, ...)` as a dict of arrays `(n, ...)`: the sites of `constrain`, the leaves
        of a pytree by their path, or `x`."""
        if self.constrain is not None:
            return jax.vmap(self.constrain)(position)
        leaves = jax.tree_util.tree_leaves_with_path(position)
        if len(leaves) == 1 and not leaves[0][0]:
            return {"x": leaves[0][1]}
        return {
            jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves
        }
