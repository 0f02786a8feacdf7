"""Plain YAML as values, with the place of every key, and back."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..command_line import refuse_long
from ..errors import UserError, one_line
from .doubtful import doubt, meant

LARGEST_FILE = 1_000_000  # bytes; a larger one is data, and would take seconds to parse
MOST_VALUES = 10_000  # aliases of aliases multiply
DEEPEST = 50  # levels of mappings and lists
PLAIN = "tag:yaml.org,2002:"
TAGS = {PLAIN + name for name in ("null", "bool", "int", "float", "str", "map", "seq", "merge")}
# 1e3 is a number, as to everybody else; YAML 1.1 takes it for a text, there being no point in it.
FLOAT = re.compile(
    r"([-+]?[0-9][0-9_]*(\.[0-9_]*([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)"
    r"|\.[0-9_]+([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z"
)


@dataclass(frozen=True)
class Word:
    """A plain `on`, `yes`, `no` or `off`: true or false, or a text, as whoever takes it says."""

    text: str
    place: str

    def __repr__(self) -> str:
        return self.text

    @property
    def truth(self) -> bool:
        return self.text.lower() in ("on", "yes")

    def refusal(self, expected: str = "") -> UserError:
        """Both readings of it, for where true and false are not what is expected."""
        return UserError(
            f"{self.place} = {self.text} {meant(self.text)}{expected and f'; expected {expected}'}"
        )


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # pyright: ignore
    """YAML 1.1 with 1e3 as a number, and dates as texts."""


class Dumper(yaml.SafeDumper):
    """Writes texts in quotes that would be read as something else, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


