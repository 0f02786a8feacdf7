"""Where numbers come from: code, versions, device, inputs."""

from __future__ import annotations

import hashlib
import inspect
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from .config import Config
from .registry import short_names
from .store import Record
from .summary import warnings_of

PACKAGES = ("thermojax", "jax", "jaxlib", "diffrax", "equinox", "optax", "numpy")
HOUSE = Path(__file__).resolve().parents[1]


def describe(results: Record, config: Config, study: Any, seed: int) -> None:
    """Everything a reader needs to know where the numbers come from."""
    import jax

    from ..checkpoint import processor, threads

    device = jax.devices()[0]
    kind = f" ({processor()})" if device.platform == "cpu" and processor() else ""
    columns = [results[name] for name in study.columns if name in results]
    trained = results["training"]["diverged"] if "training" in results else 0
    results.attributes.update(
        name=config.file.stem,
        kind=config.values["kind"],
        question=study.question,
        columns=list(study.columns),
        labels=list(study.headline),
        entries=list(study.headline.values()),
        seed=seed,
        precision="float64" if jax.config.read("jax_enable_x64") else "float32",
        device=f"{device.device_kind}{kind}, {threads()} CPU cores",
        commit=commit(),
        diverged=int(np.sum(trained)) + sum(diverged_paths(column) for column in columns),
    )
    results.attributes["warnings"] = warnings_of(results)
    results.put("config", config.text)
    versions = Record()
    versions.attributes = {"python": platform.python_version(), **installed()}
    results["versions"] = versions


def diverged_paths(column: Record) -> int:
    """Those of a column, and of its reverse run where it has one."""
    return column.get("diverged", 0) + column.get("reverse", {}).get("diverged", 0)


def installed() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # thermojax run from its source folder
            found[name] = getattr(sys.modules.get(name), "__version__", "unknown")
    return found


def commit() -> str:
    """The git commit of the code, with a plus where it was changed since; empty without git."""
    here = Path(__file__).resolve().parent
    try:
        say = lambda *words: subprocess.run(
            ["git", "-C", str(here), *words], capture_output=True, text=True, timeout=5, check=True
        ).stdout.strip()
        if not say("ls-files", __file__):  # inside of someone else's repository
            return ""
        return say("rev-parse", "HEAD") + ("+" if say("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def run_facts(config: Config, study: Any) -> dict[str, str]:
    """What must be the same for a run to be continued: its config, the code and the data.

    Versions, device and threads are added by the checkpoint itself.
    """
    files = [*code_files(config, study), *data_files(config)]
    return {
        "the config": digest(config.text.encode()),
        "the code of thermojax": digest(*(x.read_bytes() for x in sorted(HOUSE.rglob("*.py")))),
        **{f"the content of {file}": digest(file.read_bytes()) for file in dict.fromkeys(files)},
    }


def digest(*contents: bytes) -> str:
    total = hashlib.sha256()
    for content in contents:
        total.update(content)
    return total.hexdigest()[:12]


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """(last key, value) of every scalar in nested mappings and lists."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, key)
    else:
        yield key, value


def code_files(config: Config, study: Any) -> Iterator[Path]:
    """The files outside of the package that define what the config names."""
    names = [value for key, value in leaves(config.values) if key == "kind"]
    targets = [short_names().get(name, name) for name in names if isinstance(name, str)]
    modules = [sys.modules.get(target.partition(":")[0]) for target in targets]
    for thing in (type(study), *modules):
        try:
            file = Path(inspect.getfile(thing)) if thing is not None else None
        except (TypeError, OSError):  # built in, or typed into a session
            continue
        if file is not None and file.is_file() and HOUSE not in file.resolve().parents:
            yield file


def data_files(config: Config) -> Iterator[Path]:
    """The files that the config names."""
    for key, value in leaves(config.values):
        if key == "kind" or not isinstance(value, str) or not value or len(value) > 500:
            continue
        for folder in config.folders:
            try:
                if (folder / value).is_file():
                    yield folder / value
                    break
            except (OSError, ValueError):
                break
