"""Settings that make a CPU fast: two flags of XLA's compiler, and freed memory that is kept."""

from __future__ import annotations

import ctypes
import os

import jax

from ._tuning import ON_CPU

OPTION = "xla_cpu_small_while_loop_byte_threshold"
EXTRA = "--xla_backend_extra_options"
WIDTH = "--xla_cpu_prefer_vector_width"

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of malloc.h
KEPT = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_TOP_PAD: 2**26}
# Large arrays come from the heap like any other, and neither its end is given back nor the heaps of
# threads, which are of 64 MiB. One heap for all threads (M_ARENA_MAX) would hold larger arrays, but
# devices would wait for each other there.


def set_up_cpu(keep_memory: bool = False) -> None:
    """Let XLA compile small loops on a CPU as one function each, with the widest vectors.

    XLA's CPU backend runs a loop as a list of kernels that are called one after the other in every
    step, which for a small batch is most of the time; only a loop that touches less than 1 KiB
    becomes one function. This raises the limit to 1 MiB, and the engine then takes a batch
    through its steps in tiles below that limit. And it lets XLA use vectors of 512 bits where the
    processor has them (AVX-512); XLA's own choice is 256. Both for the whole process, by
    `XLA_FLAGS`: `xla_cpu_small_while_loop_byte_threshold` and `xla_cpu_prefer_vector_width`.

    What that gains is listed in benchmarks/README.md: most for small batches, a factor of two for
    larger ones, forward and in gradients. Forces that are matrix products stay as they are.

    Call it once, before JAX is used: `thermojax run` does so by itself, with `keep_memory`. A flag
    that `XLA_FLAGS` has already stays as it is. GPUs have no use for it, and take no harm.

    **Arguments:** `keep_memory`: what a run has freed stays with the process, for the next run;
    else the C library gives large arrays back to the system, which fills every page with zeros
    before it is used again. For a process that runs the same program many times on large batches.
    It then holds on to the most memory it has ever used at once; what asks for more than 64 MiB in
    one piece gains nothing. Of glibc (Linux), by `mallopt`; elsewhere nothing changes.

    **Raises:** RuntimeError where JAX has been used in this process: it reads its flags only once.
    """
    if not isinstance(keep_memory, bool):
        raise ValueError(f"keep_memory is a {type(keep_memory).__name__}: expected True or False")
    if jax_is_used():
        raise RuntimeError(
            "JAX has been used in this process and reads its flags only once: call "
            "tj.set_up_cpu() right after the imports"
        )
    flags = os.environ.get("XLA_FLAGS", "")
    for flag, value in ((EXTRA, f"{OPTION}={ON_CPU.function_bytes}"), (WIDTH, ON_CPU.vector_bits)):
        if flag not in flags:
            flags = f"{flags} {flag}={value}".strip()
    os.environ["XLA_FLAGS"] = flags
    if keep_memory:
        keep_freed_memory()


def keep_freed_memory() -> None:
    """Let the process keep the memory that it frees, where its C library is glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another library; Windows has none by this name
        return
    for option, value in KEPT.items():
        mallopt(option, value)


def small_loops_are_compiled() -> bool:
    """Whether `set_up_cpu` has been called, here or in the process that began this one."""
    return f"{OPTION}={ON_CPU.function_bytes}" in os.environ.get("XLA_FLAGS", "")


def jax_is_used() -> bool:
    """Whether JAX has begun to compute: it then refuses another number of devices."""
    before = jax.config.jax_num_cpu_devices  # pyright: ignore[reportAttributeAccessIssue]
    try:
        jax.config.update("jax_num_cpu_devices", before + 1 if before > 0 else 1)
    except RuntimeError:
        return True
    jax.config.update("jax_num_cpu_devices", before)
    return False
