"""A config file: YAML with the place of every key remembered, and overrides on top."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .errors import UserError, one_line


@dataclass(frozen=True)
class Config:
    """Plain values, and where each came from.

    - `values`: nested dicts, lists and scalars, interpolations resolved.
    - `lines`: dotted key -> line in the file, from 1.
    - `overridden`: dotted keys that came from the command line.
    """

    file: Path
    values: dict[str, Any]
    lines: dict[str, int]
    overridden: frozenset[str]

    def where(self, key: str) -> str:
        """The place of a key, or of the nearest mapping around it, for errors."""
        if any(given.startswith(f"{key}.") for given in self.overridden) and key:
            return "command line"
        while key:
            if key in self.overridden:
                return "command line"
            if key in self.lines:
                return f"{self.file}, line {self.lines[key]}"
            key = key.rpartition(".")[0]
        return str(self.file)

    def error(self, key: str, message: str) -> UserError:
        return UserError(f"{self.where(key)}: {message}")

    @property
    def folders(self) -> list[Path]:
        """Where modules and data files are looked for, in this order."""
        here = self.file.resolve().parent
        return list(dict.fromkeys([Path.cwd(), here, here.parent]))

    @property
    def text(self) -> str:
        """The resolved config as YAML."""
        return OmegaConf.to_yaml(OmegaConf.create(self.values))


def read_config(file: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Config:
    """Read a YAML file and lay `a.b=value` overrides over it.

    Only plain YAML is read: tags that would build Python objects are refused.

    **Raises:** UserError for a missing file, YAML that cannot be parsed (with its line),
    duplicate keys, a file that is no mapping, and overrides that are not `key=value`.
    """
    file = Path(file)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{file}: there is no such config file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as text in UTF-8 ({one_line(error)})") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        base = OmegaConf.create(text)
    except yaml.YAMLError as error:
        raise UserError(f"{file}{yaml_problem(error)}") from None
    except OmegaConfBaseException as error:
        raise UserError(f"{file}: {one_line(error)}") from None
    if not isinstance(base, DictConfig) or not isinstance(node, yaml.MappingNode):
        raise UserError(f"{file}: expected a mapping with keys such as 'kind: ...', found none")
    lines: dict[str, int] = {}
    note_lines(node, "", lines)
    keys = [lay_over(base, override) for override in overrides]
    try:
        values = OmegaConf.to_container(base, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{file}: {one_line(error)}") from None
    # Keys that are no text are refused where the objects are built, with their place.
    return Config(file, cast(dict[str, Any], values), lines, frozenset(keys))


def lay_over(base: DictConfig, override: str) -> str:
    """Apply one `a.b=value`; its dotted key."""
    key, separator, value = override.partition("=")
    key = key.strip()
    if not separator or not key or key.startswith(("-", ".")):
        raise UserError(f"command line: '{override}': expected an override key=value")
    try:
        parsed: Any = OmegaConf.to_container(OmegaConf.create(f"value: {value}"))
        OmegaConf.update(base, key, parsed["value"], merge=True)
    except yaml.YAMLError:
        raise UserError(f"command line: {key} = {value}: this value is no YAML") from None
    except (OmegaConfBaseException, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"command line: cannot set {key}: {one_line(error)}; give the dotted name of a "
            "setting, as in bath.temperature=2"
        ) from None
    return key


def note_lines(node: yaml.Node, prefix: str, lines: dict[str, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            key = f"{prefix}{name.value}"
            lines[key] = name.start_mark.line + 1
            note_lines(value, f"{key}.", lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[f"{prefix}{index}"] = value.start_mark.line + 1
            note_lines(value, f"{prefix}{index}.", lines)


def yaml_problem(error: yaml.YAMLError) -> str:
    """`, line n: what is wrong`, with the words for the two commonest causes."""
    mark = getattr(error, "problem_mark", None)
    line = f", line {mark.line + 1}" if mark is not None else ""
    problem = one_line(getattr(error, "problem", None) or error)
    if "\\t" in problem:
        problem = "a tab character: indent with spaces"
    elif "python/" in problem:
        problem = "a tag that builds a Python object: only plain YAML is read"
    return f"{line}: {problem}"
