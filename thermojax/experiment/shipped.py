"""The configs that travel with the package, the studies that they name, and their data."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

from .errors import UserError, nearest

HOUSE = Path(__file__).resolve().parents[1]
SHIPPED = HOUSE / "shipped"  # in an installed package alone


def shipped_root() -> Path | None:
    """The folder with `configs`, `experiments`, `examples` and `data`; None where it is missing.

    In an installed package they lie inside of it (see setup.py); else it is the repository that
    thermojax is used from.
    """
    for root, sign in ((SHIPPED, "configs"), (HOUSE.parent, "pyproject.toml")):
        if (root / sign).exists() and (root / "experiments").is_dir():
            return root
    return None


def shipped_configs() -> dict[str, Path]:
    """The file of every shipped config, by its name."""
    root = shipped_root()
    found = [] if root is None else sorted((root / "configs").glob("*.yaml"))
    return {file.stem: file for file in found}


def config_file(name: str) -> str:
    """The config that is meant: the file of this path, else the shipped config of this name.

    **Raises:** UserError for what is neither, where it is no path.
    """
    configs = shipped_configs()
    file = configs.get(name.removeprefix("configs/").removesuffix(".yaml"))
    if file is not None and not Path(name).is_file():
        return str(file)
    if name.isidentifier() and not Path(name).exists():
        raise UserError(
            f"{name}: there is no such file and no shipped config of this name: expected a YAML "
            f"file, or a name that `thermojax list` shows{nearest(name, configs)}"
        )
    return name


def summary(config: Path) -> str:
    """The first sentence of the comment on top of a config."""
    lines = config.read_text("utf-8").splitlines()
    comment = [line.lstrip("# ") for line in takewhile(lambda x: x.startswith("#"), lines)]
    return " ".join(comment).partition(". ")[0].rstrip(".") + "."
