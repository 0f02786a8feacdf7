"""A config: a YAML file, the files that it includes, and overrides on top."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..errors import UserError, one_line, shortened
from ..shipped import config_file, shipped_root
from .doubtful import meant
from .yaml_file import Loader, Place, read_yaml, refuse_deep, words_in

DEFAULTS = "defaults"
DEEPEST_CHAIN = 10  # of files that include files


@dataclass(frozen=True)
class Config:
    """Plain values, and where each came from.

    - `file`: the one that was asked for. `values`: nested dicts, lists and scalars,
      interpolations resolved.
    - `places`: dotted key -> file and line. `overridden`: dotted key -> the override as it was
      typed, for keys from the command line.
    - `files`: the file and all that it includes. `words`: dotted key -> what is written there,
      where YAML 1.1 takes that for true or false and others do not, such as `on`.
    """

    file: Path
    values: dict[str, Any]
    places: dict[str, Place]
    overridden: dict[str, str]
    files: tuple[Path, ...]
    words: dict[str, str] = field(default_factory=dict)

    def where(self, key: str) -> str:
        """The place of a key, or of the nearest mapping around it, for errors."""
        while key:
            # Of a list, what is wrong with an item is told of the whole.
            inside = f"{key}." if isinstance(self.value(key), list) else key
            if over := [x for x in self.overridden if x == key or x.startswith(inside)]:
                return f"override {self.overridden[over[-1]]}"
            if key in self.places:
                return str(self.places[key])
            key = key.rpartition(".")[0]
        return str(self.file)

    def value(self, key: str) -> Any:
        """The value at a dotted key, or None."""
        value: Any = self.values
        for part in key.split("."):
            if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
            else:
                value = value.get(part) if isinstance(value, dict) else None
        return value

    def error(self, key: str, message: str, detail: str = "") -> UserError:
        """A mistake at a key: place, then message."""
        return UserError(f"{self.where(key)}: {message}", detail)

    def refuse_words(self, key: str, expected: str = "") -> None:
        """UserError with both readings, where `on` or its like stands at a key or inside of it."""
        for name, word in self.words.items():
            if name == key or name.startswith(f"{key}."):
                cure = f"{expected and '; expected '}{expected}"
                raise self.error(name, f"{name} = {word} {meant(word)}{cure}")

    @property
    def folders(self) -> list[Path]:
        """Where modules and data files are looked for, in this order.

        Last, what is shipped with thermojax: a copy of one of its configs runs anywhere.
        """
        beside = [file.resolve().parent for file in self.files]
        places = [Path.cwd(), *beside, *(place.parent for place in beside)]
        root = shipped_root()
        return list(dict.fromkeys([*places, *([] if root is None else [root])]))

    @property
    def text(self) -> str:
        """The resolved config as YAML."""
        return OmegaConf.to_yaml(OmegaConf.create(self.values))


def read_config(file: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Config:
    """Read a YAML file, put it on top of the files under its `defaults`, and overrides on that.

    `defaults: other.yaml`, or a list of files, includes others, looked for beside the including
    file; later ones win, and the file itself over all of them. Mappings merge, but for those that
    name another `kind`, which replace what was there; lists are replaced. An override is
    `a.b=value`, the value read as YAML; `a.0.b=value` reaches into a list.

    **Raises:** UserError for a missing file, YAML that cannot be parsed (with its line),
    duplicate keys, files that include each other, and overrides that are not `key=value`.
    """
    file = config_file(file)
    values, places, files = read_with_defaults(file, ())
    base = OmegaConf.create(values)
    overridden: dict[str, str] = {}
    words = {key: place.word for key, place in places.items()}
    for override in overrides:
        keys, said = lay_over(base, override)
        for key in keys:
            overridden.pop(key, None)  # the last one wins, and is the one to be named
            overridden[key] = shortened(override)
        words |= said
    try:
        resolved = OmegaConf.to_container(base, resolve=True)
    except OmegaConfBaseException as error:
        key = str(getattr(error, "full_key", "") or "")
        config = Config(file, {}, places, overridden, files)
        raise config.error(
            key, f"{key}: {one_line(str(error).split('full_key')[0])}: correct the name in ${{...}}"
        ) from None
    # Keys that are no text are refused where the arguments are checked, with their place.
    values = cast(dict[str, Any], resolved)
    config = Config(file, values, places, overridden, files)
    left = {
        key: word for key, word in words.items() if word and isinstance(config.value(key), bool)
    }
    return replace(config, words=left)


def read_with_defaults(
    file: Path, chain: tuple[Path, ...]
) -> tuple[dict[str, Any], dict[str, Place], tuple[Path, ...]]:
    """Values, places and files of a file merged over its defaults; `chain` includes it."""
    values, places = read_yaml(file)
    chain = (*chain, file)
    if len(chain) > DEEPEST_CHAIN:
        raise UserError(f"{file}: files include files more than {DEEPEST_CHAIN} deep: merge some")
    merged: dict[str, Any] = {}
    merged_places: dict[str, Place] = {}
    files: tuple[Path, ...] = (file,)
    names = values.pop(DEFAULTS, [])
    place = places.pop(DEFAULTS, None)
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
        below, below_places, below_files = read_with_defaults(other, chain)
        merged = merge(merged, below)
        merged_places |= below_places
        files += below_files
    return merge(merged, values), merged_places | places, tuple(dict.fromkeys(files))


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


def lay_over(base: DictConfig, override: str) -> tuple[list[str], dict[str, str]]:
    """Apply one `a.b=value`; the dotted keys that it made, and the words at those it set."""
    key, separator, value = override.partition("=")
    key = re.sub(r"\[([^\].]*)\]", r".\1", key.strip())
    if not separator or not key or not all(key.split(".")) or key.startswith("-"):
        raise UserError(f"override {shortened(override)}: expected key=value, as in bath.mass=2")
    if key.split(".")[0] == DEFAULTS:
        raise UserError(f"override {shortened(override)}: write {DEFAULTS} into the config file")
    place = f"override {shortened(override)}"
    try:
        refuse_deep(f"value: {value}", Path(place))
        words = words_of(value, key, place)
        parsed: Any = OmegaConf.to_container(OmegaConf.create(f"value: {value}"))
        (old, made), new = present(base, key, place), parsed["value"]
        # A mapping with a kind is an object of its own, not a change of the one that is there.
        both = isinstance(new, dict) and isinstance(old, dict)
        OmegaConf.update(base, key, new, merge=both and "kind" not in new)
    except (yaml.YAMLError, RecursionError):
        raise UserError(f"{place}: this value is no YAML: quote texts with signs") from None
    except (OmegaConfBaseException, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{place}: cannot set {key} ({one_line(error)}): give the dotted name of a setting, "
            "as in bath.temperature=2"
        ) from None
    return [made, key], words


def words_of(value: str, key: str, place: str) -> dict[str, str]:
    """The words for true and false in the value of an override, by their dotted keys.

    **Raises:** UserError for what has two readings, or ends in what YAML takes for a comment.
    """
    text = f"value: {value}"
    node = yaml.compose(text, Loader=Loader)
    if not isinstance(node, yaml.MappingNode):  # refused where it is parsed
        return {}
    ((_, inner),) = node.value[:1]
    if value.strip() and text[max(inner.end_mark.index, 6) :].strip().startswith("#"):
        raise UserError(
            f"{place}: YAML takes what follows ' #' for a comment: put the text in quotes, as in "
            f"""{key}="'a #1'\""""
        )
    return words_in(inner, key, place)


def present(base: DictConfig, key: str, place: str) -> tuple[Any, str]:
    """What the config holds at a key, None for nothing yet, and the shortest key that is new.

    **Raises:** UserError for a name, or a number that is too large, where it holds a list.
    """
    node: Any = OmegaConf.to_container(base)
    parts = key.split(".")
    for depth, part in enumerate(parts):
        if isinstance(node, list):
            name, size = ".".join(parts[:depth]), len(node)
            if not part.isdecimal() or int(part) >= size:
                reach = f"{name}.0 to {name}.{size - 1}" if size > 1 else f"{name}.0"
                cure = f"expected {reach}, or {name}=[...] for a new list"
                raise UserError(f"{place}: {name} is a list of {size}: {cure}")
            node = node[int(part)]
        elif isinstance(node, dict):
            node = node.get(part)
        else:
            return None, ".".join(parts[:depth])
        if node is None:
            return None, ".".join(parts[: depth + 1])
    return node, key
