"""The Gauss-Newton matrix of a model by its products alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..._arguments import function
from ..._component import pytree_of_floats, shown


def gauss_newton(
    outputs: Callable[[Any], PyTree[Array]],
    loss: Callable[[Any], Float[Array, ""]],
    params: PyTree[Array],
) -> Callable[[Any], PyTree[Array]]:
    r"""The product v -> J^T H J v, J the derivative of the outputs, H the Hessian of the loss.

    Where the loss is minus a log likelihood with the outputs its natural parameters (squared
    error, cross entropy of logits) this is the Fisher matrix of the mean over the data. It is
    positive semidefinite where the loss is convex in the outputs.

    **Arguments:**

    - `outputs`: params -> what the model says of a batch of data, any pytree.
    - `loss`: outputs -> a scalar, the mean over the batch, say.
    - `params`: where the derivatives are taken, any pytree of floats.

    **Returns:** a function of a pytree of the shape of `params`, which returns one. **Cost:** one
    forward pass here; a product costs a forward and a backward pass.

    **Raises:** ValueError for params or outputs that are no real numbers, and a loss that is no
    scalar. **Source:** N. Schraudolph, Neural
    Computation 14, 1723 (2002); J. Martens, JMLR 21, 146 (2020), section 9.2.
    """
    function("outputs", outputs, "a function, outputs(params) -> the outputs of the model")
    function("loss", loss, "a function, loss(outputs) -> a scalar")
    params = pytree_of_floats(params, "params")
    said = jax.eval_shape(outputs, params)
    leaves = jax.tree.leaves(said)
    if not leaves or not all(jnp.issubdtype(x.dtype, jnp.floating) for x in leaves):
        raise ValueError(f"outputs(params) is {shown(said)}: expected arrays of real numbers")
    at, forward = jax.linearize(outputs, params)
    result = jax.eval_shape(loss, at)
    if getattr(result, "shape", None) != ():
        raise ValueError(f"loss(outputs) is {shown(result)}: expected a scalar, such as a mean")
    backward = jax.linear_transpose(forward, params)

    def product(v):
        _, bent = jax.jvp(jax.grad(loss), (at,), (forward(v),))
        return backward(bent)[0]

    return product
