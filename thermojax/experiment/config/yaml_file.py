"""One YAML file as plain values, with the place of every key; never anything but plain YAML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..command_line import refuse_long
from ..errors import UserError, one_line
from .doubtful import doubt, meant, plain

LARGEST_FILE = 1_000_000  # bytes; a larger one is data, and would take seconds to parse
MOST_VALUES = (
    10_000  # aliases of aliases multiply; OmegaConf sets this limit to the nodes of a file
)
DEEPEST = 50  # levels of mappings and lists
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Place:
    """Where a key stands: file and line, from 1.

    `word`: its value as it is written, where that is a word such as `on`, which YAML 1.1 takes for
    true; empty for all that has one meaning.
    """

    file: Path
    line: int
    word: str = ""

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


def read_yaml(file: Path) -> tuple[dict[str, Any], dict[str, Place]]:
    """The values of a file, interpolations as they stand, and the place of every dotted key.

    **Raises:** UserError for a missing or large file, YAML that cannot be parsed (with its line),
    duplicate keys, tags that would build Python objects, and a file that is no mapping.
    """
    text = read_text(file)
    places: dict[str, Place] = {}
    try:
        refuse_deep(text, file)
        node = yaml.compose(text, Loader=Loader)
        if not isinstance(node, yaml.MappingNode):
            raise UserError(f"{file}: expected a mapping with keys such as 'kind: ...', found none")
        note_places(node, "", file, places)
        base = OmegaConf.create(text)
    except yaml.YAMLError as error:
        if "expansion exceeds" in str(error):
            raise too_many(file) from None
        raise UserError(f"{file}{yaml_problem(error)}") from None
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        raise UserError(f"{file}: {one_line(error)}") from None
    values: Any = OmegaConf.to_container(base)
    return values, places


def refuse_deep(text: str, file: Path) -> None:
    """UserError for nesting so deep that the parser, which recurses in C, would crash."""
    depth, line = 0, 1
    try:
        for event in yaml.parse(text, Loader=Loader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            line = event.start_mark.line + 1
            if depth > DEEPEST:
                break
    except yaml.YAMLError as error:
        if "nesting depth" not in str(error):
            raise
        depth = DEEPEST + 1  # a newer parser looks far ahead, and finds it first
    if depth > DEEPEST:
        place = Place(file, line)
        raise UserError(f"{place}: nested more than {DEEPEST} levels deep: expected a few")


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


def note_places(node: yaml.Node, prefix: str, file: Path, places: dict[str, Place]) -> None:
    """Fill `places`. **Raises:** UserError where aliases multiply to too many values."""
    for name, mark, value in children(node):
        key, place = f"{prefix}{name}", Place(file, mark.start_mark.line + 1)
        word = refuse_doubt(value, f"{place}: {key}")
        if mark is not value and (text := refuse_doubt(mark, f"{place}: the key {key}")):
            raise UserError(f"{place}: the key {text} {meant(text)}")
        places[key] = Place(file, place.line, word)
        if len(places) > MOST_VALUES:
            raise too_many(file)
        note_places(value, f"{key}.", file, places)


def children(node: yaml.Node) -> list[tuple[str, yaml.Node, yaml.Node]]:
    """(name, node that holds the name, node of the value) of what a mapping or a list holds."""
    if isinstance(node, yaml.MappingNode):
        return [(str(name.value), name, value) for name, value in node.value]
    if isinstance(node, yaml.SequenceNode):
        return [(str(i), value, value) for i, value in enumerate(node.value)]
    return []


def words_in(node: yaml.Node, key: str, place: str) -> dict[str, str]:
    """Dotted key -> the word that stands there for true or false, of a value and all in it.

    **Raises:** UserError with both readings, for what is doubtful wherever it stands.
    """
    found = {key: refuse_doubt(node, f"{place}: {key}")}
    for name, _, value in children(node):
        found |= words_in(value, f"{key}.{name}", place)
    return found


def refuse_doubt(node: yaml.Node, place: str) -> str:
    """The word that a scalar is, where YAML 1.1 takes it for true or false; else nothing.

    **Raises:** UserError with both readings, for what is doubtful wherever it stands.
    """
    text = plain(node)
    if text is None:
        return ""
    if said := doubt(text):
        raise UserError(f"{place}: {said}")
    return text if meant(text) else ""


def too_many(file: Path) -> UserError:
    return UserError(
        f"{file}: more than {MOST_VALUES:,} values: expected a config; keep data in a file of its "
        "own that the config names"
    )


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
