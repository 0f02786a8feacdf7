"""Matplotlib, whatever backend the user's own figures are shown by."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

BACKEND = "MPLBACKEND"


@contextmanager
def backend_set_aside() -> Iterator[None]:
    """Import Matplotlib without the backend that MPLBACKEND names, which then holds again.

    Figures here are files and need no window. The variable may name what is not installed, as a
    notebook does that starts a command from another environment: Matplotlib then cannot even be
    imported.
    """
    wish = os.environ.get(BACKEND)
    if wish is not None and "matplotlib" not in sys.modules:
        del os.environ[BACKEND]
        try:
            import matplotlib
        finally:
            os.environ[BACKEND] = wish
        with suppress(ValueError):  # of no use here: then for nobody
            matplotlib.rcParams["backend"] = wish
    yield
