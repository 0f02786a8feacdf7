"""The arguments that every training takes, looked at before anything is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import optax

from .._arguments import flag, function, instance, real, whole
from .._component import known
from .._keys import check_key
from ..checkpoint import AbstractCheckpoint
from ..distribution import FokkerPlanck
from ..system import check_system
from .gradients import AbstractGradient
from .objectives import AbstractObjective
from .picture import ExactMoments


def check_training(
    system,
    objective,
    optimizer,
    key,
    *,
    steps,
    gradient,
    trainable=None,
    callback=None,
    compared=None,
    patience=None,
    tolerance=None,
    checkpoint=None,
    common_noise: Any = False,
    antithetic: Any = False,
    picture=None,
    **runs,
) -> None:
    """The arguments of `tj.optimize`; how the `runs` are made is looked at where they are prepared.

    **Raises:** ValueError, which names the argument, for one of another kind than it must be.
    """
    del runs
    check_system(system)
    instance("objective", objective, AbstractObjective, "one such as tj.MeanWork()")
    transformation = "an optax transformation such as optax.adam(0.1)"
    instance("optimizer", optimizer, optax.GradientTransformation, transformation)
    if key is not None:
        check_key(key)
    whole("steps", steps, cure="so many steps are trained")
    instance("gradient", gradient, AbstractGradient, "one such as tj.Pathwise()")
    functions = dict(trainable=trainable, callback=callback, compared=compared)
    for name, value in functions.items():
        if value is not None:
            function(name, value, "a function, or None")
    if patience is not None:
        whole("patience", patience)
    if tolerance is not None:
        least = "a number from 0 on, or None"
        real("tolerance", tolerance, least, lambda x: np.isfinite(x) & (x >= 0))
        if known(tolerance) is None:
            raise ValueError("tolerance is being traced: expected a number that is known")
    if checkpoint is not None:
        instance("checkpoint", checkpoint, AbstractCheckpoint, "a tj.Checkpoint, or None")
    if picture is not None:
        kinds = "tj.ExactMoments(), a tj.FokkerPlanck, or None for paths"
        instance("picture", picture, (ExactMoments, FokkerPlanck), kinds)
    flag("common_noise", common_noise)
    flag("antithetic", antithetic)
