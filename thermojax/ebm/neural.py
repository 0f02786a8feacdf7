"""An energy that is a network, above a Gaussian that keeps it normalizable."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from .._arguments import choice, function, instance, real, whole
from .._component import known, positive
from .._keys import check_key
from ..potential import AbstractPotential, DiagonalGaussian

ACTIVATIONS: dict[str, Callable] = {
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "tanh": jnp.tanh,
}


class NeuralEnergy(AbstractPotential):
    r"""U(x) = f(x) + |x / scale|^2 / 2, f a network of any kind, x an array or any pytree.

    The Gaussian bounds the energy below where f grows less than it, and is the law of a network
    that is zero: `base` of this model, from which training and annealing begin. In its place
    `around` may be any law that is normalized and can be drawn exactly, a Gaussian of the data's
    moments, say: U(x) = f(x) + U_around(x).

    **Arguments:** `network`, a function or an equinox module, or a module of flax.nnx, of ONE
    sample, that returns a scalar or one number; its arrays train. `scale`, positive, the standard
    deviation of the Gaussian; `around`, a potential such as `tj.Gaussian(mean, covariance)`, in
    place of it. Neither trains.

    **Raises:** ValueError for what cannot be called, where the network returns more than one
    number, and for an `around` that cannot be drawn.
    """

    network: Callable
    scale: float = eqx.field(static=True)
    around: AbstractPotential | None

    def __init__(
        self, network: Callable, scale: float = 1.0, around: AbstractPotential | None = None
    ):
        function("network", network, "a function or a module, f(x) -> scalar of one sample x")
        self.network = from_flax(network)
        if known(real("scale", scale, "a positive number", positive)) is None:
            raise ValueError("scale is traced: expected a number, for it does not train")
        self.scale, self.around = float(scale), around
        if around is None:
            return
        instance("around", around, AbstractPotential, "a potential such as tj.Gaussian, or None")
        if around.sampled_by(None, 1.0) is None:
            raise ValueError(
                f"around = a {type(around).__name__}, which cannot be drawn exactly: expected a "
                "law such as tj.Gaussian(mean, covariance)"
            )

    def energy(self, x, control):
        value = jnp.asarray(self.network(x))
        if value.size != 1:
            raise ValueError(
                f"the network returns shape {value.shape} of one sample: expected one number"
            )
        if self.around is not None:
            return value.reshape(()) + jax.lax.stop_gradient(self.around).energy(x, None)
        squares = jax.tree.map(lambda leaf: jnp.sum((leaf / self.scale) ** 2), x)
        return value.reshape(()) + 0.5 * sum(jax.tree.leaves(squares))

    def base(self, template) -> AbstractPotential:
        """The normalized law of a network that is zero, over positions like the template."""
        if self.around is not None:
            return self.around
        zeros = jax.tree.map(jnp.zeros_like, template)
        return DiagonalGaussian(zeros, self.scale**2)

    @classmethod
    def mlp(
        cls,
        dim: int,
        key: PRNGKeyArray,
        *,
        width: int = 128,
        depth: int = 2,
        scale: float = 1.0,
        around: AbstractPotential | None = None,
        activation: str = "silu",
    ) -> NeuralEnergy:
        """Fully connected layers over positions `(dim,)`; the last one is zero at first.

        **Arguments:** `depth` hidden layers of `width` each; `activation`, "silu", "softplus" or
        "tanh". **Raises:** ValueError for anything else.
        """
        check_key(key)
        dim, width, depth = whole("dim", dim), whole("width", width), whole("depth", depth)
        choice("activation", activation, tuple(ACTIVATIONS))
        network = eqx.nn.MLP(dim, "scalar", width, depth, ACTIVATIONS[activation], key=key)
        return cls(without_last(network), scale, around)

    @classmethod
    def convolutional(
        cls,
        shape: Sequence[int],
        key: PRNGKeyArray,
        *,
        channels: Sequence[int] = (16, 32),
        width: int = 64,
        scale: float = 1.0,
        around: AbstractPotential | None = None,
    ) -> NeuralEnergy:
        """Convolutions of 3 x 3 with a stride of 2 each, and a layer, over images as vectors.

        Positions are `(height * width,)`, row by row. The last layer is zero at first.

        **Arguments:** `shape`, (height, width) of an image; `channels` of each convolution;
        `width`, of the layer behind them. **Raises:** ValueError for anything else.
        """
        check_key(key)
        if len(tuple(shape)) != 2:
            raise ValueError(f"shape = {tuple(shape)}: expected (height, width)")
        sizes = tuple(whole(f"shape[{i}]", size, 2) for i, size in enumerate(shape))
        channels = tuple(whole(f"channels[{i}]", size) for i, size in enumerate(channels))
        width = whole("width", width)
        return cls(ImageNetwork(sizes, channels, width, key), scale, around)


class ImageNetwork(eqx.Module):
    """Convolutions, each half as wide and high as the last, and two layers."""

    convolutions: list[eqx.nn.Conv2d]
    head: eqx.nn.MLP
    shape: tuple[int, int] = eqx.field(static=True)

    def __init__(self, shape, channels, width: int, key: PRNGKeyArray):
        keys = jax.random.split(key, len(channels) + 1)
        pairs = zip((1, *channels[:-1]), channels, keys[1:], strict=True)
        self.convolutions = [
            eqx.nn.Conv2d(before, after, 3, 2, 1, key=key) for before, after, key in pairs
        ]
        self.shape = shape
        half = lambda size: math.ceil(size / 2 ** len(channels))
        flat = channels[-1] * half(shape[0]) * half(shape[1])
        self.head = without_last(eqx.nn.MLP(flat, "scalar", width, 1, jax.nn.silu, key=keys[0]))

    def __call__(self, x):
        x = x.reshape(1, *self.shape)
        for convolution in self.convolutions:
            x = jax.nn.silu(convolution(x))
        return self.head(x.ravel())


def without_last(network: eqx.nn.MLP) -> eqx.nn.MLP:
    """The network with a last layer of zeros: its law begins as the Gaussian, known exactly."""
    weights = lambda made: (made.layers[-1].weight, made.layers[-1].bias)
    return eqx.tree_at(weights, network, jax.tree.map(jnp.zeros_like, weights(network)))


class FlaxNetwork(eqx.Module):
    """A module of flax.nnx as a pytree: what trains is its state."""

    state: Any
    graph: Any = eqx.field(static=True)

    def __call__(self, x):
        from flax import nnx

        return nnx.merge(self.graph, self.state)(x)


def from_flax(network: Callable) -> Callable:
    """A module of flax.nnx split into its graph and arrays; anything else as it is."""
    kinds = {f"{kind.__module__}.{kind.__name__}" for kind in type(network).__mro__}
    if not any(name.startswith("flax.nnx.") and name.endswith(".Module") for name in kinds):
        return network
    from flax import nnx

    graph, state = nnx.split(network)
    return FlaxNetwork(state, graph)
