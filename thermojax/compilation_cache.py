"""Compiled programs kept on disk for the next process, in JAX's own cache."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TROUBLE = "persistent compilation cache"  # what JAX's warnings about it have in common
SHORT = "jax_persistent_cache_min_compile_time_secs"
SHORTEST = 0.2  # seconds of compilation that are worth a file; 1 by default


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
        folder = (Path(base).expanduser() if base else Path.home() / ".cache") / "thermojax"
        folder = Path(wish).expanduser() if wish else folder  # a shell leaves ~ behind a = alone
    except RuntimeError:
        return None
    return writable(folder)


def cache_settings() -> dict[str, Any]:
    """The settings of JAX under which a run keeps its programs; a cache of the user's own stays."""
    import jax

    if cache_is_off():
        return {"jax_enable_compilation_cache": False}
    if jax.config.values["jax_compilation_cache_dir"] or (cache := cache_folder()) is None:
        return {}
    return {"jax_compilation_cache_dir": str(cache), SHORT: SHORTEST}


def enable_compilation_cache(folder: str | Path | None = None) -> Path | None:
    """Keep compiled programs in a folder: the next process reads them instead of compiling again.

    JAX's own persistent cache, with the folder and the settings of `thermojax run`, which does this
    by itself. Call it once, at the top of a script: what was compiled before is not kept.

    **Arguments:** `folder`; when left out that of JAX's own settings where they name one, else
    THERMOJAX_CACHE, else `thermojax` in XDG_CACHE_HOME or ~/.cache.

    **Returns:** the folder; None where THERMOJAX_CACHE says `off` and no folder is given.

    **Raises:** ValueError for a folder that cannot be made or written.
    """
    import jax
    from jax.experimental.compilation_cache.compilation_cache import reset_cache

    if folder is not None and not isinstance(folder, str | Path):
        raise ValueError(f"folder is a {type(folder).__name__}: expected a path, or None")
    if folder is None and cache_is_off():
        return None
    chosen = folder or jax.config.values["jax_compilation_cache_dir"]
    found = cache_folder() if chosen is None else writable(Path(os.path.expanduser(chosen)))
    if found is None:
        raise ValueError(
            f"folder = {chosen or os.environ.get('THERMOJAX_CACHE') or '~/.cache'}: cannot be made "
            "or written: pass one that can"
        )
    settings = {"jax_compilation_cache_dir": str(found), "jax_enable_compilation_cache": True}
    for name, value in (settings | {SHORT: SHORTEST}).items():
        jax.config.update(name, value)
    reset_cache()  # JAX decides at its first compilation, and not again
    return found


def writable(folder: Path) -> Path | None:
    """The folder, made where it was not there; None where nothing can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


@contextmanager
def mended() -> Iterator[None]:
    """Drop the programs of our cache after a run that found one damaged, or could not write one.

    JAX writes these files in place: a run that is killed meanwhile, or a full disk, leaves a piece
    of one, which JAX would complain of in every later run and never replace. Nothing is lost but
    time.
    """
    import jax

    cache, own = cache_folder(), jax.config.values["jax_compilation_cache_dir"]
    if cache is None or own != str(cache):
        yield
        return
    broken, shown = False, warnings.showwarning

    def show(message, *rest, **more):
        nonlocal broken
        if TROUBLE in str(message):
            broken = True
        else:
            shown(message, *rest, **more)

    with warnings.catch_warnings():
        warnings.filterwarnings("always", message=f".*{TROUBLE}")
        warnings.showwarning = show
        try:
            yield
        finally:
            if broken:
                # By their names, for the folder may be one that the user has named.
                for file in (*cache.glob("*-cache"), *cache.glob("*-atime")):
                    file.unlink(missing_ok=True)
