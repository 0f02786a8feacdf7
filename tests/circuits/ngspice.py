"""The circuit simulator that the tests of circuits compare with, run for real.

Debian package `ngspice`. Where it is missing these tests are skipped and say so.
"""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

needed = pytest.mark.skipif(
    shutil.which("ngspice") is None,
    reason="ngspice is not installed (apt-get install ngspice): nothing else checks the decks",
)
# Its tolerances are those of volts and microamperes: thermal noise is smaller.
PRECISE = ".options reltol=1e-6 abstol=1e-20 vntol=1e-15 chgtol=1e-24 method=trap"
# A step of a linear circuit is exact to second order in the step of the noise, which no error
# estimate may cut further: it would, after every one of its corners. Points are kept evenly.
NOISY = ".options reltol=1e-3 abstol=1e-20 vntol=1e-15 chgtol=1e-14 trtol=1e4 method=trap interp"


def analysis(folder, *commands: str, keep: str, options: str = PRECISE) -> list[str]:
    """The lines of a deck that run commands and keep vectors in a file of that folder."""
    return [
        options,
        ".control",
        "set wr_singlescale",
        "set numdgt=12",
        "setseed 7",
        *commands,
        f"wrdata {folder / 'out.data'} {keep}",
        ".endc",
    ]


def read(folder, deck: str) -> np.ndarray:
    """Run a deck and return what it has kept, its scale first: `(columns, rows)`."""
    file = folder / "deck.cir"
    file.write_text(deck)
    done = subprocess.run(
        ["ngspice", "-b", str(file)], capture_output=True, text=True, timeout=300, cwd=folder
    )
    data = folder / "out.data"
    assert data.exists(), done.stdout + done.stderr
    return np.loadtxt(data, unpack=True)
