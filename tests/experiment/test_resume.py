"""Killed at any moment, a run goes on to the results of one that was not: bit for bit."""

import os
import random
import signal
import sys
import time

import pytest

from tests import resuming
from thermojax.cli import main
from thermojax.experiment.command_line import resume_command
from thermojax.experiment.results.store import load


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The folder of the study, and in it `whole`, a run that nobody has disturbed."""
    folder = tmp_path_factory.mktemp("resume é")
    file = resuming.write_study(folder)
    assert main(["run", str(file), "--out", str(folder / "whole")]) == 0
    yield folder
    sys.modules.pop("drag_study", None)
    sys.path[:] = [p for p in sys.path if p != str(folder)]


@pytest.fixture
def every_boundary(monkeypatch):
    monkeypatch.setenv("THERMOJAX_CHECKPOINT_SECONDS", "0")


def assert_as_whole(place, name):
    resuming.assert_identical(load(place / "whole"), load(place / name))
    files = {file.name for file in (place / name).iterdir()}
    assert files == {"config.yaml", "results.h5", "report.html"}


@pytest.mark.slow
def test_killed_while_writing(place, every_boundary, capsys):
    """In training with a file half-renamed, then in the evaluation, then before the report.

    Files are renamed in this order: notes, config, 12 steps of training, 2 x 6 chunks, results.
    """
    out = "killed"
    moments = [
        ("before", 8, ["run", "drag.yaml", "--out", out]),
        ("after", 9, ["resume", out]),  # of the 7 steps that are left, and 6 chunks
        ("after", 11, ["resume", out]),
    ]
    for when, count, arguments in moments:
        process = resuming.killed_at(place, when, count, *arguments)
        _, said = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, said
        assert not (place / out / "report.html").exists()
    assert main(["run", str(place / "drag.yaml"), "--out", str(place / out)]) == 2
    again = resume_command(place / out)
    assert f"unfinished run: continue it with `{again}`" in capsys.readouterr().err
    assert main(["resume", str(place / out)]) == 0
    assert_as_whole(place, out)
    assert main(["resume", str(place / out)]) == 0
    assert "this run is finished" in capsys.readouterr().out


def test_killed_before_it_began(place, capsys):
    process = resuming.killed_at(place, "before", 1, "run", "drag.yaml", "--out", "early")
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert main(["resume", str(place / "early")]) == 2
    assert "holds no run that was begun" in capsys.readouterr().err
    assert main(["run", str(place / "drag.yaml"), "--out", str(place / "early")]) == 0
    assert_as_whole(place, "early")


def killed_somewhere(place, name, arguments, generator) -> bool:
    """Start a process and kill it at a random moment; whether it was still alive then.

    Half of them are moments in time, from when the run owns its folder (to start the interpreter
    takes most of the time, and has nothing to lose); the others are just before or after a file
    gets its name, which is where a mistake would show.
    """
    if generator.random() < 0.5:
        when = generator.choice(["before", "after"])
        process = resuming.killed_at(place, when, generator.randint(1, 12), *arguments)
        _, said = process.communicate()
    else:
        process = resuming.start(place, *arguments)
        owner = place / name / ".checkpoint" / "owner"
        owned = f"process {process.pid} "
        while process.poll() is None and not (owner.exists() and owned in owner.read_text()):
            time.sleep(0.002)
        moment = time.monotonic() + generator.uniform(0.0, 4.0)
        while process.poll() is None and time.monotonic() < moment:
            time.sleep(0.001)
        process.kill()
        _, said = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), said
    return process.returncode != 0


def kill_until_done(place, name, generator) -> int:
    """Run, kill, resume, kill, ... until a process ends by itself; the kills."""
    kills, arguments = 0, ["run", "drag.yaml", "--out", name]
    while killed_somewhere(place, name, arguments, generator):
        kills += 1
        if (place / name / ".checkpoint" / "run.json").exists():
            arguments = ["resume", name]
        assert kills < 100
    return kills


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(int(os.environ.get("THERMOJAX_TEST_KILLS", "3"))))
def test_killed_at_random_moments(place, seed):
    """More seeds: THERMOJAX_TEST_KILLS=50."""
    name = f"random {seed}"
    kills = kill_until_done(place, name, random.Random(seed))
    assert_as_whole(place, name)
    print(f"seed {seed}: {kills} kills")
