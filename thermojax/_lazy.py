"""Names of a package that are imported when they are first used.

So `import thermojax` costs nothing until something is computed, and the command line answers help,
lists and mistakes without JAX. The names stand in the package's stub, `__init__.pyi`, as
`from .module import name as name`: one list for readers, type checkers and the interpreter.
(This is the way of `lazy_loader.attach_stub`, which cannot tell the function `thermojax.optimize`
from the package of that name.)
"""

from __future__ import annotations

import ast
import importlib
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

STARTED = time.time()  # when thermojax was imported: a file that is older has not changed since


class LazyPackage(ModuleType):
    """A package that looks up its public names in its stub, and imports them one by one."""

    def __getattr__(self, name: str) -> Any:
        home = vars(self).get("_homes", {}).get(name)
        if home is not None:
            value = getattr(importlib.import_module(f"{self.__name__}.{home}"), name)
            vars(self)[name] = value
            return value
        if name in vars(self).get("_submodules", ()):
            return importlib.import_module(f"{self.__name__}.{name}")
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        # The import system sets a submodule on its package. It must not hide a public name that
        # is spelled alike: `thermojax.check` and `thermojax.optimize` are functions.
        if isinstance(value, ModuleType) and vars(self).get("_homes", {}).get(name) == name:
            return
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*vars(self), *vars(self).get("_homes", ())})


def attach(package: str) -> None:
    """Give a package the names in its stub; to be called at the end of its `__init__.py`."""
    module = sys.modules[package]
    homes = public_names(Path(str(module.__file__)).with_suffix(".pyi"))
    vars(module).update(
        _homes=homes,
        _submodules=frozenset(home.partition(".")[0] for home in homes.values()),
        __all__=[name for name in homes if not name.startswith("_")],
    )
    module.__class__ = LazyPackage


def public_names(stub: Path) -> dict[str, str]:
    """name -> module inside the package, for every `from .module import name as name`."""
    imports = ast.parse(stub.read_text(encoding="utf-8")).body
    return {
        alias.asname or alias.name: node.module
        for node in imports
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
