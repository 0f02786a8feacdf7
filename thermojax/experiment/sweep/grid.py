"""A grid of runs: each point a folder, what is finished left alone, what failed reported."""

from __future__ import annotations

import hashlib
import itertools
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from ..command_line import refuse_long
from ..errors import UserError, one_line
from ..run.experiment import Experiment, read_experiment
from ..run.folder import CONFIG, finished, unfinished
from ..run.interrupt import Interrupted
from ..run.progress import Progress

LONGEST_NAME = 120
MOST_POINTS = 10_000
PLAIN = re.compile(r"[A-Za-z0-9._+-]+")  # what is in the name of a folder as it was typed


@dataclass(frozen=True)
class Point:
    """One point of a grid: its overrides, the folder of its run, and what is run there."""

    overrides: tuple[str, ...]
    folder: Path
    experiment: Experiment = field(compare=False)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def log(self) -> Path:
        return self.folder.with_name(f"{self.name}.log")


Todo: TypeAlias = Iterable[tuple[Point, list[str]]]  # points, each with its command
Ended: TypeAlias = Generator[tuple[Point, int], None, None]  # and with its exit code, as they end
Work: TypeAlias = Callable[[Todo], Ended]


def grid(words: list[str]) -> list[tuple[str, ...]]:
    """`["a=1,2", "b=3"]` -> the overrides of each point: `[("a=1", "b=3"), ("a=2", "b=3")]`.

    Commas in brackets, braces or quotes belong to a value.

    **Raises:** UserError for a word that is no `key=value,value`, or a key that comes twice.
    """
    axes, seen = [], set()
    for word in words:
        key, separator, values = word.partition("=")
        if not separator or not key.strip():
            raise UserError(f"command line: '{word}': expected key=value,value,...")
        if key.strip() in seen:
            raise UserError(f"command line: {key.strip()} is given twice: put its values together")
        seen.add(key.strip())
        options = list(dict.fromkeys(value.strip() for value in split_values(values)))
        if not all(options):
            raise UserError(f"command line: '{word}': a value between two commas is missing")
        axes.append([f"{key.strip()}={value}" for value in options])
    points = list(itertools.islice(itertools.product(*axes), MOST_POINTS + 1))
    if len(points) > MOST_POINTS:
        raise UserError(f"command line: more than {MOST_POINTS:,} points: take fewer values")
    return points


def split_values(text: str) -> list[str]:
    """A list of values at its own commas, not at those inside of the values."""
    parts, depth, quote, current = [], 0, "", ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "[{(":
            depth += 1
        elif character in "]})":
            depth -= 1
        if character == "," and depth == 0 and not quote:
            parts.append(current)
            current = ""
        else:
            current += character
    return [*parts, current]


def folder_name(overrides: tuple[str, ...]) -> str:
    """The settings of a point as a name that a shell takes as it stands: `bath.mass-2,seed-1`.

    A digest tells names apart whose settings hold other signs, or are long.
    """
    pairs = [tuple(part.strip() for part in one.split("=", 1)) for one in overrides]
    name = ",".join("-".join(pair) for pair in pairs) or "point"
    safe = re.sub(r"[^A-Za-z0-9._+,-]+", "_", name).strip("_")
    plain = all(PLAIN.fullmatch(part) for pair in pairs for part in pair)
    if not plain or len(safe) > LONGEST_NAME or safe[:1] in (".", "-", "+"):
        code = hashlib.sha256(" ".join(overrides).encode()).hexdigest()[:8]
        safe = f"{safe[:LONGEST_NAME].lstrip('.-+,')}-{code}".lstrip("-")
    return safe


def former_name(overrides: tuple[str, ...]) -> str:
    """The name that version 0.1 gave to the folder of a point, with spaces and `=`."""
    text = " ".join(overrides) or "point"
    name = re.sub(r"[^\w.=+\-\[\],{}: ]", "_", text)
    if name != text or len(name) > LONGEST_NAME or name.startswith("."):
        code = hashlib.sha256(text.encode()).hexdigest()[:8]
        name = f"{name[:LONGEST_NAME].lstrip('.')} {code}"
    return name


def point_of(file: str | Path, overrides: tuple[str, ...], folder: Path) -> Point:
    """A point in the folder of a sweep; begun under its former name, it stays there."""
    former = folder / former_name(overrides)
    there = finished(former) or unfinished(former)
    place = former if there else folder / folder_name(overrides)
    return Point(overrides, place, read_experiment(file, overrides))


