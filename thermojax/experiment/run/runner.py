"""One run: a config in, a folder with results and a report out; and the same run continued."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import chdir, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..._calls import Computation, alone
from ..command_line import refuse_long, report_command, resume_command
from ..config.build import build
from ..config.own_code import put_away
from ..config.plan import RUNNER_KEYS, STUDY, plan
from ..config.read import Config, read_config
from ..errors import UserError, nearest, one_line, shortened
from ..results.store import RESULTS, load, save, write_whole
from .cache import cache_settings, mended
from .device import chosen_device, prepare_cpu
from .folder import (
    CONFIG,
    STATE,
    check_free,
    close_run,
    concerns,
    finished,
    kept,
    locked,
    note_run,
    noted_run,
    reserved,
    saved,
    unfinished,
    unwritable,
)
from .interrupt import Interrupted, Stop, stoppable
from .progress import Progress

PRECISIONS = ("float32", "float64")


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
    behind then but what was computed. Interrupted after Ctrl-C: what was done is in the folder, for
    `resume`.
    """
    progress = progress or Progress()
    config = read_config(file, overrides)
    _, precision = run_settings(config)
    plan(config, RUNNER_KEYS, STUDY)  # most mistakes are answered here, before JAX is loaded
    folder = Path("runs") / config.file.stem if out is None else Path(out)
    check_free(folder)
    with own_modules(), computing(precision):
        alone(beginning(folder, config, built(config), progress))
    return folder


def beginning(
    folder: Path, config: Config, study: Any, progress: Progress, share: Share | None = None
) -> Computation[None]:
    """A new run in a folder, as a computation."""
    with reserved(folder):
        origin = origin_of(config)
        started = time.strftime("%Y-%m-%d %H:%M:%S %z")
        facts = facts_of(config, study)
        noted = {"config": config.text, "origin": origin, "started": started, "facts": facts}
        note_run(folder, noted)
        write_config(folder, config.text)
        yield from work(folder, config, study, facts, started, progress, share=share)


def built(config: Config) -> Any:
    """The study of a config."""
    prepare_cpu(config.values.get("devices"))
    study = build(config, RUNNER_KEYS)
    check_study(config, study)
    return study


def resume(
    folder: str | Path, progress: Progress | None = None, anyway: bool = False
) -> tuple[Path, bool]:
    """Continue the run in a folder, to the results of one that was never interrupted.

    **Arguments:** `folder`, the output folder of `run`; `anyway`, also with other versions, on
    another device or after a change of the code or the data: results may then differ.

    **Returns:** the folder, and whether there was anything left to do.

    **Raises:** UserError where there is no run, where another process works on it, or where
    something differs from what it began with. Interrupted after Ctrl-C, as `run`.
    """
    progress = progress or Progress()
    folder = Path(folder)
    refuse_long(folder)
    if not unfinished(folder):
        if finished(folder):
            finish_report(folder, progress)
            return folder, False
        if folder.is_dir() and any(map(unfinished, folder.iterdir())):
            raise UserError(
                f"{folder}: holds several runs: name the folder of one, or give the same command "
                "of the sweep again"
            )
        raise UserError(f"{folder}: holds no run that was begun: expected the output folder of one")
    with writing(folder), locked(folder):
        noted = noted_run(folder)
        if (folder / RESULTS).exists():  # killed between its results and its last line
            finish_report(folder, progress)
            close_run(folder)
            return folder, False
        config = noted_config(folder, noted)
        _, precision = run_settings(config)
        here = Path(os.path.abspath(folder))  # seen from the folder where it began, too
        with working_folder(noted["origin"]["cwd"]), own_modules(), computing(precision):
            study = built(config)
            facts = facts_of(config, study)
            if not anyway:
                check_facts(folder, noted["facts"], facts)
            alone(work(here, config, study, facts, noted["started"], progress, folder, anyway))
    return folder, True


def continuing(
    folder: Path, config: Config, study: Any, progress: Progress, share: Share
) -> Computation[None]:
    """The run that has begun in a folder, as a computation."""
    with writing(folder), locked(folder):
        noted = noted_run(folder)
        facts = facts_of(config, study)
        check_facts(folder, noted["facts"], facts)
        config = noted_config(folder, noted)
        yield from work(folder, config, study, facts, noted["started"], progress, share=share)


@dataclass(frozen=True)
class Share:
    """What runs that are computed together have in common: who stops them, how many they are."""

    stop: Stop
    runs: int


