"""Where a run computes: on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .errors import UserError, nearest, one_line

DEVICES = ("cpu", "gpu")


@contextmanager
def on_device(name: str | None) -> Iterator[None]:
    """Compute on `cpu` or `gpu`; where JAX likes best for None. Set back afterwards.

    **Raises:** UserError for another name, or where JAX finds no such device.
    """
    if name is None:
        yield
        return
    if name not in DEVICES:
        raise UserError(f"--device {name}: expected cpu or gpu{nearest(name, DEVICES)}")
    import jax

    before = {key: getattr(jax.config, key) for key in ("jax_platforms", "jax_default_device")}
    try:
        if name == "cpu":
            # Before its first use: JAX then leaves the memory of the GPU alone.
            jax.config.update("jax_platforms", "cpu")
        try:
            device = jax.devices(name)[0]
        except RuntimeError as error:
            raise UserError(
                f"--device {name}: JAX finds none here ({one_line(error)}): install "
                "thermojax[cuda13] for NVIDIA's, or leave --device out"
            ) from None
        jax.config.update("jax_default_device", device)
        yield
    finally:
        for key, value in before.items():
            jax.config.update(key, value)
