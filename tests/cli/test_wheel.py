"""The shipped configs by their names: from the repository, and from a wheel that stands alone."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import zipfile
from pathlib import Path

import pytest

from thermojax.cli import main
from thermojax.experiment import UserError, load
from thermojax.experiment.shipped import config_file, shipped_configs

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(file.stem for file in (ROOT / "configs").glob("*.yaml"))
INSIDE = ("thermojax", "configs", "data", "experiments", "examples")
FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")


def test_a_path_as_given_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = ROOT / "configs" / "erasure.yaml"
    assert config_file("erasure") == config_file("configs/erasure.yaml") == shipped
    (tmp_path / "erasure").mkdir()  # a folder is no config
    assert config_file("erasure") == shipped
    (tmp_path / "erasure.yaml").write_text("kind: Driven\n")
    assert config_file("erasure.yaml") == Path("erasure.yaml") and config_file("erasure") == shipped
    assert config_file("nothing.yaml") == Path("nothing.yaml")  # refused where it is read
    with pytest.raises(UserError, match=r"erasur: .* did you mean 'erasure'\?"):
        config_file("erasur")


def test_a_bare_name_is_run_and_swept(tmp_path, monkeypatch, capsys):
    """As far as to the first mistake, which names the file that was found."""
    monkeypatch.chdir(tmp_path)
    for command in (["run", "erasure", "lower=1"], ["sweep", "erasure", "lowr=1,2"]):
        assert main(command) != 0
        assert "lower" in capsys.readouterr().err
    assert main(["run", "erasur"]) == 2
    assert "no shipped config of this name" in capsys.readouterr().err


def test_list_shows_the_shipped_configs(capsys):
    assert main(["list"]) == 0
    listed = capsys.readouterr().out.partition("Configs, for thermojax run NAME:")[2]
    assert list(shipped_configs()) == NAMES
    assert all(f"\n  {name}\n      " in listed for name in NAMES)
    assert main(["list", "erasure"]) == 0
    assert capsys.readouterr().out == (ROOT / "configs" / "erasure.yaml").read_text("utf-8")


BUILD = "from setuptools import build_meta; print(build_meta.build_wheel('dist'))"
EACH = """
import sys
from thermojax.experiment.run.experiment import read_experiment
from thermojax.experiment.run.runner import computing
from thermojax.experiment.shipped import shipped_configs
import thermojax
for name, file in shipped_configs().items():
    with computing("float32"):
        print(name, type(read_experiment(file).study).__name__)
print(thermojax.__file__)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An interpreter with the wheel and what it needs, and nothing of the repository."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    for name in INSIDE:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, source)
    built = subprocess.run(
        [sys.executable, "-c", BUILD], cwd=source, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr[-2000:]
    wheel = source / "dist" / built.stdout.split()[-1]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place / "env"], check=True)
    (site,) = (place / "env").glob("lib/*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)  # what an installer does with a wheel of pure Python
    # What it depends on: packages of this environment, whose own .pth files are not read there.
    here = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (site / "needed.pth").write_text("\n".join(here))
    shutil.rmtree(source)
    yield str(place / "env" / "bin" / "python")


def environment() -> dict[str, str]:
    left_out = ("PYTHONPATH", "THERMOJAX_CHECKPOINT_SECONDS")
    return {name: value for name, value in os.environ.items() if name not in left_out}


@pytest.mark.slow
def test_a_wheel_runs_every_shipped_config_from_any_folder(python, tmp_path):
    def thermojax(*words, folder, **options):
        folder.mkdir(exist_ok=True)
        return subprocess.Popen(
            [python, "-m", "thermojax", *words], cwd=folder, text=True, env=environment() | options,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def done(*words, folder):
        process = thermojax(*words, folder=folder)
        out, err = process.communicate(timeout=500)
        assert process.returncode == 0, err[-2000:]
        return out

    one, other = tmp_path / "one", tmp_path / "other"
    listed = done("list", folder=one)
    assert all(f"\n  {name}\n" in listed for name in NAMES)
    one.joinpath("check.py").write_text(EACH)
    checked = subprocess.run(
        [python, "check.py"], cwd=one, capture_output=True, text=True, env=environment()
    )
    assert checked.returncode == 0, checked.stderr[-2000:]
    *studies, place = checked.stdout.splitlines()
    assert [line.split()[0] for line in studies] == NAMES
    assert place.startswith(str(Path(python).parents[1]))
    # A study of ours by its bare name, with its data, beside a package that is called as ours are.
    (one / "experiments").mkdir()
    (one / "experiments" / "__init__.py").write_text("raise RuntimeError('not this one')\n")
    less = ["data.rows=60", "duration=5", "knots=4", "training.batch=8", "training.steps=2"]
    less += ["training.rehearsal_steps=2", "training.dt=0.5", "training.rehearsal_share=0.5"]
    less += ["evaluation.batch=64", "evaluation.chunk=16", "devices=1"]
    begun = thermojax(
        "run", "logistic_breast_cancer", *less, folder=one, THERMOJAX_CHECKPOINT_SECONDS="0"
    )
    kept = one / "runs" / "logistic_breast_cancer" / ".checkpoint"
    while begun.poll() is None and not list(kept.glob("01-*.ckpt")):
        time.sleep(0.02)
    begun.send_signal(signal.SIGINT)
    _, err = begun.communicate(timeout=500)
    assert begun.returncode == 130, err[-2000:]
    # It goes on from another folder, and its figures and tables are those of its study there too.
    assert "log evidence" in done("resume", str(kept.parent), folder=other)
    results = load(kept.parent)
    assert results["optimized"]["posterior"]["mean"].value.shape == (31,)
    page = kept.parent / "report.html"
    first = page.read_text("utf-8")
    assert "Posterior mean and standard deviation" in first
    assert done("report", str(kept.parent), folder=other).startswith("Written")
    assert page.read_text("utf-8") == first
    # A copy of a config, as a file of one's own, finds the study and its data.
    (other / "mine.yaml").write_text(done("list", "logistic_breast_cancer", folder=other))
    process = thermojax("run", "mine.yaml", "bath.temperature=2", folder=other)
    _, err = process.communicate(timeout=500)
    assert process.returncode == 2 and "expected 1, since energies are minus logarithms" in err
    few = ["training=null", "dt=0.02", "evaluation.batch=64", "evaluation.chunk=64"]
    assert "dissipated work" in done("run", "dragged_trap", *few, folder=other)
