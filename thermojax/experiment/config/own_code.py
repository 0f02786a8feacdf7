"""Modules of the user's own, imported so that what runs is what their files hold.

Python keeps what it has imported, by name, for as long as it lives. Two folders with a `model.py`
each, or one that was edited, would otherwise run the class that came first.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import linecache
import os
import sys
import sysconfig
from collections.abc import Iterable
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from ..._lazy import STARTED
from ..shipped import HOUSE, SHIPPED

SITES = ("site-packages", "dist-packages")  # where installed packages lie
NEVER_OWN = {*sys.stdlib_module_names, HOUSE.name}  # by the first part of their names

# Name -> file and its digest: of a module itself, and of all of the user's that it imports.
Content = dict[str, tuple[Path, str]]

_imported: dict[str, tuple[ModuleType, Content]] = {}  # by name: the module, and its content then
_added: list[str] = []  # folders at the end of Python's path that `look_in` has put there


def import_own(name: str, folders: list[Path]) -> Any:
    """Import a module, anew where it, or one that it imports, is not what its file holds now.

    **Arguments:** `folders`, searched besides Python's own path, after it.
    """
    if name.partition(".")[0] == HOUSE.name:
        return importlib.import_module(name)
    files = own_files(name, folders)
    contents = {module: content_of(own_files(module, folders)) for module in files}
    for module, content in contents.items():
        known, then = _imported.get(module, (None, {}))
        if module in sys.modules and not is_current(module, content):
            linecache.checkcache(str(files[module]))
            del sys.modules[module]
        if module not in sys.modules and known is not None and then == content:
            sys.modules[module] = known
    for module in files:
        package, _, inner = module.rpartition(".")
        held = vars(sys.modules[package]).get(inner) if package in sys.modules else None
        if isinstance(held, ModuleType) and held is not sys.modules.get(module):
            delattr(sys.modules[package], inner)  # or `from . import inner` would find it there
    _finder.files = {**_finder.files, **files}
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    finally:
        for module in files:
            if module in sys.modules:
                _imported[module] = sys.modules[module], contents[module]


def look_in(folders: list[Path]) -> None:
    """Let imports look into the folders of a config too, and into none of the config before.

    At the end of the path, so that a user's folder never hides an installed package.
    """
    if _finder.folders != folders:
        put_away()
        _finder.folders = list(folders)
    for folder in map(str, folders):
        if folder not in sys.path:
            sys.path.append(folder)
            _added.append(folder)


def put_away() -> None:
    """Leave Python as it was before modules of the user's were imported here, by their names."""
    for name, (module, _) in _imported.items():
        if sys.modules.get(name) is module and isinstance(module.__loader__, SourceLoader):
            del sys.modules[name]
    _finder.files, _finder.folders = {}, []
    sys.path[:] = [folder for folder in sys.path if folder not in _added]
    _added.clear()
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)


def is_current(name: str, content: Content) -> bool:
    """Whether the module that is loaded under a name is the one with this content."""
    module = sys.modules[name]
    known, then = _imported.get(name, (None, {}))
    if known is module:
        return then == content
    # Imported by others: from another file, or from one that has changed since, perhaps.
    file, (own, _) = getattr(module, "__file__", None), content[name]
    same = file is not None and os.path.exists(file) and own.samefile(file)
    return same and all(place.stat().st_mtime < STARTED for place, _ in content.values())


def digests(name: str, folders: list[Path]) -> dict[str, str]:
    """Module -> digest of the file that has run, for a module and all of the user's it imports."""
    module, content = _imported.get(name, (None, {}))
    if module is None or sys.modules.get(name) is not module:
        content = content_of(own_files(name, folders))
    return {part: digest for part, (_, digest) in content.items()}


def content_of(files: dict[str, Path]) -> Content:
    digest = lambda file: hashlib.sha256(file.read_bytes()).hexdigest()
    return {name: (file, digest(file)) for name, file in files.items()}


def own_files(name: str, folders: list[Path]) -> dict[str, Path]:
    """The files of a module and of all that it imports, as far as they are the user's own."""
    found: dict[str, Path] = {}
    waiting: list[tuple[str, Path | None]] = [(name, None)]
    while waiting:
        module, file = waiting.pop()
        if module in found or module.partition(".")[0] in NEVER_OWN:
            continue
        file = file or locate(module, folders)
        if file is None or not is_own(file):
            continue
        found[module] = file
        inner = imports_in(file.read_bytes(), module, file.stem == "__init__")
        waiting += [(name, None) for name in inner]
        if "." in module:  # its package is imported first: the one around it, and no other's
            folder = file.parent.parent if file.stem == "__init__" else file.parent
            around = folder / "__init__.py"
            waiting.append((module.rpartition(".")[0], around if around.exists() else None))
    return found


def is_own(file: Path) -> bool:
    """Whether a file is neither of thermojax nor of an installed package nor of Python.

    The studies that are shipped inside of thermojax count as those of a repository do.
    """
    place = file.resolve()
    library = Path(sysconfig.get_path("stdlib")).resolve()
    if SHIPPED in place.parents:
        return True
    return not ({HOUSE, library} & set(place.parents) or set(SITES) & set(place.parts))


def locate(name: str, folders: list[Path]) -> Path | None:
    """The file of a module, where an import would find it: installed packages before folders."""
    parts = name.split(".")
    if not all(parts):
        return None
    own = [Path(folder) for folder in sys.path if folder not in _added]
    if found := file_in([*own, *folders], parts):
        return found
    try:
        # Where it is installed by other means; nothing is imported for a name without dots.
        spec = importlib.util.find_spec(parts[0])
    except (ImportError, ValueError):
        spec = None
    places = () if spec is None else spec.submodule_search_locations or ()
    return file_in([Path(place).parent for place in places], parts)


def file_in(roots: Iterable[Path], parts: list[str]) -> Path | None:
    """The file of a module below the first root that has one."""
    for root in roots:
        place = root.joinpath(*parts)
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file():
                return file
    return None


@cache
def imports_in(source: bytes, module: str, is_package: bool) -> list[str]:
    """The absolute names of all that a module may import, inside of functions too."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):  # said when it is imported
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                above = parts[: len(parts) - node.level + is_package]
                base = ".".join([*above, *([base] if base else [])])
            # `from package import module` names a file, `from module import Class` does not.
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return found


class SourceLoader(SourceFileLoader):
    """Compiles what the file holds: compiled files beside it are told apart by seconds only."""

    def get_code(self, fullname: str) -> Any:
        return self.source_to_code(self.get_data(self.path), self.path)


class OwnFinder(MetaPathFinder):
    """Finds the user's own modules in the files where the config that was built last has them."""

    def __init__(self):
        self.files: dict[str, Path] = {}
        self.folders: list[Path] = []

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        file = self.files.get(fullname)
        if file is None:
            return None
        return spec_from_file_location(fullname, file, loader=SourceLoader(fullname, str(file)))


_finder = OwnFinder()
