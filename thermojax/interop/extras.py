"""Packages that thermojax does without until somebody asks for them."""

from __future__ import annotations

import importlib
from typing import Any


def needed(package: str, extra: str) -> Any:
    """A package that an extra brings. **Raises:** ImportError that says how to get it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"{package} is missing ({error}): install it with pip install 'thermojax[{extra}]'"
        ) from None
