"""The model that is inferred: a prior and a likelihood apart, and how a position is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, PyTree

from .._arguments import function
from .._component import AbstractComponent
from .._tree import by_name
from ..potential import AbstractPotential, LogDensity, require_potential
from ..sampling import Equilibrium


class Model(AbstractComponent):
    r"""A prior -ln p(x) and a likelihood -ln p(y|x) as energies (kT = 1) of one position x.

    The likelihood keeps its normalizer in y and knows nothing of the prior: what is handed in twice
    counts twice. The prior's own normalizer cancels in the evidence.

    **Arguments:**

    - `prior`: a potential, or None for a flat one, which has a posterior and no evidence.
    - `likelihood`: a potential. One that also is a `tj.AbstractLikelihood` can draw data and take
      others, and so be calibrated. A function `fn(x) -> scalar` in place of either is a log density
      of one position, as in BlackJAX: `tj.bayes.Model(logprior_fn, loglikelihood_fn, template=x)`.
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
        prior: AbstractPotential | Callable | None,
        likelihood: AbstractPotential | Callable,
        *,
        template: PyTree[Array] | None = None,
        constrain: Callable[[Any], dict[str, Array]] | None = None,
    ):
        self.prior = None if prior is None else potential_of("prior", prior)
        self.likelihood = potential_of("likelihood", likelihood)
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
        return by_name(position)


def potential_of(name: str, value) -> AbstractPotential:
    """`value`, a potential or a log density. **Raises:** ValueError for anything else."""
    if callable(value) and not isinstance(value, type | AbstractPotential):
        return LogDensity(value)
    return require_potential(name, value)


def require_energies(model: Model) -> None:
    """**Raises:** ValueError for energies that cannot be had at one position without a control."""
    for name, potential in (("prior", model.prior), ("likelihood", model.likelihood)):
        try:
            if potential is not None:
                jax.eval_shape(lambda x, u=potential: u.energy(x, None), model.template)
        except TypeError as error:
            raise ValueError(
                f"{name}: {type(potential).__name__} has no energy at one position where there is "
                f"no control ({error}); expected one that the position alone decides"
            ) from error
