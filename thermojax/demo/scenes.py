"""The scenes by the names of their tabs."""

from __future__ import annotations

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


def warm_up() -> None:
    """Compile what the first frames of every tab need, so that no page waits for it."""
    key = jax.random.key(0)
    scene = OscillatorScene(key)
    scene.turn(interval=0.05)  # for every window of the autocorrelation
    for _ in range(64):
        scene.frame()
    ErasureScene(key).frame()
    InferenceScene(key).frame()
