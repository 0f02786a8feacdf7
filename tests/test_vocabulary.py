"""One word for one thing: the words of the table are gone from code, docstrings, comments and docs.

A name is looked at word by word (`GridPoint` and `grid_point` are `grid` and `point`), so that a
word may stand in ordinary English where only names of it are gone. Nothing here computes.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
ENGINE = frozenset({"dynamics", "sampling", "execution", "linear"})


class Gone(NamedTuple):
    """Words that are gone.

    - `say`: what to say instead.
    - `names`: a pattern of whole words in a name. `exact`: whole names, as they are spelled.
    - `prose`: a pattern in docstrings, comments, messages and docs.
    - `rooms`: where the names are gone; everywhere when left out. `allowed`: names that may stay.
    """

    say: str
    names: str = ""
    exact: frozenset[str] = frozenset()
    prose: str = ""
    rooms: frozenset[str] | None = None
    allowed: frozenset[str] = frozenset()


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


GONE = (
    Gone("thread, kernel context", "lanes?", names("Here"), r"\blanes?\b"),
    Gone("tile", "parts?|shares?", rooms=ENGINE, prose=r"\b(parts?|shares?) of (a|the) batch\b"),
    Gone("segment", "pieces?", prose=r"\bpieces? of (a|the) chain\b"),
    Gone("unroll", "turns?", rooms=ENGINE),
    Gone("PathState, StepEnergies", exact=names("Carry Entry")),
    Gone("optimistic", "hopeful|hopefully", prose=r"\bhopeful(ly)?\b"),
    Gone("DivergencePolicy", exact=names("Watch")),
    Gone("the meaning: listed, vjp_skips_diverged", "told|announced|doomed", prose=r"\bdoomed\b"),
    Gone("pack, unpack", "brief|recalled"),
    Gone("pad_batch", "evened"),
    Gone("evaluate_force, accumulate, in_memory_order", "met|posted|placed", rooms=ENGINE),
    Gone(
        "half_kick for a half step of force, control for controls at grid points; a kick is the "
        "protocol's impulse",
        "kick|kicked",
        rooms=ENGINE - {"sampling"},  # where the protocol's impulses are given: `kicks.py`
        allowed=names("half_kick kick_work"),
    ),
    Gone("control_before, control_after", "now|inside", rooms=ENGINE),
    Gone(
        "control_before, control_after",
        "control_(now|next|old|new|inside)|(now|next|old|new|inside)_control",
    ),
    Gone("step coefficients", "rows", rooms=frozenset({"dynamics", "execution"})),
)

# Beginnings of a docstring that say nothing alone.
EMPTY = re.compile(r"(What|How|Those|The same of|The same,|That of|Of the)\b")


def room_of(file: Path) -> str:
    """`bounds` of thermojax/bounds/work.py and of tests/bounds/test_bounds.py."""
    folder, *rest = file.relative_to(ROOT).parts
    if folder in ("thermojax", "tests"):
        return Path(rest[0]).stem
    return folder


def words(name: str) -> str:
    """A name in lower case, its words joined by one underscore each."""
    return "_".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)).lower()


def wrong_names(found: Iterator[tuple[int, str]], room: str) -> Iterator[str]:
    for line, name in found:
        for gone in GONE:
            if (gone.rooms is not None and room not in gone.rooms) or name.startswith("test_"):
                continue  # the name of a test is a sentence
            pattern = rf"(^|_)({gone.names})(_|$)"
            by_word = gone.names and re.search(pattern, words(name)) and name not in gone.allowed
            if by_word or name in gone.exact:
                yield f"line {line}: the name {name}; say {gone.say}"


def wrong_prose(found: Iterator[tuple[int, str]]) -> Iterator[str]:
    for line, text in found:
        for gone in GONE:
            if gone.prose and (match := re.search(gone.prose, text, re.IGNORECASE)):
                yield f"line {line}: '{match[0]}' in prose; say {gone.say}"


def names_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name that a module binds or uses, with its line."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield line, name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield line, name
            case ast.keyword(arg=str(name)):
                yield line, name
            case ast.alias(name=name, asname=other):
                yield from ((line, part) for part in f"{name}.{other or ''}".split(".") if part)


def texts_in(source: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every text and every comment of a module, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def empty_docstrings(tree: ast.AST) -> Iterator[str]:
    kinds = (ast.Module, ast.FunctionDef, ast.ClassDef)
    for node in ast.walk(tree):
        text = ast.get_docstring(node) if isinstance(node, kinds) else None
        if text and EMPTY.match(text):
            first = text.splitlines()[0]
            yield f"line {getattr(node, 'lineno', 1)}: a docstring without a subject: '{first}'"


def problems_of_code(source: str, room: str, stem: str) -> list[str]:
    tree = ast.parse(source)
    found = [*wrong_names(iter([(1, stem), *names_in(tree)]), room)]
    found += wrong_prose(texts_in(source, tree))
    return [*dict.fromkeys(found)]


def problems_of_docs(text: str) -> list[str]:
    lines = list(enumerate(text.splitlines(), 1))
    code = ((i, n) for i, line in lines for s in re.findall(r"`[^`]+`", line) for n in NAME(s))
    return [*wrong_names(code, "docs"), *wrong_prose(iter(lines))]


NAME = re.compile(r"[A-Za-z_]\w*").findall
FOLDERS = ("thermojax", "tests", "experiments", "examples", "benchmarks")
CODE = [
    file
    for folder in FOLDERS
    for file in sorted((ROOT / folder).rglob("*.py"))
    if file != Path(__file__)
]
PACKAGE = [file for file in CODE if file.is_relative_to(ROOT / "thermojax")]
DOCS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


@pytest.mark.parametrize("file", CODE, ids=lambda file: str(file.relative_to(ROOT)))
def test_words_that_are_gone_stay_gone(file):
    found = problems_of_code(file.read_text(encoding="utf-8"), room_of(file), file.stem)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("file", PACKAGE, ids=lambda file: str(file.relative_to(ROOT)))
def test_docstrings_have_a_subject(file):
    found = list(empty_docstrings(ast.parse(file.read_text(encoding="utf-8"))))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("file", DOCS, ids=lambda file: str(file.relative_to(ROOT)))
def test_docs_use_the_words(file):
    found = problems_of_docs(file.read_text(encoding="utf-8"))
    assert not found, "\n".join(found)


def test_rooms_that_are_named_exist():
    """A rule for a room that is no room any more would find nothing."""
    rooms = {room_of(file) for file in (ROOT / "thermojax").rglob("*.py")}
    assert rooms >= {room for gone in GONE for room in gone.rooms or ()}


VIOLATIONS = {
    "def lanes_of(x): ...": "thread",
    "class Here: ...": "thread",
    "import thermojax.dynamics.lanes": "thread",
    "x = 1  # of every lane": "thread",
    "def f(batch_parts): ...": "tile",
    'raise ValueError("one part of the batch")': "tile",
    "move(piece=1)": "segment",
    "TURNS = 8": "unroll",
    "class Carry: ...": "PathState",
    "state.hopefully_stepped": "optimistic",
    "if announced: ...": "vjp_skips_diverged",
    "from .ends import recalled as other": "unpack",
    "force_met = 1": "evaluate_force",
    "def kick(p, force): ...": "half_kick",
    "table.next_control": "control_before",
    "table.inside": "control_before",
    "coefficients.rows": "step coefficients",
}
FINE = (
    '"""A part of the theory, told in its turn; where two meet, here and now."""\n'
    "half_kick = PiecewiseLinear(carry, entry, kicks=parted)\n"
    "ledger.kick_work + other.metric + placement  # a share of the work\n"
)


@pytest.mark.parametrize("source", VIOLATIONS)
def test_a_word_that_is_gone_is_found(source):
    """The test of the test: each kind of name and of text, one violation each."""
    (found,) = problems_of_code(source, "dynamics", "some_file")
    assert VIOLATIONS[source] in found


def test_a_docstring_without_a_subject_is_found():
    for words in ("What it is for.", "Those of the step.", "How it ends.", "The same of the mass."):
        for head in ("", "def f(x):\n    ", "class F:\n    "):
            assert len(list(empty_docstrings(ast.parse(f'{head}"""{words}"""')))) == 1
    assert not list(empty_docstrings(ast.parse('"""The step that follows, whatever it is."""')))


def test_ordinary_words_are_left_alone():
    assert problems_of_code(FINE, "dynamics", "some_file") == []
    assert problems_of_code("def kick(part, now, turn, rows): ...", "protocol", "kicks") == []
    assert problems_of_code("", "dynamics", "lanes") != []
    assert problems_of_docs("A kick, told in parts: `kicks`.") == []
    assert len(problems_of_docs("See `announced_jumps`.\nA lane of the kernel.")) == 2
