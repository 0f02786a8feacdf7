"""`thermojax init`: a config and a potential to start from, which run as they are."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from ..command_line import refuse_long
from ..errors import UserError, one_line
from ..shipped import template_text

POTENTIAL = "my_potential.py"


def write_starter(name: str) -> tuple[Path, Path]:
    """Make the folder `name` with `<name>.yaml` and `my_potential.py` in it.

    **Returns:** the two files. **Raises:** UserError where the folder holds something already,
    or cannot be written; nothing is left half-written then.
    """
    folder = Path(name)
    if folder.name in ("", "..") or "\0" in name:
        raise UserError(f"init {name!r}: expected a name for a new folder, such as my_study")
    refuse_long(folder / f"{folder.name}.yaml")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: holds files already: choose another name, nothing is replaced")
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        raise UserError(f"{folder}: is a file already: choose another name")
    config, potential = folder / f"{folder.name}.yaml", folder / POTENTIAL
    made = [p for p in (folder, *folder.parents) if not p.exists()]
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shown = shlex.quote(str(config))
        starter = template_text("config", "starter.yaml").replace("{name}", folder.name)
        texts = starter.replace("{config}", shown), template_text("config", f"{POTENTIAL}.txt")
        for file, text in zip((config, potential), texts, strict=True):
            written.append(file)
            with open(file, "x", encoding="utf-8") as stream:
                stream.write(text)
    except (OSError, ValueError) as error:
        for file in written:
            file.unlink(missing_ok=True)
        for place in made:
            if place.is_dir() and not os.listdir(place):
                place.rmdir()
        raise UserError(
            f"{folder}: cannot be written ({one_line(error)}): choose another place"
        ) from None
    return config, potential
