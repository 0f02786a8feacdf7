"""Classes and functions read from their source, without importing them.

A config error, `thermojax list` and the schema need names, arguments and docstrings only. To import
the classes would import JAX, which takes seconds; to parse their files takes milliseconds.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from ..shipped import shipped_root

PACKAGE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Found:
    """A definition, an assignment or a module (then `node` is None) in the file of a module.

    `owner` is the class through which a method was found.
    """

    module: Module
    node: ast.stmt | ast.expr | None
    owner: Found | None = None

    @property
    def target(self) -> str:
        """`package.module:Name` of the place where it is defined."""
        return f"{self.module.name}:{getattr(self.node, 'name', '')}"


@dataclass
class Module:
    """A parsed file: what each of its top-level names is."""

    name: str
    file: Path
    folders: tuple[Path, ...]
    names: dict[str, ast.stmt | ast.expr | tuple[str, str | None]] = field(default_factory=dict)
    open: bool = False  # whether it may hold names that the source does not show

    def __post_init__(self):
        try:
            tree = ast.parse(self.file.read_text(encoding="utf-8"), str(self.file))
        except SyntaxError as error:
            raise UserError(
                f"{self.file}, line {error.lineno}: this is no Python ({error.msg})"
            ) from None
        except (OSError, ValueError, RecursionError):
            return
        for node in statements(tree.body):
            self.note(node)
        self.open = bool({"*", "__getattr__"} & self.names.keys())

    def note(self, node: ast.stmt) -> None:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            self.names[node.name] = node
        elif isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.name if alias.asname else alias.name.partition(".")[0]
                self.names[alias.asname or whole] = (whole, None)
        elif isinstance(node, ast.ImportFrom):
            base = self.absolute(node)
            for alias in node.names:
                self.names[alias.asname or alias.name] = (base, alias.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    self.names[target.id] = node.value

    def absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name.split(".")
        keep = len(package) - node.level + self.file.stem.startswith("__init__")
        return ".".join([*package[:keep], *([node.module] if node.module else [])])

    def find(self, dotted: str, depth: int = 0) -> Found | str | None:
        """What a dotted name is in this file.

        **Returns:** a Found; `package.module:name` as text for what lies in files that are not
        read; None for a name that is not there.
        """
        first, _, rest = dotted.partition(".")
        entry = self.names.get(first)
        if entry is None or depth > 20:  # as deep only where files import each other in a circle
            return None
        if isinstance(entry, tuple):
            module, name = entry
            inner = f"{name}.{rest}".strip(".") if name else rest
            return find_in(module, inner, self.folders, depth + 1)
        found: Found | str | None = Found(self, entry)
        while rest and isinstance(found, Found):
            first, _, rest = rest.partition(".")
            found = member(found, first)
        return found


def statements(body: list[ast.stmt]):
    """Top-level statements, those under `if` and `try` too."""
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            yield from statements(node.body)
            yield from statements(node.orelse)
        else:
            yield node


def member(found: Found, name: str, owner: Found | None = None) -> Found | None:
    """A method of a class, or of one that it derives from."""
    if not isinstance(found.node, ast.ClassDef):
        return None
    for node in found.node.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return Found(found.module, node, owner or found)
    for base in found.node.bases:
        above = found.module.find(dotted(base)) if dotted(base) else None
        if isinstance(above, Found) and (inherited := member(above, name, owner or found)):
            return inherited
    return None


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a name or a chain of attributes, else nothing."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return dotted(node.value) if isinstance(node, ast.Subscript) else ""


def find_in(module: str, name: str, folders: tuple[Path, ...], depth: int = 0):
    """A name of a module given by its dotted name; as `Module.find`."""
    # Packages outside are not read: what they define is known by name alone.
    source = load(module, folders) if is_readable(module) else None
    if source is None:
        return f"{module}:{name}"
    if not name:
        return Found(source, None)
    found = source.find(name, depth)
    if found is None:  # `from package import module`
        first, _, rest = name.partition(".")
        inner = load(f"{module}.{first}", folders)
        if inner is not None:
            return inner.find(rest, depth) if rest else Found(inner, None)
    return found


FOREIGN = frozenset({"jax", "jaxtyping", "numpy", "equinox", "optax", "diffrax", "scipy"})


def is_readable(module: str) -> bool:
    first = module.partition(".")[0]
    return first not in FOREIGN and first not in sys.stdlib_module_names


_loaded: dict[tuple[str, tuple[Path, ...], Path], tuple[tuple[int, int], Module]] = {}
_added: list[str] = []  # folders at the end of Python's path that `search_in` has put there


def load(name: str, folders: tuple[Path, ...]) -> Module | None:
    """The parsed file of a module, or None where none is found; parsed again when it has changed.

    **Raises:** UserError for a file that is no Python.
    """
    file = locate(name, folders)
    if file is None:
        return None
    facts = file.stat()
    state, key = (facts.st_mtime_ns, facts.st_size), (name, folders, file.absolute())
    if key not in _loaded or _loaded[key][0] != state:
        _loaded[key] = state, Module(name, file, folders)
    return _loaded[key][1]


def search_in(folders: list[Path]) -> None:
    """Let imports look into these folders too, and no longer into those of the config before.

    At the end of the path, so that a user's folder never hides an installed package.
    """
    wanted = [str(folder) for folder in folders]
    for folder in [folder for folder in _added if folder not in wanted]:
        _added.remove(folder)
        if folder in sys.path:
            sys.path.remove(folder)
    for folder in wanted:
        if folder not in sys.path:
            sys.path.append(folder)
            _added.append(folder)


def locate(name: str, folders: tuple[Path, ...], stubs: bool = True) -> Path | None:
    """The file of a module, where an import would find it: installed packages before folders.

    **Arguments:** `stubs`, whether a package's stub stands for it, which tells more to a reader.
    """
    parts = name.split(".")
    if not all(parts):
        return None
    if parts[0] == PACKAGE.name:
        return file_in(PACKAGE.parent, parts, stubs)
    own = [Path(folder) for folder in sys.path if folder not in _added]
    for root in (*own, *folders):
        if (file := file_in(root, parts, stubs)) is not None:
            return file
    try:
        # Where it is installed by other means; nothing is imported for a name without dots.
        spec = importlib.util.find_spec(parts[0])
    except (ImportError, ValueError):
        spec = None
    places = () if spec is None else spec.submodule_search_locations or ()
    found = (file_in(Path(place).parent, parts, stubs) for place in places)
    return next((file for file in found if file is not None), None)


def file_in(root: Path, parts: list[str], stubs: bool = True) -> Path | None:
    """The file of a module below a root."""
    place = root.joinpath(*parts)
    # The stub first: a package with lazy names has them there.
    stub = [place / "__init__.pyi"] if stubs else []
    for file in (*stub, place / "__init__.py", place.with_suffix(".py")):
        if file.is_file():
            return file
    return None


def working_places() -> list[Path]:
    """Where a command that reads no config looks for modules."""
    root = shipped_root()
    return [Path.cwd(), *([] if root is None else [root])]
