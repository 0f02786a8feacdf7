"""The shipped config at a tiny size, run once for all tests that look at its results."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs" / "logistic_breast_cancer.yaml"
TINY = [
    "data.rows=60",
    "duration=5",
    "knots=4",
    "training.batch=8",
    "training.steps=3",
    "training.dt=0.5",
    "training.rehearsal_steps=3",
    "training.rehearsal_share=0.5",
    "evaluation.batch=64",
    "evaluation.chunk=32",
]


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """(folder, what the command printed), of one tiny run in one folder with a space."""
    import io
    from contextlib import redirect_stderr, redirect_stdout

    from thermojax.cli import main

    folder = tmp_path_factory.mktemp("out") / "tiny run é"
    printed, progress = io.StringIO(), io.StringIO()
    with redirect_stdout(printed), redirect_stderr(progress):
        code = main(["run", str(CONFIG), *TINY, "--out", str(folder)])
    assert code == 0, progress.getvalue()
    return folder, printed.getvalue(), progress.getvalue()
