"""A function of features whose parameters are the position: an Equinox module, or any function."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from ..._arguments import function
from ..._component import Numbers, floating, known, pytree_of_floats, shown
from ..._tree import dtype_of


class Network(eqx.Module):
    """f(x, row): what a network with the parameters x makes of one row of features.

    - `apply`: the module without its arrays, or a function `apply(x, row)`.
    - `parameters`: one position, a pytree of arrays.
    - `module`: which of the two `apply` is.
    """

    apply: Callable
    parameters: PyTree[Array]
    module: bool = eqx.field(static=True)

    def __call__(self, x: PyTree[Array], features: Array) -> Array:
        """The outputs of all rows, `(rows, ...)`."""
        if self.module:
            return jax.vmap(eqx.combine(x, self.apply))(features)
        return jax.vmap(lambda row: self.apply(x, row))(features)


def network_of(network: Callable, parameters: PyTree[Array] | None) -> Network:
    """The network of an Equinox module, or of a function and its parameters.

    **Raises:** ValueError for what is neither, or holds no floating numbers.
    """
    if isinstance(network, eqx.Module) and parameters is None:
        if not callable(network):
            raise ValueError(
                f"network is a {type(network).__name__}, which cannot be called: expected a module "
                "that is called with one row of features"
            )
        arrays, rest = eqx.partition(network, eqx.is_inexact_array)
        if not jax.tree.leaves(arrays):
            raise ValueError(
                f"network is a {type(network).__name__} without an array of floats: nothing of it "
                "can be inferred"
            )
        return Network(rest, pytree_of_floats(arrays, "network"), True)
    expected = "an Equinox module, or a function apply(parameters, row) with parameters="
    apply: Callable = function("network", network, expected)
    if parameters is None:
        raise ValueError(
            "parameters = None: a network that is a function needs parameters=, one pytree of "
            "arrays as apply(parameters, row) takes it"
        )
    found = pytree_of_floats(parameters, "parameters")
    dtype_of(found, "parameters")
    return Network(apply, found, False)


def outputs_of(network: Network, features: Array) -> tuple[int, ...]:
    """The shape of the output for one row. **Raises:** ValueError where the network fails."""
    try:
        found = jax.eval_shape(network, network.parameters, features)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"network fails with its parameters, and one row of features of shape "
            f"{features.shape[1:]}, by {type(error).__name__}: {reason}"
        ) from error
    if not isinstance(found, jax.ShapeDtypeStruct) or not jnp.issubdtype(found.dtype, jnp.floating):
        raise ValueError(
            f"network returns {shown(found)} for one row of features: expected one array of floats"
        )
    return found.shape[1:]


def finite_inputs(features: Numbers) -> Array:
    """Inputs `(rows, ...)` of a network, all finite. **Raises:** ValueError for anything else."""
    array = floating(features, "features")
    if array.ndim == 0 or array.size == 0:
        raise ValueError(
            f"features has shape {array.shape}: expected (rows, ...), one row for each datum"
        )
    if (values := known(array)) is not None and not np.all(np.isfinite(values)):
        place = tuple(map(int, np.argwhere(~np.isfinite(values))[0]))
        raise ValueError(
            f"features{list(place)} = {values[place]}: expected finite numbers; drop or fill the "
            "missing rows first"
        )
    return array
