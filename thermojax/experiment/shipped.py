"""The files that travel with the package: templates, configs, their studies and their data."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from textwrap import wrap

from .errors import UserError, nearest

HOUSE = Path(__file__).resolve().parents[1]
SHIPPED = HOUSE / "shipped"  # in an installed package alone


def template_text(room: str, name: str) -> str:
    """A file of the folder `templates` in a room of experiments."""
    return (HOUSE / "experiment" / room / "templates" / name).read_text("utf-8")


def shipped_root() -> Path | None:
    """The folder with `configs`, `experiments`, `examples` and `data`; None where it is missing.

    In an installed package they lie inside of it (see setup.py); else it is the repository that
    thermojax is used from.
    """
    for root, sign in ((SHIPPED, "configs"), (HOUSE.parent, "pyproject.toml")):
        if (root / sign).exists() and (root / "experiments").is_dir():
            return root
    return None


def search_folders(files: Iterable[Path] = ()) -> list[Path]:
    """Where modules and data files are looked for, in this order: of a config, its `files`.

    Last, what is shipped with thermojax: a copy of one of its configs runs anywhere.
    """
    beside = [file.resolve().parent for file in files]
    places = [Path.cwd(), *beside, *(place.parent for place in beside)]
    root = shipped_root()
    return list(dict.fromkeys([*places, *([] if root is None else [root])]))


def shipped_configs() -> dict[str, Path]:
    """The file of every shipped config, by its name."""
    root = shipped_root()
    found = [] if root is None else sorted((root / "configs").glob("*.yaml"))
    return {file.stem: file for file in found}


def config_file(name: str | Path) -> Path:
    """The config that is meant: the file of this path, else the shipped config of this name.

    **Raises:** UserError for what is neither, where it is no path.
    """
    configs, said = shipped_configs(), str(name)
    file = configs.get(said.removeprefix("configs/").removesuffix(".yaml"))
    if file is not None and not Path(name).is_file():
        return file
    if said.isidentifier() and len(said) < 100 and not Path(name).exists():
        raise UserError(
            f"{said}: there is no such file, and no shipped config of this name: expected a YAML "
            f"file, or a name that `thermojax list` shows{nearest(said, configs)}"
        )
    return Path(name)


def listed(width: int) -> list[str]:
    """Every shipped config by its name, with the first sentence of the comment on its top."""
    lines = ["Configs, for thermojax run NAME:"]
    for name, file in shipped_configs().items():
        top = takewhile(lambda line: line.startswith("#"), file.read_text("utf-8").splitlines())
        said = " ".join(line.lstrip("# ") for line in top).partition(". ")[0].rstrip(".")
        indent = " " * 6
        lines += [
            f"  {name}",
            *wrap(f"{said}.", width, initial_indent=indent, subsequent_indent=indent),
        ]
    return [*lines, "One config as a file of your own: thermojax list NAME > FILE.yaml"]
