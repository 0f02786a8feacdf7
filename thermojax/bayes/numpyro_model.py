"""NumPyro models as prior and likelihood."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

from .._arguments import function
from ..interop.extras import needed
from .model import Model


def from_numpyro(model: Callable, /, *args: Any, **kwargs: Any) -> Model:
    r"""A NumPyro model and its arguments as a `tj.bayes.Model`: prior and likelihood apart.

        model = tj.from_numpyro(eight_schools, sigma, y=y)
        posterior = tj.bayes.infer(model, key)
        posterior.samples["theta"]

    Observed sites are the likelihood, all others the prior. A position is a dict of unconstrained
    arrays by site, and the prior holds the Jacobians of the transforms that constrain them, so that
    it is the normalized density of what it is asked for; `Model.shown` gives the model's own sites,
    `numpyro.deterministic` ones with them. The prior is drawn exactly, by running the model.

    - `numpyro.factor` counts as likelihood, and so does an observed site that a handler scales. A
      likelihood with such terms cannot draw data, so that its model cannot be calibrated.
    - Where a prior is improper (`ImproperUniform`, a mask on a latent site) there is no evidence:
      the model's prior is None, its likelihood the whole density, and a warning says so.
    - `numpyro.param` keeps the value that it begins with, as in NumPyro's own Markov chains.
    - Handlers work, those of reparametrization among them: pass the handled model.

    **Arguments:** `model`, a function of NumPyro primitives; `args`, `kwargs`, what it is called
    with. Arrays among them, `(...)` each, are leaves of the potentials: other data of the same
    shapes run the same program.

    **Returns:** a `tj.bayes.Model`. Its likelihood is a `tj.AbstractLikelihood` whose rows are the
    elements of the observed sites and whose data are an array (a dict by site for several).

    **Raises:** ImportError that names the extra, where NumPyro is missing; ValueError for discrete
    latent sites, plates that subsample, data outside of the support of their distribution (NaN
    too), models that observe nothing or infer nothing, and arguments that are not the model's.
    """
    function("model", model, "a function of NumPyro primitives, such as numpyro.sample")
    try:
        inspect.signature(model).bind(*args, **kwargs)
    except TypeError as error:
        raise ValueError(f"model cannot be called with these arguments: {error}") from error
    needed("numpyro", "numpyro")
    from ..interop.numpyro import taken_apart

    prior, likelihood, constrain, improper = taken_apart(model, args, kwargs)
    if not improper:
        return Model(prior, likelihood, constrain=constrain)
    warnings.warn(
        f"the prior of {' and '.join(map(repr, improper))} is improper: the evidence of this model "
        "is not defined, prior and likelihood stay together, and inference returns the posterior "
        "alone",
        stacklevel=2,
    )
    return Model(None, prior + likelihood, constrain=constrain)
