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

import jax

from ..._calls import Computation, alone
from ...checkpoint import difference
from ...compilation_cache import cache_settings, mended
from ..command_line import refuse_long, report_command, resume_command
from ..config.read import Config, read_config
from ..errors import UserError, one_line, shortened
from ..results.store import RESULTS, load, save, write_whole
from .checkpoints import Checkpoints
from .device import chosen_device, jax_settings
from .experiment import Experiment, experiment_of
from .folder import (
    CONFIG,
    STATE,
    check_free,
    close_run,
    concerns,
    finished,
    in_words,
    kept,
    locked,
    note_run,
    noted_run,
    reserved,
    saved,
    unfinished,
)
from .interrupt import Interrupted, Stop, stoppable
from .progress import Progress
from .provenance import describe, run_facts

WRITABLE = "make it writable and try again"


def run(
    experiment: Experiment, out: str | Path | None = None, progress: Progress | None = None
) -> Path:
    """Run the study that a config describes.

    **Arguments:** `experiment`, of `read_experiment`; `out`, the folder to write,
    `runs/<name of the config>` when left out.

    **Returns:** the folder, with `config.yaml`, `results.h5` and `report.html` in it.

    **Raises:** UserError for any mistake in the config, the data or the folder; nothing is left
    behind then but what was computed. Interrupted after Ctrl-C: what was done is in the folder, for
    `resume`.
    """
    folder = Path("runs") / experiment.config.file.stem if out is None else Path(out)
    check_free(folder)
    with computing(experiment.settings.precision):
        alone(Run(folder, experiment, progress or Progress()).begin())
    return folder


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
    noted = noted_run(folder)
    with in_words(folder, WRITABLE):
        experiment = experiment_of(noted_config(folder, noted))
    here = Path(os.path.abspath(folder))  # seen from the folder where it began, too
    with working_folder(noted["origin"]["cwd"]), computing(experiment.settings.precision):
        return folder, alone(Run(here, experiment, progress).go_on(anyway))


@dataclass
class Run:
    """A run in a folder of its own, to be begun or to be continued.

    `stop` and `together`: of runs that are computed together, who stops them all, and how many they
    are.
    """

    folder: Path
    experiment: Experiment
    progress: Progress
    stop: Stop | None = None
    together: int = 1

    def begin(self) -> Computation[None]:
        """The run from its beginning, as a computation."""
        facts = run_facts(self.experiment)  # most mistakes are answered before anything is written
        config = self.experiment.config
        with reserved(self.folder):
            started = time.strftime("%Y-%m-%d %H:%M:%S %z")
            notes = {"config": config.text, "origin": origin_of(config)}
            note_run(self.folder, {**notes, "started": started, "facts": facts})
            write_config(self.folder, config.text)
            yield from self.work(started)

    def go_on(self, anyway: bool = False) -> Computation[bool]:
        """The rest of the run, as a computation; whether there was anything left to do.

        **Raises:** UserError where something has changed since it began, unless `anyway`.
        """
        with in_words(self.folder, WRITABLE), locked(self.folder):
            noted = noted_run(self.folder)
            if (self.folder / RESULTS).exists():  # killed between its results and its last line
                self.finish()
                return False
            if not anyway:
                check_facts(self.folder, noted["facts"], run_facts(self.experiment))
            yield from self.work(noted["started"])
            return True

    def work(self, started: str) -> Computation[None]:
        """Do what is left to do, and finish."""
        folder, experiment, progress = self.folder, self.experiment, self.progress
        try:
            with nullcontext(self.stop) if self.stop else stoppable(progress.line) as stop:
                progress.checkpoints = Checkpoints(folder / STATE, stop)
                results = experiment.study.run(jax.random.key(experiment.settings.seed), progress)
                if isinstance(results, Generator):  # a computation, which yields its calls
                    results = yield from results
                describe(results, experiment)
                results.attributes["computed_together"] = self.together
                results.attributes["started"] = started
                results.attributes["wall_time"] = progress.checkpoints.elapsed
                save(folder / RESULTS, results)
            self.finish(type(experiment.study))
        except UserError:
            raise
        except ValueError as error:
            # What the library refuses is a setting that does not fit, said in one sentence.
            if os.environ.get("THERMOJAX_TRACEBACK"):
                raise
            said = f"{one_line(error)}{what_is_kept(folder)}"
            raise UserError(f"{experiment.config.file}: {said}") from error
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted; continue with\n  {resume_command(folder)}"
                if kept(folder)
                else "interrupted before there was anything to keep"
            ) from None
        except Exception as error:
            # Of trouble with the folder, who owns it says how to go on.
            of_folder = isinstance(error, OSError) and concerns(folder, error)
            if not of_folder and (said := what_is_kept(folder)):
                progress.line(said.removeprefix("; "))
            raise
        finally:
            progress.checkpoints = None

    def finish(self, study: Any = None) -> None:
        """Make the report of results that are stored, and close the run."""
        finish_report(self.folder, self.progress, study)
        close_run(self.folder)


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


def check_facts(folder: Path, there: dict[str, str], here: dict[str, str]) -> None:
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


@contextmanager
def computing(precision: str) -> Iterator[None]:
    """JAX in the wanted precision, programs kept between runs; all set back afterwards."""
    with jax_settings(jax_enable_x64=precision == "float64", **cache_settings()), mended():
        yield