def plan(file: str | Path, words: list[str], out: str | Path | None) -> tuple[Path, list[Point]]:
    """The folder of a sweep and its points, each a config that can be read.

    **Raises:** UserError for a config or an override that cannot be read.
    """
    folder = Path("runs") / f"{Path(file).stem}-sweep" if out is None else Path(out)
    refuse_long(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: exists and is no folder: choose another --out DIR")
    if finished(folder) or unfinished(folder):
        raise UserError(f"{folder}: holds a single run: choose another --out DIR for the sweep")
    points = [point_of(file, one, folder) for one in grid(words)]
    for point in points:
        kept, text = point.folder / CONFIG, point.experiment.config.text
        if kept.exists() and kept.read_text(encoding="utf-8") != text:
            raise UserError(
                f"{kept}: is another config than the one of this point now: choose another --out "
                "DIR, or remove that folder"
            )
    return folder, points


def point_command(point: Point, file: str | Path) -> list[str]:
    """The command that finishes a point: `resume` where it has begun, else `run`."""
    begin = [sys.executable, "-m", "thermojax"]
    if unfinished(point.folder):
        return [*begin, "resume", str(point.folder)]
    return [*begin, "run", str(file), *point.overrides, "--out", str(point.folder)]


def sweep(
    file: str | Path, points: list[Point], progress: Progress, work: Work
) -> dict[Point, str]:
    """Finish all points; what went wrong with those that failed, in words.

    **Arguments:** `work`, one of `in_processes(jobs)` and `on_slurm(options)`: runs the command of
    each point, and gives its exit code when it has ended.

    **Raises:** Interrupted after Ctrl-C, when the runs that were under way have ended.
    """
    left = [point for point in points if not finished(point.folder)]
    if len(left) < len(points):
        progress.line(f"{len(points) - len(left)} of {len(points)} points are there already")
    for point in left:
        point.folder.parent.mkdir(parents=True, exist_ok=True)
    failed: dict[Point, str] = {}
    todo = ((point, point_command(point, file)) for point in left)
    try:
        with progress.phase("sweep", len(left), "points") as phase, closing(work(todo)) as ended:
            for point, code in ended:
                if code:
                    failed[point] = last_line(point.log) or f"exit code {code}"
                    progress.line(f"failed: {point.name}: {failed[point]}")
                phase.advance(1, f"{len(failed)} failed" if failed else "")
    except KeyboardInterrupt:
        raise Interrupted("interrupted; the same command again continues the sweep") from None
    return failed


def in_processes(jobs: int) -> Work:
    """Run points as processes of this machine, `jobs` of them at a time."""

    def work(todo: Todo) -> Ended:
        running: set[subprocess.Popen] = set()
        stopped = threading.Event()

        def one(point: Point, words: list[str]) -> tuple[Point, int]:
            if stopped.is_set():
                return point, 0
            with open(point.log, "w", encoding="utf-8") as log:
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C reaches them through us, and once
                )
                running.add(process)
                code = process.wait()
                running.discard(process)
            return point, code

        with ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(one, *pair) for pair in todo]
            try:
                for future in as_completed(futures):
                    yield future.result()
            finally:
                # Where nobody waits for them any longer, the runs save what they have, and end.
                stopped.set()
                for process in list(running):
                    process.terminate()

    return work


def on_slurm(folder: Path, options: dict[str, str]) -> Work:
    """Run points as jobs of a SLURM cluster, by submitit; returns when all have ended."""
    from ...interop.extras import needed

    try:
        submitit = needed("submitit", "slurm")
    except ImportError as error:
        raise UserError(one_line(error)) from None

    def work(todo: Todo) -> Ended:
        settings = {key: int(v) if v.isdigit() else v for key, v in options.items()}
        executor = submitit.AutoExecutor(folder / "slurm", cluster=settings.pop("cluster", None))
        try:
            executor.update_parameters(**settings)
        except (NameError, ValueError, TypeError) as error:
            raise UserError(f"--slurm: {one_line(error)}") from None
        jobs = [(point, executor.submit(logged, words, str(point.log))) for point, words in todo]
        for point, job in jobs:
            try:
                code = int(job.result())
            except Exception as error:  # of the cluster: the point is reported, the rest goes on
                point.log.write_text(f"the job has failed: {one_line(error)[:300]}\n", "utf-8")
                code = 1
            yield point, code

    return work


def logged(words: list[str], log: str) -> int:
    """Run a command, what it says going to a file; its exit code. Runs on the cluster."""
    with open(log, "w", encoding="utf-8") as stream:
        return subprocess.run(
            words, stdout=stream, stderr=subprocess.STDOUT, check=False
        ).returncode


def last_line(file: Path) -> str:
    """The last line of a run's log: the sentence that explains why it failed."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    return said[-1].removeprefix("thermojax: ") if said else ""
