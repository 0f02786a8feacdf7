"""Where JAX computes."""

from __future__ import annotations

import jax

GPUS = ("cuda", "rocm")


def platform() -> str:
    """`cpu`, `gpu`, ...: where JAX computes what it is given from elsewhere.

    That of `jax.default_device` if there is one: `jax.default_backend` does not look there.
    """
    device = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    name = device if isinstance(device, str) else getattr(device, "platform", None)
    name = jax.default_backend() if name is None else name
    return "gpu" if name in GPUS else name
