"""The kind of device that JAX computes on."""

from __future__ import annotations

import jax

GPUS = ("cuda", "rocm")


def platform() -> str:
    """The platform, `cpu` or `gpu`, on which JAX computes arrays that are on no device yet.

    Where `jax.default_device` is set it is that one's: `jax.default_backend` does not look there.
    """
    device = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    name = device if isinstance(device, str) else getattr(device, "platform", None)
    name = jax.default_backend() if name is None else name
    return "gpu" if name in GPUS else name
