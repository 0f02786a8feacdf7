"""The short names that `kind:` understands, in one place.

A name points to `package.module:attribute` and is imported when it is used, so that listing the
names costs nothing and a new component is one line here.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from ..errors import UserError, nearest, one_line, own_frames, own_traceback
from ..shipped import shipped_root
from .own_code import import_own, look_in
from .signatures import Signature, live_signature, signature_of
from .source import PACKAGE, Found, file_in, find_in, load, locate

KINDS: dict[str, dict[str, str]] = {
    "potential": {
        name: f"thermojax.potential:{name}"
        for name in (
            "Harmonic",
            "Gaussian",
            "GaussianMixture",
            "DoubleWell",
            "LogisticRegression",
            "Interpolation",
            "Tempering",
            "Sum",
        )
    },
    "protocol": {
        "Constant": "thermojax.protocol:Constant",
        "Linear": "thermojax.protocol:Linear",
        "PiecewiseLinear": "thermojax.protocol:PiecewiseLinear",
        "PiecewiseLinear.between": "thermojax.protocol:PiecewiseLinear.between",
        "PiecewiseConstant.between": "thermojax.protocol:PiecewiseConstant.between",
        "CubicSpline.between": "thermojax.protocol:CubicSpline.between",
        "Chebyshev.between": "thermojax.protocol:Chebyshev.between",
        "Monotone.between": "thermojax.protocol:Monotone.between",
    },
    "system": {name: f"thermojax.system:{name}" for name in ("Bath", "Underdamped", "Overdamped")},
    "study": {"Driven": "thermojax.experiment.study.driven:Driven"},
    "data": {"Table": "thermojax.experiment.study.data:Table"},
}


def short_names() -> dict[str, str]:
    """Every registered name and where it points."""
    return {name: target for family in KINDS.values() for name, target in family.items()}


def target_of(kind: Any, where: str) -> tuple[str, str]:
    """(module, attribute) of a `kind`.

    **Raises:** UserError for what is neither a registered name nor `package.module:Class`.
    """
    names = short_names()
    if not isinstance(kind, str) or not kind:
        raise UserError(f"{where} = {kind!r}: expected a name, see `thermojax list`")
    module, _, attribute = names.get(kind, kind).partition(":")
    if not all(part.isidentifier() for part in f"{module}.{attribute}".split(".")):
        raise UserError(
            f"{where} = {kind}: no registered kind has this name; use one of `thermojax list` or "
            f"package.module:Class{nearest(kind, names)}"
        )
    return module, attribute


def describe(kind: Any, folders: list[Path], where: str = "kind") -> Signature:
    """The signature behind a `kind`: from its source, and imported only where that does not tell.

    **Raises:** UserError for a name that leads nowhere, or a file that is no Python.
    """
    module, attribute = target_of(kind, where)
    places = tuple(folders)
    if folders:
        look_in(folders)
    try:
        source = load(module, places)
        found = find_in(module, attribute, places)
    except UserError as error:
        raise UserError(f"{where} = {kind}: {error}") from None
    refuse_two(module, folders, f"{where} = {kind}")
    if source is None and not exists(module):
        raise no_module(module.partition(".")[0], folders, where)
    if source is not None and found is None and not source.open:
        raise UserError(
            f"{where} = {kind}: {module} ({source.file}) has no '{attribute}'"
            f"{nearest(attribute, (n for n in source.names if n[:1] != '_'))}"
        )
    told = signature_of(found) if isinstance(found, Found) else None
    return told or live_signature(find(kind, folders, where))


def refuse_two(module: str, folders: list[Path], said: str) -> None:
    """UserError where an import finds one module of a name, and the config lies beside another.

    Whoever keeps an older study in a folder of its own, and runs it from that of the present one,
    means one of them.
    """
    parts = module.split(".")
    if parts[0] == PACKAGE.name:
        return
    taken = locate(module, tuple(folders), stubs=False)
    around = [folder for folder in folders[1:] if folder != shipped_root()]
    beside = next((file for x in around if (file := file_in(x, parts, stubs=False))), None)
    if taken is None or beside is None or taken.read_bytes() == beside.read_bytes():
        return
    raise UserError(
        f"{said}: could be that of {taken.resolve()} or, beside the config, of {beside}, and they "
        "differ: rename one of them, or run from the folder of the one that you mean"
    )


def exists(module: str) -> bool:
    """Whether the package that should hold a module is there, as far as can be told unimported."""
    try:
        return importlib.util.find_spec(module.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def no_module(missing: str, folders: list[Path], where: str) -> UserError:
    looked = ", ".join(dict.fromkeys(str(folder) for folder in folders))
    return UserError(
        f"{where}: there is no module '{missing}' among the installed packages or in {looked}: "
        "correct the name, or run from the folder that holds it"
    )


def find(kind: Any, folders: list[Path], where: str = "kind") -> Any:
    """The class (or function) behind a `kind`: a registered name or `package.module:Class`.

    **Arguments:** `folders`, searched for modules beside the installed packages; `where`, the
    place to name in errors.

    **Raises:** UserError for a name that leads nowhere, or a module whose import fails.
    """
    module_name, attribute = target_of(kind, where)
    module = import_module(module_name, folders, where)
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UserError(
                f"{where} = {kind}: {module_name} ({getattr(module, '__file__', 'built in')}) has "
                f"no '{part}'{nearest(part, (n for n in vars(found) if n[:1] != '_'))}"
            )
        found = getattr(found, part)
    if not callable(found):
        raise UserError(f"{where} = {kind}: expected a class, found a {type(found).__name__}")
    return found


def import_module(name: str, folders: list[Path], where: str) -> Any:
    try:
        return import_own(name, folders)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(missing + "."):
            raise no_module(missing, folders, where) from None
        raise UserError(
            f"{where}: '{name}' needs the module '{missing}', which is not installed: "
            f"pip install it{place_of(error)}",
            own_traceback(error),
        ) from None
    except Exception as error:
        raise UserError(
            f"{where}: importing '{name}' failed with {type(error).__name__}: "
            f"{one_line(error)}{place_of(error)}",
            own_traceback(error),
        ) from None


def place_of(error: BaseException) -> str:
    """The file and line in the user's code that raised, for the end of a sentence."""
    if isinstance(error, SyntaxError):
        return ""  # its message holds the place
    frames = own_frames(error)
    return f" ({frames[-1][0]}, line {frames[-1][1]})" if frames else ""
