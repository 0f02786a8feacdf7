"""The scenes by the names of their tabs."""

from __future__ import annotations

from collections.abc import Callable

import jax
from jaxtyping import PRNGKeyArray

from .erasure import ErasureScene
from .inference import InferenceScene
from .oscillators import OscillatorScene
from .stream import Scene

SCENES = {
    "oscillators": OscillatorScene,
    "erasure": ErasureScene,
    "inference": InferenceScene,
}


def scene_of(tab: str, key: PRNGKeyArray) -> Scene:
    """The scene of a tab, begun."""
    return SCENES[tab](key)


def warm_up() -> list[Callable[[], object]]:
    """Tasks that compile what the first frames of every tab need, so that no page waits long."""
    return [
        warm_oscillators,
        *(lambda tab=tab: scene_of(tab, jax.random.key(0)).frame() for tab in SCENES),
    ]


def warm_oscillators() -> None:
    scene = OscillatorScene(jax.random.key(0))
    scene.turn(interval=0.05)  # for every window of the autocorrelation
    for _ in range(64):
        scene.frame()
