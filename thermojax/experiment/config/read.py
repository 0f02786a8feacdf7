"""A config: a YAML file, the files that it includes, and overrides on top."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError, nearest, shortened
from ..shipped import config_file, search_folders
from .yaml_file import YamlReader, read_yaml, to_yaml

DEFAULTS = "defaults"
DEEPEST_CHAIN = 10  # of files that include files, and of values that stand for others
BRACKETS = re.compile(r"\[([^\].]*)\]")  # a[0] is a.0
INTERPOLATION = re.compile(r"\$\{([^{}]*)\}")


@dataclass(frozen=True)
class Config:
    """Plain values, and where each came from.

    - `file`: the one that was asked for. `values`: nested dicts, lists and scalars,
      interpolations resolved.
    - `places`: dotted key -> file and line, or the override that has set it.
    - `files`: the file and all that it includes.
    """

    file: Path
    values: dict[str, Any]
    places: dict[str, str]
    files: tuple[Path, ...]

    def where(self, key: str) -> str:
        """The place of a key, or of the nearest mapping around it, for errors."""
        while key and key not in self.places:
            key = key.rpartition(".")[0]
        return self.places.get(key, str(self.file))

    def error(self, key: str, message: str, detail: str = "") -> UserError:
        """A mistake at a key: place, then message."""
        return UserError(f"{self.where(key)}: {message}", detail)

    @property
    def folders(self) -> list[Path]:
        """Where the modules and data files that it names are looked for, in this order."""
        return search_folders(self.files)

    def as_seen(self, path: Path) -> Path:
        """A file as the user sees it: from the working folder, the config's, or its parent."""
        path = path.expanduser()
        for folder in self.folders:
            if (folder / path).exists():
                return path if folder == Path.cwd() else folder / path
        return path

    @property
    def text(self) -> str:
        """The resolved config as YAML."""
        return to_yaml(self.values)


def read_config(file: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Config:
    """Read a YAML file, put it on top of the files under its `defaults`, and overrides on that.

    `defaults: other.yaml`, or a list of files, includes others, looked for beside the including
    file; later ones win, and the file itself over all of them. Mappings merge, but for those that
    name another `kind`, which replace what was there; lists are replaced. An override is
    `a.b=value`, the value read as YAML; `a.0.b=value` reaches into a list. `${a.b}` stands for the
    value at another key.

    **Raises:** UserError for a missing file, YAML that cannot be parsed (with its line),
    duplicate keys, files that include each other, and overrides that are not `key=value`.
    """
    config = read_with_defaults(config_file(file), ())
    for override in overrides:
        lay_over(config, override)
    return replace(config, values=resolved(config, config.values, "", ()))


def read_with_defaults(file: Path, chain: tuple[Path, ...]) -> Config:
    """A file merged over its defaults, overrides and interpolations left aside; `chain`, the files
    that have included it."""
    own, own_places = read_yaml(file)
    chain = (*chain, file)
    if len(chain) > DEEPEST_CHAIN:
        raise UserError(f"{file}: files include files more than {DEEPEST_CHAIN} deep: merge some")
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    files = [file]
    names, place = own.pop(DEFAULTS, []), own_places.pop(DEFAULTS, None)
    for name in names if isinstance(names, list) else [names]:
        if not isinstance(name, str) or not name:
            raise UserError(f"{place}: {DEFAULTS} = {name!r}: expected the name of a YAML file")
        other = file.parent / Path(name).expanduser()
        if not other.is_file():
            raise UserError(f"{place}: {DEFAULTS} = {name}: there is no file {other}")
        if any(other.resolve() == seen.resolve() for seen in chain):
            circle = " -> ".join(str(seen) for seen in (*chain, other))
            raise UserError(
                f"{place}: {DEFAULTS} = {name}: these files include each other ({circle}): "
                "remove one of the lines"
            )
        below = read_with_defaults(other, chain)
        values, places = merge(values, below.values), places | below.places
        files += below.files
    return Config(file, merge(values, own), places | own_places, tuple(dict.fromkeys(files)))


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Mappings key by key, `above` winning; one that names another kind replaces."""
    result = dict(below)
    for key, value in above.items():
        old = below.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            same = value.get("kind", old.get("kind")) == old.get("kind")
            value = merge(old, value) if same else value
        result[key] = value
    return result


def lay_over(config: Config, override: str) -> None:
    """Apply one `a.b=value` to a config, in place, and note it as the place of all that it sets.

    **Raises:** UserError for what is no such text, for a value that is no YAML or ends in what YAML
    takes for a comment, and for an item that a list does not have.
    """
    key, separator, text = override.partition("=")
    key = BRACKETS.sub(r".\1", key.strip())
    place = f"override {shortened(override)}"
    parts = key.split(".")
    if not separator or not all(parts) or key.startswith("-"):
        raise UserError(f"{place}: expected key=value, as in bath.mass=2")
    if parts[0] == DEFAULTS:
        raise UserError(f"{place}: write {DEFAULTS} into the config file")
    reader = YamlReader(f"value: {text}", place, config.places, place)
    try:
        new = reader.values(key)
    except (yaml.YAMLError, RecursionError):
        raise UserError(f"{place}: this value is no YAML: quote texts with signs") from None
    if reader.text[max(reader.end, 6) :].strip().startswith("#"):
        raise UserError(
            f"{place}: YAML takes what follows ' #' for a comment: put the text in quotes, as in "
            f"""{key}="'a #1'\""""
        )

    def changed(old: Any, depth: int) -> Any:
        """A value at the first `depth` parts of the key, with what the rest leads to set."""
        name = ".".join(parts[:depth])
        if depth == len(parts):
            config.places[name] = place
            # A mapping with a kind is an object of its own, not a change of the one that is there.
            both = isinstance(new, dict) and isinstance(old, dict) and "kind" not in new
            return merge(old, new) if both else new
        found = key_in(old, parts[depth])
        if isinstance(old, list):
            if found is None:
                last = len(old) - 1
                reach = f"{name}.0 to {name}.{last}" if last > 0 else f"{name}.0"
                cure = f"expected {reach}, or {name}=[...] for a new list"
                raise UserError(f"{place}: {name} is a list of {len(old)}: {cure}")
            config.places[name] = place  # what is wrong with an item is told of the whole
        elif not isinstance(old, dict):
            old, config.places[name] = {}, place
        at: Any = parts[depth] if found is None else found
        old[at] = changed(None if found is None else old[at], depth + 1)
        return old

    changed(config.values, 0)


