"""Tables as text, and what their numbers depend on."""

from __future__ import annotations

import datetime
import math
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jax

from thermojax.checkpoint import threads as cores

LIBRARIES = ("jax", "jaxlib", "diffrax", "equinox")

SET_UP_CPU = "tj.set_up_cpu(keep_memory=True) first: for all programs alike"


def cpu_model() -> str:
    """The name of the processor, as Linux gives it where there is a Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def header() -> dict[str, str]:
    """What the numbers depend on."""
    device = jax.devices()[0]
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        **{name: installed(name) for name in LIBRARIES},
        "device": f"{jax.device_count()} x {device.device_kind} ({device.platform})",
        "cpu": f"{cpu_model()}, {cores()} cores, load average {load} at the start",
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", "none"),
    }


def header_text(facts: dict[str, str]) -> str:
    return "\n".join(f"{name:>10}  {value}" for name, value in facts.items())


def mark(met: bool) -> str:
    return "met" if met else "MISSED"


def shown(value) -> str:
    """Three digits; large numbers in powers of ten."""
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "-"
    if value >= 1e5:
        return f"{value:.2e}"
    return (
        f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}" if value > 1e-3 else f"{value:g}"
    )


def table(rows: list[dict]) -> str:
    """Rows as aligned text, the first column to the left."""
    names = list(rows[0])
    cells = [names] + [[shown(row[name]) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    lines = [
        "  ".join(
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
