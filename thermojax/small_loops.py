"""What makes small batches fast on a CPU: one option of XLA's compiler, set before JAX is used."""

from __future__ import annotations

import os

import jax

SIZE = 2**18
# Bytes that one turn of a loop reads and writes, up to which the loop becomes one function; XLA's
# own limit is 2**10. Measured on two cores with 2**12, 2**14, 2**16, 2**18, 2**20 and 2**22: more
# gains nothing, and the function has one thread.
OPTION = "xla_cpu_small_while_loop_byte_threshold"
EXTRA = "--xla_backend_extra_options"


def compile_small_loops() -> None:
    """Let XLA compile the loops of small batches on a CPU as one function each.

    XLA's CPU backend runs a loop as a list of kernels that are called one after the other in every
    step, which for a small batch is most of the time; only a loop that touches less than 1 KiB
    becomes one function. This raises the limit to 256 KiB, for the whole process, by the option
    `xla_cpu_small_while_loop_byte_threshold` in `XLA_FLAGS`. Measured (stiffness ramp, batch x
    dimension, two cores): forward 0.1 of the time at 4 x 1, 0.2 at 4 x 10, 0.25 at 16 x 4, 0.55 at
    64 x 1, 0.7 at 1024 x 1; gradients 0.2, 0.4, 0.4, 0.25 and 0.8; forces that are matrix products
    as before.

    Call it once, before JAX is used: `thermojax run` does so by itself. Where `XLA_FLAGS` has extra
    options already, they stay as they are. GPUs have no use for it, and take no harm.

    **Raises:** RuntimeError where JAX has been used in this process: it reads its flags only once.
    """
    if jax_is_used():
        raise RuntimeError(
            "JAX has been used in this process and reads its flags only once: call "
            "tj.compile_small_loops() right after the imports"
        )
    flags = os.environ.get("XLA_FLAGS", "")
    if EXTRA not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {EXTRA}={OPTION}={SIZE}".strip()


def small_loops_are_compiled() -> bool:
    """Whether `compile_small_loops` has been called, here or in the process that began this one."""
    return f"{OPTION}={SIZE}" in os.environ.get("XLA_FLAGS", "")


def jax_is_used() -> bool:
    """Whether JAX has begun to compute: it then refuses another number of devices."""
    before = jax.config.jax_num_cpu_devices  # pyright: ignore[reportAttributeAccessIssue]
    try:
        jax.config.update("jax_num_cpu_devices", before + 1 if before > 0 else 1)
    except RuntimeError:
        return True
    jax.config.update("jax_num_cpu_devices", before)
    return False