def key_in(node: Any, part: str) -> Any:
    """The key for a part of a dotted name in a mapping or a list; None where it has no such."""
    if isinstance(node, list):
        return int(part) if part.isdecimal() and int(part) < len(node) else None
    keys = (part, int(part)) if part.isdecimal() else (part,)  # YAML takes a plain 1 for a number
    return next((key for key in keys if isinstance(node, dict) and key in node), None)


def resolved(config: Config, value: Any, key: str, chain: tuple[str, ...]) -> Any:
    """A value with what each `${a.b}` in it stands for; `chain`, the keys that led here."""
    if isinstance(value, dict):
        return {k: resolved(config, x, f"{key}.{k}".lstrip("."), chain) for k, x in value.items()}
    if isinstance(value, list):
        return [resolved(config, x, f"{key}.{i}", chain) for i, x in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    if value.count("${") > len(INTERPOLATION.findall(value)):
        raise config.error(
            key, f"{key} = {shortened(value)}: expected ${{a.b}}, with one name in it"
        )
    if whole := INTERPOLATION.fullmatch(value):
        return referred(config, whole[1], key, chain)
    return INTERPOLATION.sub(lambda found: str(referred(config, found[1], key, chain)), value)


def referred(config: Config, name: str, key: str, chain: tuple[str, ...]) -> Any:
    """The value at another key. **Raises:** UserError for none, and for one that needs itself."""
    said = f"{key}: ${{{name}}}"
    if name in chain or len(chain) > DEEPEST_CHAIN:
        raise config.error(key, f"{said}: stands for itself in the end: write its value out")
    value: Any = config.values
    chain = (*chain, name)
    for part in BRACKETS.sub(r".\1", name.strip()).split("."):
        if isinstance(value, str):  # which stands for what the rest of the name leads into
            value = resolved(config, value, key, chain)
        at = key_in(value, part)
        if at is None:
            names = value if isinstance(value, dict) else ()
            raise config.error(
                key,
                f"{said}: there is no setting '{name}': expected the dotted name of one, as in "
                f"${{bath.mass}}{nearest(part, names)}",
            )
        value = value[at]
    return resolved(config, value, name, chain)
