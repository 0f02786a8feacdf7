"""Killed at any moment, a run goes on to the results of one that was not: bit for bit."""

import random
import signal
import sys
import time

import pytest

from tests import resuming
from thermojax.cli import main
from thermojax.experiment.store import load


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
    assert "unfinished run: continue it with `thermojax resume" in capsys.readouterr().err
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


def kill_until_done(place, name, generator, longest, grace=0.0):
    """Run, kill at a random moment, resume, kill, ... until it ends by itself; the kills."""
    kills, begun, first = 0, False, True
    while True:
        arguments = ["resume", name] if begun else ["run", "drag.yaml", "--out", name]
        process = resuming.start(place, *arguments)
        moment = time.monotonic() + grace + generator.uniform(0.0, longest)
        while process.poll() is None and time.monotonic() < moment:
            time.sleep(0.001)
        over = process.poll() is not None
        process.kill()
        _, said = process.communicate()
        if over:
            assert process.returncode == 0, said
            return kills
        kills += 1
        begun = (place / name / ".checkpoint" / "run.json").exists() or begun
        first = False
        assert first or kills < 200


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments(place, seed):
    """Moments are spread over the second half of the time that a process takes when left alone."""
    began = time.monotonic()
    process = resuming.start(place, "run", "drag.yaml", "--out", f"timing {seed}")
    assert process.wait() == 0
    process.communicate()
    took = time.monotonic() - began
    generator = random.Random(seed)
    total = 0
    for i in range(4):
        name = f"random {seed} {i}"
        total += kill_until_done(place, name, generator, 0.7 * took, 0.4 * took)
        assert_as_whole(place, name)
    assert total >= 4
