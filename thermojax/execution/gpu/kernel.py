"""Kernels of a GPU, as operations that JAX has traced and not yet written.

A kernel is written by Pallas and compiled through Triton, when the program it is part of is
compiled: once, however often that program has been traced, and for the device that it is for.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import jax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from ..._tuning import ON_GPU


@functools.cache
def there_is_triton() -> bool:
    """Whether there is a compiler for such kernels, for the GPU at hand."""
    try:
        from jax.experimental.pallas import triton
    except ImportError:
        return False
    try:
        # Later versions of JAX look the card up in a list.
        return getattr(triton, "get_gpu_info", bool)() is not None
    except ValueError:
        return False


def kernel(body: Callable, grid: int, outputs: tuple, inputs: list) -> list[jax.Array]:
    """Arrays like `outputs`, which `grid` programs have filled.

    **Arguments:** `body`: (number of the program, references to all inputs and outputs); `outputs`:
    shapes.
    """
    return kernel_p.bind(*inputs, body=body, grid=grid, outputs=outputs)


def by_pallas(*inputs, body: Callable, grid: int, outputs: tuple, interpret: bool = False):
    """The outputs of `kernel` by Pallas: as a kernel, or as JAX's own operations, slowly."""
    # Imported where it is needed: it takes half a second.
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import triton

    # Pallas has warned since JAX 0.11 that Mosaic is to take over from Triton.
    warnings.filterwarnings("ignore", "The Pallas Triton backend", DeprecationWarning)
    return pl.pallas_call(
        lambda *refs: body(pl.program_id(0), *refs),
        out_shape=outputs,
        grid=(grid,),
        compiler_params=triton.CompilerParams(num_warps=ON_GPU.threads // 32, num_stages=1),
        interpret=interpret,
        name="block",
    )(*inputs)


interpreted = functools.partial(by_pallas, interpret=True)


def batched(inputs, axes, **parameters):
    run = interpreted if jax.devices()[0].platform == "cpu" else by_pallas
    done = jax.vmap(functools.partial(run, **parameters), in_axes=axes)(*inputs)
    return done, [0] * len(done)


kernel_p = Primitive("kernel")
kernel_p.multiple_results = True
kernel_p.def_impl(lambda *inputs, **more: jax.jit(lambda *x: kernel_p.bind(*x, **more))(*inputs))
kernel_p.def_abstract_eval(
    lambda *inputs, outputs, **more: [ShapedArray(x.shape, x.dtype) for x in outputs]
)
mlir.register_lowering(kernel_p, mlir.lower_fun(by_pallas, multiple_results=True))
mlir.register_lowering(kernel_p, mlir.lower_fun(interpreted, multiple_results=True), "cpu")
batching.primitive_batchers[kernel_p] = batched
