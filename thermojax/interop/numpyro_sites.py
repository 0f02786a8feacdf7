"""Questions about the sites of a NumPyro model: what each is, and whether it can be held at all."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from numpyro.distributions import ImproperUniform, MaskedDistribution, Unit, biject_to

from .._component import known, shown


def check_plates(trace: dict[str, dict]) -> None:
    """**Raises:** ValueError for a plate that shows a part of its data."""
    for name, site in trace.items():
        if site["type"] != "plate":
            continue
        size, part = site["args"]
        if part is not None and part != size:
            raise ValueError(
                f"plate {name!r} takes {part} of its {size} elements at random: expected all of "
                "them, leave out subsample_size="
            )


def unconstrained_shape(name: str, site: dict) -> tuple[int, ...]:
    """The shape of a latent site without constraints. **Raises:** ValueError where it has none."""
    fn = site["fn"]
    kind = type(fn).__name__
    if fn.support.is_discrete:
        raise ValueError(
            f"site {name!r} is discrete ({kind}): expected real parameters, which a force can "
            "move; sum it out in the model (a mixture is numpyro.distributions.MixtureSameFamily)"
        )
    try:
        transform = biject_to(fn.support)
    except NotImplementedError as error:
        raise ValueError(
            f"site {name!r} ({kind}) has a support that NumPyro has no transform to: expected one "
            "that it has, by a handler of numpyro.infer.reparam"
        ) from error
    return tuple(transform.inverse_shape(jnp.shape(site["value"])))


def check_observed(name: str, site: dict) -> None:
    """**Raises:** ValueError for data that their distribution cannot have made; NaN is such."""
    fn, value = site["fn"], known(site["value"])
    if value is None or value.size == 0:
        return
    try:
        inside = fn.support(value)
    except NotImplementedError:  # a support that depends on more than the value
        return
    mask = mask_of(fn)
    possible = known(inside if mask is None else inside | ~jnp.asarray(mask))
    if possible is not None and not np.all(possible):
        at_fault = value[~np.broadcast_to(possible, value.shape)] if possible.ndim else value
        example = at_fault.flat[0] if possible.ndim == value.ndim else value
        raise ValueError(
            f"site {name!r} observes {shown(example)}, which {type(fn).__name__} cannot have made: "
            "expected data inside of its support; drop or mask what is missing"
        )


def layers(fn):
    """A distribution, and those that it is made of by expanding, masking and transforming."""
    while fn is not None:
        yield fn
        fn = getattr(fn, "base_dist", None)


def mask_of(fn):
    """The mask of a distribution, None where it has none."""
    return next((x._mask for x in layers(fn) if isinstance(x, MaskedDistribution)), None)


def is_improper(fn) -> bool:
    """Whether a latent distribution leaves some of its coordinates without a density."""
    mask = None if mask_of(fn) is None else known(mask_of(fn))
    masked = mask is not None and not np.all(mask)
    return masked or any(isinstance(x, ImproperUniform) for x in layers(fn))


def whole(site: dict) -> bool:
    """Whether a site counts once: no handler has scaled its density."""
    scale = known(1.0 if site["scale"] is None else site["scale"])
    return scale is not None and bool(np.all(scale == 1))


def is_factor(site: dict) -> bool:
    """Whether a site is a `numpyro.factor`."""
    return any(isinstance(fn, Unit) for fn in layers(site["fn"]))
