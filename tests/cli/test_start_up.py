"""Help and the list of kinds are there without loading what takes seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

from thermojax.cli import main
from thermojax.experiment.config.registry import KINDS

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"jax", "diffrax", "equinox", "optax", "matplotlib", "h5py", "scipy", "numpy", "pydantic"}

PROGRAM = """
import sys
from thermojax.cli import main
code = main(sys.argv[1:])
print("loaded:", *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["list"], 0),
        (["run", "--help"], 0),
        (["init", "pyproject.toml"], 2),
        (["--version"], 0),
    ],
)
def test_nothing_heavy_is_loaded(arguments, code):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    loaded = set(done.stderr.rpartition("loaded: ")[2].split())
    assert "thermojax" in loaded and not loaded & HEAVY


def test_list_shows_every_kind(capsys):
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    for family, members in KINDS.items():
        assert f"{family}:" in listed
        assert all(f"  {name}  " in listed for name in members)
    assert "the harmonic trap U = (x - c)^T K (x - c) / 2" in listed
    assert max(map(len, listed.splitlines())) <= 100


def test_list_of_one_kind(capsys):
    assert main(["list", "Harmonic"]) == 0
    assert "Harmonic(stiffness=1.0, center=0.0, control=None)" in capsys.readouterr().out
    assert main(["list", "PiecewiseLinear.between"]) == 0
    listed = capsys.readouterr().out
    assert "knots     a whole number, 2 or more; default 16" in listed
    assert "duration  a positive number; required" in listed
    assert main(["list", "PiecewiseLiner"]) == 2
    assert "did you mean 'PiecewiseLinear'?" in capsys.readouterr().err
