"""What is asked of the arguments that every training takes, before anything is computed."""

from __future__ import annotations

from typing import Any

from .._arguments import flag, function, instance, real, whole
from .._component import known, shown
from .._keys import check_key
from ..checkpoint import AbstractCheckpoint
from ..distribution import FokkerPlanck
from .gradients import AbstractGradient
from .picture import ExactMoments


def check_training(
    optimizer,
    key,
    steps,
    *,
    gradient,
    trainable=None,
    callback=None,
    patience=None,
    tolerance=None,
    checkpoint=None,
    common_noise: Any = False,
    antithetic: Any = False,
    picture=None,
) -> None:
    """**Raises:** ValueError, which names the argument, for one of another kind than it must be."""
    parts = [getattr(optimizer, name, None) for name in ("init", "update")]
    if isinstance(optimizer, type) or not all(map(callable, parts)):
        raise ValueError(
            f"optimizer is {shown(optimizer)}: expected a transformation of optax, such as "
            "optax.adam(0.1)"
        )
    if key is not None:
        check_key(key)
    whole("steps", steps)
    instance("gradient", gradient, AbstractGradient, "tj.Pathwise() or another gradient")
    for name, value in (("trainable", trainable), ("callback", callback)):
        if value is not None:
            function(name, value, "a function, or None")
    if patience is not None:
        whole("patience", patience)
    if tolerance is not None:
        real("tolerance", tolerance, "a number, not negative, or None", lambda x: x >= 0)
        if known(tolerance) is None:
            raise ValueError("tolerance is being traced: expected a number that is known")
    if checkpoint is not None:
        instance("checkpoint", checkpoint, AbstractCheckpoint, "tj.Checkpoint(file), or None")
    if picture is not None:
        kinds = (ExactMoments, FokkerPlanck)
        instance("picture", picture, kinds, "tj.ExactMoments(), tj.FokkerPlanck(), or None")
    flag("common_noise", common_noise)
    flag("antithetic", antithetic)