Loader.yaml_implicit_resolvers = {
    first: [(tag, x) for tag, x in known if tag not in (PLAIN + "float", PLAIN + "timestamp")]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(PLAIN + "float", FLOAT, list("-+0123456789."))


def write_text(dumper: Dumper, text: str) -> yaml.Node:
    """A text; in quotes where it could be a number or a truth to anybody."""
    plain = text.lower() not in ("y", "n") and not doubt(text) and not meant(text)
    with suppress(ValueError):
        float(text)
        plain = False
    return dumper.represent_scalar(PLAIN + "str", text, style=None if plain else "'")


Dumper.add_representer(str, write_text)
Dumper.add_representer(Word, lambda dumper, word: dumper.represent_bool(word.truth))


def to_yaml(values: Any) -> str:
    """Values as YAML that is read as the same values."""
    return yaml.dump(
        values, Dumper=Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False
    )


def from_yaml(text: str) -> Any:
    """The values of a YAML text that was written by `to_yaml`."""
    return yaml.load(text, Loader=Loader)


def read_yaml(file: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The values of a file, interpolations as they stand, and the place of every dotted key.

    **Raises:** UserError for a missing or large file, YAML that cannot be parsed (with its line),
    duplicate keys, tags that would build Python objects, scalars with two readings, and a file
    that is no mapping.
    """
    places: dict[str, str] = {}
    try:
        values = YamlReader(read_text(file), str(file), places).values()
    except yaml.YAMLError as error:
        raise UserError(f"{file}{yaml_problem(error)}") from None
    if not isinstance(values, dict):
        raise UserError(f"{file}: expected a mapping with keys such as 'kind: ...', found none")
    return values, places


class YamlReader:
    """Reads one text into values.

    **Arguments:** `source`, what to call the text in errors; `places`, filled with the place of
    every dotted key; `where`, the place of all of it where that is no line of a file.
    """

    def __init__(self, text: str, source: str, places: dict[str, str], where: str = ""):
        self.text, self.source, self.places, self.whole, self.count = text, source, places, where, 0
        self.end = 0  # where in the text the value ends

    def where(self, line: int) -> str:
        return self.whole or f"{self.source}, line {line + 1}"

    def values(self, key: str = "") -> Any:
        """The values; of a text `value: ...`, what stands there, as that of a dotted key."""
        self.refuse_deep()
        loader: Any = Loader(self.text)
        try:
            node = loader.get_single_node()
            if key and isinstance(node, yaml.MappingNode):
                node = node.value[0][1]
            self.end = 0 if node is None else node.end_mark.index
            return None if node is None else self.value(loader, node, key, 0)
        finally:
            loader.dispose()

    def refuse_deep(self) -> None:
        """UserError for nesting so deep that the parser, which recurses in C, would crash."""
        depth = line = 0
        try:
            for event in yaml.parse(self.text, Loader=Loader):
                depth += isinstance(event, yaml.CollectionStartEvent)
                depth -= isinstance(event, yaml.CollectionEndEvent)
                line = event.start_mark.line
                if depth > DEEPEST:
                    break
        except yaml.YAMLError as error:
            if "nesting depth" not in str(error):
                raise
            depth = DEEPEST + 1  # a newer parser looks far ahead, and finds it first
        if depth > DEEPEST:
            raise self.too_deep(line)

    def too_deep(self, line: int) -> UserError:
        place = self.where(line)
        return UserError(f"{place}: nested more than {DEEPEST} levels deep: expected a few")

    def value(self, loader: Any, node: yaml.Node, key: str, depth: int) -> Any:
        """The value of a node, at a dotted key; each alias makes a copy of its own."""
        self.count += 1
        if self.count > MOST_VALUES:
            raise UserError(
                f"{self.source}: more than {MOST_VALUES:,} values: expected a config; keep data in "
                "a file of its own that the config names"
            )
        line = node.start_mark.line
        if depth > DEEPEST:  # of an alias that holds itself
            raise self.too_deep(line)
        if node.tag not in TAGS:  # said as the parser says it
            loader.construct_undefined(node)
        prefix, depth = f"{key}." if key else "", depth + 1
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(loader, node, f"{self.where(line)}: {key}")
        if isinstance(node, yaml.SequenceNode):
            for i, item in enumerate(node.value):
                self.places[f"{prefix}{i}"] = self.where(item.start_mark.line)
            return [self.value(loader, x, f"{prefix}{i}", depth) for i, x in enumerate(node.value)]
        own = [name.value for name, _ in node.value if isinstance(name, yaml.ScalarNode)]
        loader.flatten_mapping(node)  # what `<<` brings in, first
        found: dict[Any, Any] = {}
        for name, inner in node.value:
            place = self.where(name.start_mark.line)
            if not isinstance(name, yaml.ScalarNode):
                raise UserError(f"{place}: a key that is no text: expected 'key: value'")
            said = self.scalar(loader, name, f"{place}: the key {prefix}{name.value}")
            if isinstance(said, Word):
                raise UserError(f"{place}: the key {said.text} {meant(said.text)}")
            if said in found and own.count(name.value) > 1:
                raise UserError(f"{place}: found duplicate key {name.value}")
            self.places[f"{prefix}{name.value}"] = place
            found[said] = self.value(loader, inner, f"{prefix}{name.value}", depth)
        return found

    def scalar(self, loader: Any, node: yaml.ScalarNode, place: str) -> Any:
        """A number, a text, a truth or nothing. **Raises:** UserError for two readings of it."""
        if not node.style:
            if said := doubt(node.value):
                raise UserError(f"{place}: {said}")
            if meant(node.value):
                return Word(node.value, place)
        try:
            return loader.construct_object(node)
        except ValueError as error:  # a tag that its text does not fit
            raise UserError(f"{place}: {one_line(error)}") from None


def read_text(file: Path) -> str:
    refuse_long(file)
    try:
        with open(file, "rb") as stream:
            data = stream.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise UserError(
                f"{file}: larger than {LARGEST_FILE // 1_000_000} MB: expected a config; keep "
                "data in a file of its own that the config names"
            )
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{file}: there is no such config file") from None
    except IsADirectoryError:
        raise UserError(f"{file}: is a folder: expected a config file in YAML") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as text in UTF-8 ({one_line(error)})") from None


def yaml_problem(error: yaml.YAMLError) -> str:
    """`, line n: what is wrong`, with the words for the commonest causes."""
    mark = getattr(error, "problem_mark", None)
    line = f", line {mark.line + 1}" if mark is not None else ""
    problem = one_line(getattr(error, "problem", None) or error)
    if "\\t" in problem or "tab character" in problem or "cannot start any token" in problem:
        problem = "a tab character or a stray sign: indent with spaces, quote texts with signs"
    elif "python/" in problem:
        problem = "a tag that builds a Python object: only plain YAML is read"
    elif "could not determine a constructor" in problem:
        problem = f"{problem.rpartition(' ')[2]} is an unknown tag: only plain YAML is read"
    elif "another document" in problem:
        problem = "a second document begins (---): expected one"
    elif "mapping values are not allowed" in problem:
        problem = "a second ': ' in one line, or wrong indentation: quote the text, or indent it"
    return f"{line}: {problem}"
