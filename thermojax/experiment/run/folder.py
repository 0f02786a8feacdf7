"""The output folder of a run: who writes it, and what a run that was killed has left there."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..._files import remove_parts, write_whole
from ..command_line import refuse_long, resume_command
from ..errors import UserError, one_line

CONFIG = "config.yaml"
RESULTS = "results.h5"
STATE = ".checkpoint"  # the folder inside that a run holds as long as it is not finished
RUN = "run.json"
LOCK = "lock"
OWNER = "owner"  # who holds the lock, in words


class Unwritable(UserError):
    """A folder that cannot be written, or is full: no fault of the run, which can go on."""


def unfinished(folder: Path) -> bool:
    """Whether a run has begun here that `thermojax resume` can finish."""
    return (folder / STATE / RUN).exists()


def finished(folder: Path) -> bool:
    return (folder / RESULTS).exists() and not unfinished(folder)


def check_free(folder: Path) -> None:
    """Refuse a folder that holds something.

    A run that died before it had begun leaves no more than a lock, and counts as nothing.
    """
    refuse_long(folder)
    if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
        raise UserError(f"{folder}: this output folder cannot be read: choose another --out DIR")
    if unfinished(folder):
        with locked(folder):  # refused otherwise while a living process works in it
            pass
        raise UserError(
            f"{folder}: this output folder holds an unfinished run: continue it with "
            f"`{resume_command(folder)}`, or choose a new one with --out DIR"
        )
    if folder.is_dir() and {file.name for file in folder.iterdir()} <= {STATE}:
        if not saved(folder):
            return
        raise UserError(
            f"{folder}: this output folder holds checkpoints of a run without its notes: choose "
            "another --out DIR, or remove it"
        )
    if folder.is_dir() and ((folder / RESULTS).exists() or (folder / CONFIG).exists()):
        raise UserError(
            f"{folder}: this output folder already holds another run: choose a new one with "
            "--out DIR, or remove it"
        )
    if folder.exists() or folder.is_symlink():
        raise UserError(f"{folder}: exists and is not an empty folder: choose another --out DIR")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Own a folder's run: the second one who tries is refused.

    The lock is the system's and ends with the process, however that ends: a dead owner is no owner.
    """
    lock, owner = FileLock(folder / STATE / LOCK, timeout=0), folder / STATE / OWNER
    try:
        lock.acquire()
    except Timeout:
        who = owner.read_text("utf-8") if owner.exists() else "another process"
        raise UserError(
            f"{folder}: {who} is running in this folder: wait for it, or choose another --out DIR"
        ) from None
    try:
        me = f"process {os.getpid()} on {platform.node()}"
        write_whole(owner, lambda path: path.write_text(me, "utf-8"))
        yield
    finally:
        lock.release()


@contextmanager
def reserved(folder: Path) -> Iterator[None]:
    """Make the output folder and own it; removed again where a run ends that has kept nothing.

    What has been computed stays, however the run ends: results, and checkpoints too, since another
    run would have to compute them again.
    """
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        (folder / STATE).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remove_empty(missing)
        raise unwritable(folder, error, "choose another --out DIR") from None
    with in_words(folder, "choose another --out DIR"), locked(folder):
        if unfinished(folder) or finished(folder):
            raise UserError(
                f"{folder}: another run has just taken this output folder: choose a new --out DIR"
            )
        try:
            with in_words(folder, "nothing was kept"):
                yield
        except BaseException:
            if not kept(folder):
                remove_beginning(folder)
                remove_empty(missing)
            raise


def remove_beginning(folder: Path) -> None:
    """Remove what a run writes before it computes, and nothing that others have put there."""
    shutil.rmtree(folder / STATE, ignore_errors=True)
    (folder / CONFIG).unlink(missing_ok=True)
    remove_parts(folder)


@contextmanager
def in_words(folder: Path, cure: str) -> Iterator[None]:
    """Trouble with the folder in one sentence; where something was kept, the cure is to go on."""
    try:
        yield
    except OSError as error:
        if not concerns(folder, error):
            raise
        if kept(folder):
            again = resume_command(folder)
            cure = f"make room, or make it writable, then continue with `{again}`"
        raise unwritable(folder, error, cure) from error


def unwritable(folder: Path, error: OSError, cure: str) -> Unwritable:
    what = error.strerror or one_line(error)
    return Unwritable(f"{folder}: the output folder cannot be written ({what}): {cure}")


def concerns(folder: Path, error: OSError) -> bool:
    """Whether an error is about the output folder, and not about a file elsewhere that it names."""
    if not isinstance(error.filename, str):
        return True
    file = Path(error.filename).absolute()
    return folder.absolute() in (file, *file.parents)


def remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def saved(folder: Path) -> bool:
    """Whether there is something that a resumed run would not have to do again."""
    return any((folder / STATE).glob("*.ckpt"))


def kept(folder: Path) -> bool:
    """Whether a run has left something that was computed."""
    return saved(folder) or (folder / RESULTS).exists()


def note_run(folder: Path, facts: dict[str, Any]) -> None:
    """Write down what is needed to continue; from here on the run exists."""
    text = json.dumps(facts, indent=1)
    write_whole(folder / STATE / RUN, lambda path: path.write_text(text, encoding="utf-8"))


def noted_run(folder: Path) -> dict[str, Any]:
    """The facts that `note_run` has written. **Raises:** UserError where it cannot be read."""
    file = folder / STATE / RUN
    try:
        noted = json.loads(file.read_text(encoding="utf-8"))
        return {name: noted[name] for name in ("config", "origin", "started", "facts")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file}: cannot be read as the notes of a run ({one_line(error)}): start the run "
            "again in a new folder"
        ) from None


def device_of(folder: str | Path) -> str | None:
    """The device that an unfinished run was told to compute on; None where JAX chose it."""
    refuse_long(folder)
    return noted_run(Path(folder))["origin"].get("device") if unfinished(Path(folder)) else None


def close_run(folder: Path) -> None:
    """Remove what only an unfinished run needs: the notes first, so that the end is one moment."""
    (folder / STATE / RUN).unlink(missing_ok=True)
    shutil.rmtree(folder / STATE, ignore_errors=True)
    remove_parts(folder)
