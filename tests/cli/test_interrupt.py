"""Ctrl-C, two runs in one folder, a full disk: each ends in one sentence, and nothing is lost."""

import os
import re
import signal
import subprocess
import sys

import pytest

from tests import resuming
from thermojax.cli import main
from thermojax.experiment import UserError
from thermojax.experiment.command_line import resume_command
from thermojax.experiment.run.folder import locked

LONG = "kind: drag_study:Drag\nsteps: 100000\nchunks: 2\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    resuming.write_study(tmp_path, LONG)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("drag_study", None)
    sys.path[:] = [p for p in sys.path if p != str(tmp_path)]


def wait_for(file, process):
    while not file.exists():
        assert process.poll() is None, process.communicate()
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue


def test_interrupted_run_is_kept_and_says_how_to_go_on(place, capsys):
    process = resuming.start(place, "run", "drag.yaml", "--out", "my run")
    wait_for(place / "my run" / ".checkpoint" / "01-training.ckpt", process)
    # While it lives, nobody else gets the folder, neither for a new run nor for its own.
    for command in (["run", "drag.yaml", "--out", "my run"], ["resume", "my run"]):
        assert main(command) == 2
        assert f"process {process.pid} on " in capsys.readouterr().err
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == ""
    assert "stopping at the next chunk" in err and "Traceback" not in err
    again = resume_command("my run")
    assert f"thermojax resume '{place}/my run'" in again
    assert err.endswith(f"interrupted; continue with\n  {again}\n")
    assert main(["resume", "my run", "--device", "tpu"]) == 2
    assert "--device tpu: expected cpu or gpu" in capsys.readouterr().err
    # A changed config, and a truncated checkpoint, are seen.
    config = place / "my run" / "config.yaml"
    config.write_text(config.read_text().replace("100000", "10"))
    assert main(["resume", "my run"]) == 2
    assert "was changed since the run began" in capsys.readouterr().err
    config.write_text(config.read_text().replace("10", "100000"))
    (place / "drag_study.py").write_text(resuming.STUDY + "# changed\n")
    assert main(["resume", "my run"]) == 2
    assert re.search(
        "something has changed .*the content of .*drag_study.py", capsys.readouterr().err
    )
    (place / "drag_study.py").write_text(resuming.STUDY)
    assert main(["compare", "my run"]) == 2
    assert f"is not finished: continue it with `{again}`" in capsys.readouterr().err
    kept = place / "my run" / ".checkpoint" / "01-training.ckpt"
    kept.write_bytes(kept.read_bytes()[:-100])
    assert main(["resume", "my run"]) == 2
    assert "truncated or damaged" in capsys.readouterr().err
    kept.write_bytes(b"garbage")
    assert main(["resume", "my run"]) == 2
    assert "remove it to begin again" in capsys.readouterr().err


def test_a_dead_owner_is_no_owner(tmp_path):
    (tmp_path / ".checkpoint").mkdir()
    for name in ("lock", "owner"):
        (tmp_path / ".checkpoint" / name).write_text("process 1 on elsewhere")
    with (
        locked(tmp_path),
        pytest.raises(UserError, match=f"process {os.getpid()} on .* is running in this folder"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):  # it has ended
        pass


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from thermojax.cli import main
sys.exit(main(sys.argv[2:]))
"""


def test_a_full_disk(place):
    """A limit on the size of files fails as a full disk does: at once, and in mid-run."""
    process = resuming.spawn(place, "-c", FULL, "20", "run", "drag.yaml", "--out", "a/out")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and err.count("\n") == 1
    assert "a/out: the output folder cannot be written" in err and not (place / "a").exists()


def test_nothing_to_resume(place, capsys):
    assert main(["resume", "nowhere"]) == 2
    assert "holds no run that was begun" in capsys.readouterr().err
