"""What a setting may be: a small language of types, for checking, for lists and for the schema."""

from __future__ import annotations

import operator
from dataclasses import dataclass

COMPARE = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


@dataclass(frozen=True)
class Hint:
    """A type of a setting. `limits`: pairs such as (">", 0.0), for every number in the value."""

    limits: tuple[tuple[str, float], ...] = ()

    def allows(self, number: float) -> bool:
        # Written so that NaN is refused wherever there is a limit.
        return all(COMPARE[sign](number, bound) for sign, bound in self.limits)

    def words(self) -> str:
        """What is expected, for the end of a sentence."""
        return "a value"


@dataclass(frozen=True)
class Anything(Hint):
    """Nothing is known about the value: it is handed over as it is."""


@dataclass(frozen=True)
class Nothing(Hint):
    """None, written null or ~ in YAML."""

    def words(self) -> str:
        return "null"


@dataclass(frozen=True)
class Scalar(Hint):
    """One of float, int, bool, str, path."""

    kind: str = "float"

    def words(self) -> str:
        name = SCALAR_WORDS[self.kind]
        return limited(name, self.limits)


SCALAR_WORDS = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "str": "text",
    "path": "a file name",
}


@dataclass(frozen=True)
class Numbers(Hint):
    """A number or (nested) lists of numbers. `shape` is jaxtyping's: "", " dim", "k dim", "..."."""

    shape: str = "..."

    @property
    def axes(self) -> list[str] | None:
        """The names of the axes where their number is fixed, else None."""
        axes = self.shape.split()
        return None if any(axis.startswith(("*", ".", "#")) for axis in axes) else axes

    def words(self) -> str:
        axes = self.axes
        if axes is None:
            plain = "a number or a list of numbers"
            return plain if not self.limits else f"{limited('a number', self.limits)}, or a list"
        if not axes:
            return limited("a number", self.limits)
        shape = ", ".join(axes) + ("," if len(axes) == 1 else "")
        return f"{'lists' if len(axes) > 1 else 'a list'} of numbers, of shape ({shape})" + (
            f", each {limited('', self.limits).strip()}" if self.limits else ""
        )


@dataclass(frozen=True)
class Choice(Hint):
    """One of a few values."""

    options: tuple = ()

    def words(self) -> str:
        return f"one of {', '.join(map(repr, self.options))}"


@dataclass(frozen=True)
class ListOf(Hint):
    """A list, every item of one type; `as_tuple` where the signature asks for a tuple."""

    item: Hint = Anything()
    as_tuple: bool = False

    def words(self) -> str:
        return "a list" if isinstance(self.item, Anything) else f"a list, each {self.item.words()}"


@dataclass(frozen=True)
class Mapping(Hint):
    """Keys and values of any kind."""

    def words(self) -> str:
        return "a mapping"


@dataclass(frozen=True)
class Union(Hint):
    """Any one of several types."""

    options: tuple[Hint, ...] = ()

    def words(self) -> str:
        return " or ".join(dict.fromkeys(x.words() for x in self.options if x != Nothing()))


@dataclass(frozen=True)
class Instance(Hint):
    """An object of a class, named by where it is defined: `package.module:Class`."""

    target: str = ""

    @property
    def name(self) -> str:
        return self.target.rpartition(":")[2]

    def words(self) -> str:
        return article(self.name)


def article(name: str) -> str:
    return f"{'an' if name[:1] in 'AEIOU' else 'a'} {name}"


def limited(name: str, limits: tuple[tuple[str, float], ...]) -> str:
    """`a number` with its range: `a positive number`, `a whole number, 2 or more`."""
    if limits == ((">", 0.0),):
        return f"{name[:2]}positive {name[2:]}" if name else "positive"
    said = [WORDS[sign].format(f"{bound:g}") for sign, bound in limits]
    return f"{name}, {' and '.join(said)}" if said else name


WORDS = {">": "above {}", ">=": "{} or more", "<": "below {}", "<=": "{} at most"}


def with_limits(hint: Hint, limits: tuple[tuple[str, float], ...]) -> Hint:
    """The same type with a range on its numbers."""
    from dataclasses import replace

    if isinstance(hint, Union):
        return Union((), tuple(with_limits(option, limits) for option in hint.options))
    if isinstance(hint, Scalar | Numbers | Anything):
        return replace(hint, limits=limits)
    return hint


def read_limit(text: str) -> tuple[str, float] | None:
    """("> 0") as (">", 0.0); None for a note that is no limit."""
    sign, _, bound = text.strip().partition(" ")
    try:
        return (sign, float(bound)) if sign in COMPARE else None
    except ValueError:
        return None