def work(
    folder: Path,
    config: Config,
    study: Any,
    facts: dict[str, str],
    started: str,
    progress: Progress,
    shown: Path | None = None,
    anyway: bool = False,
    share: Share | None = None,
) -> Computation[None]:
    """Do what is left to do; `shown`, how the user has called the folder."""
    import jax

    from .checkpoints import Checkpoints
    from .provenance import describe

    seed, _ = run_settings(config)
    shown = shown or folder
    try:
        with stoppable(progress.line) if share is None else nullcontext(share.stop) as stop:
            progress.checkpoints = Checkpoints(folder / STATE, facts, stop, anyway)
            results = study.run(jax.random.key(seed), progress)
            if isinstance(results, Generator):  # a computation, which yields its calls
                results = yield from results
            describe(results, config, study, seed)
            results.attributes["computed_together"] = 1 if share is None else share.runs
            results.attributes["started"] = started
            results.attributes["wall_time"] = progress.checkpoints.elapsed
            save(folder / RESULTS, results)
        finish_report(folder, progress, type(study))
        close_run(folder)
    except UserError:
        raise
    except ValueError as error:
        # What the library refuses is a setting that does not fit, said in one sentence.
        if os.environ.get("THERMOJAX_TRACEBACK"):
            raise
        raise UserError(f"{config.file}: {one_line(error)}{what_is_kept(folder)}") from error
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; continue with\n  {resume_command(folder)}"
            if kept(folder)
            else "interrupted before there was anything to keep"
        ) from None
    except Exception as error:
        if isinstance(error, OSError) and concerns(folder, error):
            if not kept(folder):
                raise
            cure = f"make room, then continue with `{resume_command(folder)}`"
            raise unwritable(shown, error, cure) from error
        if said := what_is_kept(folder):
            progress.line(said.removeprefix("; "))
        raise
    finally:
        progress.checkpoints = None


def what_is_kept(folder: Path) -> str:
    """The end of a sentence on a run that has failed: how to go on from what it has computed."""
    if not saved(folder):
        return ""
    again = f"{resume_command(folder)} --anyway"
    return f"; what was computed is kept: after a correction `{again}` goes on from there"


def finish_report(folder: Path, progress: Progress, study: Any = None) -> None:
    """The report, where there is none: made from what was stored, which it cannot touch.

    What fails here is a warning: the results are there, and the report can be made again.
    """
    from ..results.report import REPORT, write_report
    from ..study.base import study_of

    if (folder / REPORT).exists():
        return
    results = load(folder)
    try:
        known, warning = study_of(results) if study is None else (study, "")
        write_report(folder, results, known, warning)
    except Exception as error:  # of a figure, a style or a plugin, whatever it is
        why = f"{type(error).__name__}: {shortened(one_line(error), 200)}"
        progress.line(
            f"warning: the results are stored, but their report could not be made ({why}); "
            f"again with\n  {report_command(folder)}"
        )


def facts_of(config: Config, study: Any) -> dict[str, str]:
    from ...checkpoint import environment
    from .provenance import run_facts

    return {**environment(), **run_facts(config, study)}


def check_facts(folder: Path, there: dict[str, str], here: dict[str, str]) -> None:
    from ...checkpoint import difference

    if problem := difference(there, here):
        raise UserError(
            f"{folder}: something has changed since this run began: {problem}; undo that, or add "
            "--anyway to continue with results that may differ from those of one run"
        )


def write_config(folder: Path, text: str) -> None:
    write_whole(folder / CONFIG, lambda path: path.write_text(text, "utf-8"))


def noted_config(folder: Path, noted: dict[str, Any]) -> Config:
    """The config of the run, its places those of the file that it came from."""
    if not (folder / CONFIG).exists():  # killed before it was written
        write_config(folder, noted["config"])
    config = read_config(folder / CONFIG)
    if config.text != noted["config"]:
        raise UserError(
            f"{folder / CONFIG}: was changed since the run began: undo that, or start a new run "
            "with it in another folder"
        )
    origin = noted["origin"]
    files = tuple(map(Path, origin.get("files", [origin["file"]])))
    return replace(config, file=Path(origin["file"]), files=files)


def origin_of(config: Config) -> dict[str, Any]:
    """Where a run has begun: what its config names is looked for from there again."""
    return {
        "file": str(config.file.resolve()),
        "files": [str(file.resolve()) for file in config.files],
        "cwd": str(Path.cwd()),
        "device": chosen_device(),
    }


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Trouble with the folder of a run that goes on, in one sentence."""
    try:
        yield
    except OSError as error:
        if not concerns(folder, error):
            raise
        raise unwritable(folder, error, "make it writable and try again") from error


@contextmanager
def own_modules() -> Iterator[None]:
    """Modules of the user's are imported for one run: another import of that name is another's."""
    try:
        yield
    finally:
        put_away()


@contextmanager
def working_folder(path: str) -> Iterator[None]:
    """Where the run was started, as long as that is still there.

    `python -m` looks for modules where it is called, first of all: that place moves along.
    """
    here, first = str(Path.cwd()), sys.path[:1]
    with chdir(path) if Path(path).is_dir() else nullcontext():
        if first == [here]:
            sys.path[0] = str(Path.cwd())
        try:
            yield
        finally:
            if first == [here]:
                sys.path[0] = here


def run_settings(config: Config) -> tuple[int, str]:
    """The settings of the run itself, checked."""
    for key in RUNNER_KEYS:
        config.refuse_words(key)
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


def check_study(config: Config, study: Any) -> None:
    from ..study.base import AbstractStudy

    if not isinstance(study, AbstractStudy):
        raise config.error(
            "kind",
            f"kind = {config.values['kind']}: a {type(study).__name__} is no study: expected a "
            "subclass of thermojax.experiment.AbstractStudy",
        )


@contextmanager
def computing(precision: str) -> Iterator[None]:
    """JAX in the wanted precision, programs kept between runs; all set back afterwards."""
    import jax

    settings = {"jax_enable_x64": precision == "float64", **cache_settings()}
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    try:
        with mended():
            yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
