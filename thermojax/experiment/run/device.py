"""Where a run computes: on the CPU or a GPU, and what a CPU is told before it begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..errors import UserError, nearest, one_line

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

    if name == "cpu":
        # Before its first use: JAX then leaves the memory of the GPU alone. It is not asked for the
        # CPU itself, whose cores can be counted until it is first used.
        with jax_settings(jax_platforms=name, jax_default_device=name):
            yield
        return
    try:
        device = jax.devices(name)[0]
    except RuntimeError as error:
        raise UserError(
            f"--device {name}: JAX finds none here ({one_line(error)}): install thermojax[cuda13] "
            "for NVIDIA's, or leave --device out"
        ) from None
    with jax_settings(jax_default_device=device):
        yield


@contextmanager
def jax_settings(**settings: Any) -> Iterator[None]:
    """Let JAX work under these settings, and set back afterwards what they were before."""
    import jax

    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def chosen_device() -> str | None:
    """`cpu` or `gpu` where `on_device`, or the user, has said so; None where JAX chooses."""
    import jax

    device: Any = jax.config.values["jax_default_device"]  # None, a name or a device
    name = str(getattr(device, "platform", device))
    return name if name in DEVICES else None


def prepare_cpu(devices: object) -> None:
    """Settings that make a CPU fast, set before JAX is used; later, they change nothing."""
    from ...cpu import set_up_cpu

    divide_cpu(devices)
    with suppress(RuntimeError):
        set_up_cpu(keep_memory=True)


def divide_cpu(devices: object) -> None:
    """Let each core of the CPU be a device of its own, up to so many or "all"; JAX has one for all.

    JAX can do so before its first use only; later, this changes nothing. No use where the devices
    are those of a GPU, and no harm.
    """
    if devices != "all" and not isinstance(devices, int):
        return
    import jax

    from ...checkpoint import threads

    wanted = max(1, min(devices, threads())) if isinstance(devices, int) else threads()
    with suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", wanted)
