"""Public names that are imported when they are first used (PEP 562).

So `import thermojax` costs nothing until something is computed, and the command line answers help
and lists without JAX. The names stand in the package's stub, `__init__.pyi`, as
`from .module import name as name`: one list for readers, type checkers and the interpreter, as
`lazy_loader.attach_stub` has it.
"""

from __future__ import annotations

import ast
import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STARTED = time.time()  # when thermojax was imported: a file that is older has not changed since


def attach_stub(
    package: str, file: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """The `__getattr__`, `__dir__` and `__all__` of a package, from the stub beside its file."""
    homes = public_names(Path(file).with_suffix(".pyi"))

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if homes[name] is None:
            return importlib.import_module(f"{package}.{name}")
        value = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)  # found at once the next time
        return value

    public = [name for name in homes if not name.startswith("_")]
    return __getattr__, lambda: sorted(homes), public


def public_names(stub: Path) -> dict[str, str | None]:
    """name -> module inside the package, for every `from .module import name as name`; name ->
    None for a module itself, `from . import name as name`."""
    imports = ast.parse(stub.read_text(encoding="utf-8")).body
    return {
        alias.name: node.module
        for node in imports
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
