"""One run: a config in, a folder with results and a report out."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from .build import build
from .config import Config, read_config
from .errors import UserError, nearest, one_line
from .plan import RUNNER_KEYS, STUDY, plan
from .progress import Progress
from .store import RESULTS, Record, load, save

CONFIG = "config.yaml"
PRECISIONS = ("float32", "float64")
PACKAGES = ("thermojax", "jax", "jaxlib", "diffrax", "equinox", "optax", "numpy")


def run(
    file: str | Path,
    overrides: list[str] | tuple[str, ...] = (),
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Run the study that a config describes.

    **Arguments:** `file`, the YAML; `overrides`, as `["bath.friction=2"]`; `out`, the folder to
    write, `runs/<name of the config>` when left out.

    **Returns:** the folder, with `config.yaml`, `results.h5` and `report.html` in it.

    **Raises:** UserError for any mistake in the config, the data or the folder; nothing is left
    behind then, nor after Ctrl-C.
    """
    progress = progress or Progress()
    config = read_config(file, overrides)
    seed, precision = run_settings(config)
    plan(config, RUNNER_KEYS, STUDY)  # most mistakes are answered here, before JAX is loaded
    folder = Path("runs") / config.file.stem if out is None else Path(out)
    check_free(folder)
    with computing(precision):
        study = build(config, RUNNER_KEYS)
        check_study(config, study)
        with reserved(folder):
            (folder / CONFIG).write_text(config.text, encoding="utf-8")
            began, started = time.perf_counter(), time.strftime("%Y-%m-%d %H:%M:%S %z")
            import jax

            try:
                results = study.run(jax.random.key(seed), progress)
            except ValueError as error:
                # What the library refuses is a setting that does not fit, said in one sentence.
                if os.environ.get("THERMOJAX_TRACEBACK"):
                    raise
                raise UserError(f"{config.file}: {one_line(error)}") from error
            describe(results, config, study, seed)
            results.attributes["started"] = started
            results.attributes["wall_time"] = time.perf_counter() - began
            finish(folder, results)
    return folder


def run_settings(config: Config) -> tuple[int, str]:
    """The settings of the run itself, checked."""
    seed = config.values.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise config.error("seed", f"seed = {seed!r}: expected a whole number from 0 to 2^32 - 1")
    precision = config.values.get("precision", "float32")
    if precision not in PRECISIONS:
        raise config.error(
            "precision",
            f"precision = {precision!r}: expected float32 or float64"
            f"{nearest(precision, PRECISIONS)}",
        )
    return seed, precision


def check_free(folder: Path) -> None:
    """Refuse a folder that holds something."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.is_dir() and ((folder / RESULTS).exists() or (folder / CONFIG).exists()):
        raise UserError(
            f"{folder}: this output folder already holds another run: choose a new one with "
            "--out DIR, or remove it"
        )
    if folder.exists() or folder.is_symlink():
        raise UserError(f"{folder}: exists and is not an empty folder: choose another --out DIR")


def check_study(config: Config, study: Any) -> None:
    from .study import AbstractStudy

    if not isinstance(study, AbstractStudy):
        raise config.error(
            "kind",
            f"kind = {config.values['kind']}: a {type(study).__name__} is no study: expected a "
            "subclass of thermojax.experiment.AbstractStudy",
        )


@contextmanager
def reserved(folder: Path) -> Iterator[None]:
    """Make the output folder, and remove it again unless the run ends well."""
    try:
        missing = [p for p in (folder, *folder.parents) if not p.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        # The one file that exactly one of two runs at once can make.
        with open(folder / CONFIG, "x"):
            pass
    except FileExistsError:
        raise UserError(
            f"{folder}: another run has just taken this output folder: choose a new --out DIR"
        ) from None
    except OSError as error:
        raise UserError(
            f"{folder}: the output folder cannot be written ({one_line(error)}): choose another "
            "--out DIR"
        ) from None
    try:
        yield
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in missing[1:]:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        if isinstance(error, OSError):
            raise UserError(f"{folder}: could not be written ({one_line(error)})") from error
        raise


@contextmanager
def computing(precision: str) -> Iterator[None]:
    """JAX in the wanted precision, programs kept between runs; all set back afterwards."""
    import jax

    settings: dict[str, Any] = {"jax_enable_x64": precision == "float64"}
    known: Any = jax.config  # its settings are made at run time
    if not known.jax_compilation_cache_dir and (cache := cache_folder()) is not None:
        settings["jax_compilation_cache_dir"] = str(cache)
        settings["jax_persistent_cache_min_compile_time_secs"] = 0.2  # 1 by default
    if cache_is_off():
        settings["jax_enable_compilation_cache"] = False
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def cache_is_off() -> bool:
    return os.environ.get("THERMOJAX_CACHE", "").lower() in ("off", "no", "0")


def cache_folder() -> Path | None:
    """Where compiled programs are kept, or None where nothing can be written.

    The variable THERMOJAX_CACHE names another folder, or says `off`.
    """
    if cache_is_off():
        return None
    base, wish = os.environ.get("XDG_CACHE_HOME"), os.environ.get("THERMOJAX_CACHE")
    try:
        folder = (Path(base) if base else Path.home() / ".cache") / "thermojax"
        folder = Path(wish) if wish else folder
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder if os.access(folder, os.W_OK) else None


def describe(results: Record, config: Config, study: Any, seed: int) -> None:
    """Everything a reader needs to know where the numbers come from."""
    import jax

    from .summary import warnings_of

    device = jax.devices()[0]
    kind = platform.processor() or platform.machine() if device.platform == "cpu" else ""
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
        device=f"{device.device_kind}{f' ({kind})' if kind else ''}, {os.cpu_count()} CPU cores",
        commit=commit(),
        diverged=int(np.sum(trained)) + sum(column.get("diverged", 0) for column in columns),
    )
    results.attributes["warnings"] = warnings_of(results)
    results.put("config", config.text)
    versions = Record()
    versions.attributes = {"python": platform.python_version(), **installed()}
    results["versions"] = versions


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


def finish(folder: Path, results: Record) -> None:
    """Store the results, and make the report from what was stored."""
    from .report import write_report

    save(folder / RESULTS, results)
    write_report(folder, load(folder))
