"""Doubts about a model, in sentences, before anything is run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .._arguments import instance, require_untraced
from .._tree import leaf_shapes
from ..potential import (
    AbstractLikelihood,
    AbstractPotential,
    GaussianLikelihood,
    LogisticRegression,
    NetworkClassification,
    NetworkRegression,
    PoissonRegression,
    RandomEffects,
    SoftmaxRegression,
    sampler_path,
)
from .input.columns import column_doubts, prior_predictive_width
from .input.data import data_doubts
from .input.separation import Cone, cone_of, open_directions
from .input.tails import tails
from .input.terms import is_known, known_terms, listed, table_of
from .input.twice import prior_in_curvature, refuse_prior_among_terms
from .model import Model, require_energies

WIDE_LINK = {  # standard deviations of a . x under the prior, beyond which a link saturates
    LogisticRegression: 100.0,
    SoftmaxRegression: 100.0,
    RandomEffects: 100.0,
    PoissonRegression: 20.0,
}
# Up to which size a separation is looked for that is harmless, each for less than a second
HARMLESS_STEP = 5e8  # products of a step of Newton's method
HARMLESS_PROGRAM = 200_000  # numbers of a linear program


def doubts(model: Model) -> tuple[str, ...]:
    """Doubts about a prior and a likelihood, one sentence each; none where nothing is questionable.

    Looked at, exactly: columns of features that are constant, repeated, linearly dependent, not
    standardized, or decided by one row; fewer rows than columns; labels of one class; targets that
    lie far off or scatter otherwise than the noise says; classes that a hyperplane separates; a
    likelihood that holds the prior.

    Refused is what has no right answer: a flat prior whose posterior cannot be normalized (classes
    that are separated, features of too low a rank), and a prior that cannot be normalized itself,
    which has no evidence: its posterior has, as the likelihood of a model whose prior is None.

    Of a likelihood that is a function alone, such as a `tj.LogDensity`, nothing of this is known.
    It is evaluated instead, and two things are noticed. That it holds the prior: where in some
    direction it has the very curvature and slope of the prior (one of which the data say nothing),
    or very far out all of its curvature (data of which have none there, as those of classes). Not
    noticed is a posterior of many data of a Gaussian likelihood: it is one of a likelihood, too.
    That a density does not fall fast enough, along a quarter of some random rays or along a
    coordinate, such as one of the wrong sign: a mass that lies between them is not noticed.

    **Arguments:** `model`, a `tj.bayes.Model`; its arrays `(rows, dim)` must be known, not traced.

    **Raises:** ValueError where no answer can be right. **Cost:** some products of the features
    with themselves, and for separation a linear program where Newton's method does not decide.
    """
    instance("model", model, Model, "a tj.bayes.Model(prior, likelihood)")
    require_untraced("doubts", model=model)
    found = list(prior_doubts(model))
    for term in known_terms(model.likelihood):
        found += term_doubts(term, model)
    return tuple(dict.fromkeys(found))


def prior_doubts(model: Model) -> Iterator[str]:
    """Doubts about the prior, and about the likelihood as its partner."""
    prior, likelihood = model.prior, model.likelihood
    if prior is None:
        require_energies(model)
        yield from flat_prior_doubts(model)
        return
    require_one_shape(prior, likelihood)
    refuse_prior_among_terms(prior, likelihood)
    require_energies(model)
    if sampler_path(prior, None, np.ones(())) is None:
        seen = tails(prior, model.template)
        if seen.improper:
            raise ValueError(
                f"prior cannot be normalized: {where(seen)}, so that there is no evidence; give it "
                "a width, or for the posterior alone pass None as the prior and prior + likelihood "
                "as the likelihood"
            )
    if not is_known(likelihood):
        seen = tails(prior + likelihood, model.template)
        if seen.improper:
            raise ValueError(
                f"the posterior cannot be normalized: {where(seen)}; if the sign of the likelihood "
                "is wrong, tj.LogDensity takes ln p(y|x), and an energy is minus that"
            )
        yield from prior_in_curvature(prior, likelihood, model.template)


def require_one_shape(prior: AbstractPotential, likelihood: AbstractPotential) -> None:
    """Refuse a prior and a likelihood of positions of different shapes."""
    own, other = prior.template(None), likelihood.template(None)
    if own is not None and other is not None and leaf_shapes(own) != leaf_shapes(other):
        raise ValueError(
            f"prior has positions of the shape {leaf_shapes(own)}, and likelihood of the shape "
            f"{leaf_shapes(other)}: make them one; tj.DiagonalGaussian(likelihood.template(None)) "
            "is a prior of its shape"
        )


def flat_prior_doubts(model: Model) -> Iterator[str]:
    """Refuse a flat prior whose posterior cannot be normalized."""
    cure = "give a prior, such as tj.Gaussian(jnp.zeros(dim), variance)"
    likelihood = model.likelihood
    terms = known_terms(likelihood)
    if not is_known(likelihood):
        seen = tails(likelihood, model.template)
        if seen.improper:
            raise ValueError(
                f"the posterior of this likelihood and a flat prior cannot be normalized: "
                f"{where(seen)}; {cure}"
            )
        return
    for term in terms:
        if isinstance(term, RandomEffects | NetworkRegression | NetworkClassification):
            raise ValueError(
                f"a flat prior makes no posterior of a {type(term).__name__}, whose likelihood "
                "stays above zero however far some parameters go: give a prior, such as a "
                "tj.DiagonalGaussian"
            )
    if any(isinstance(x, GaussianLikelihood) and x.white_operator is None for x in terms):
        return  # every coordinate is measured
    cones = [cone_of(term) for term in terms]
    known = [cone for cone in cones if cone is not None]
    if len(known) < len(cones) or not known:
        yield (
            "it was not looked at whether the posterior of a flat prior can be normalized: nothing "
            "is known of this likelihood, or it has too many rows."
        )
        return
    both = Cone(*(np.concatenate(rows) for rows in zip(*known, strict=True)))
    left = open_directions(both)
    if left.flat:
        why = "the data say nothing"
        if any(isinstance(term, SoftmaxRegression) for term in terms):
            why += " (one vector added to the weights of all classes changes no probability)"
        raise ValueError(
            f"a flat prior makes no posterior here: in {left.flat} direction"
            f"{'s' * (left.flat > 1)} of the weights {why}; {cure}"
        )
    if left.rising in ("all", "some"):
        raise ValueError(
            "a flat prior makes no posterior here: along some direction of the weights no datum "
            f"becomes less probable (the classes are separated); {cure}"
        )
    if left.rising == "unknown":
        yield (
            "whether the posterior of a flat prior can be normalized was not decided: the linear "
            "program is too large; a proper prior makes the question void."
        )


def where(seen) -> str:
    if seen.axes:
        return (
            f"its density does not fall faster than 1/r along coordinate"
            f"{'s' * (len(seen.axes) > 1)} {listed(seen.axes)}"
        )
    return f"its density does not fall faster than r^-dim along {seen.rays:.0%} of random rays"


def term_doubts(term: AbstractLikelihood, model: Model) -> Iterator[str]:
    """Doubts about the data of one likelihood."""
    table = table_of(term)
    yield from data_doubts(term, table)
    if table is None:
        return
    yield from column_doubts(table)
    if model.prior is None:
        return
    wide = WIDE_LINK.get(type(term))
    width = None if wide is None else prior_predictive_width(table, model.prior)
    if wide is not None and width is not None and width > wide:
        yield (
            f"under the prior, features @ x has a standard deviation of {width:.3g} (median row): "
            "nearly all of the prior says that everything is certain; standardize the features, or "
            "narrow the prior."
        )
    if isinstance(term, LogisticRegression | SoftmaxRegression):
        yield from separation_doubts(term)


def separation_doubts(term: AbstractLikelihood) -> Iterator[str]:
    """Classes that a hyperplane separates, with a prior that is proper."""
    cone = cone_of(term)
    if cone is None or cone.signs.size * cone.signs.shape[1] > HARMLESS_STEP:
        return
    rising = open_directions(cone, HARMLESS_PROGRAM).rising
    if rising in ("all", "some"):
        how = "perfectly" if rising == "all" else "but for rows that lie on it"
        yield (
            f"labels are separated by a hyperplane ({how}): the likelihood has no maximum, and how "
            "far the weights go is the prior's to say; posterior and evidence are right for this "
            "prior, and change with its width."
        )
