"""From config values to a plan: every setting checked against what its kind says it takes.

Nothing is imported and nothing is built: kinds are read from their source, so that a mistake is
answered at once. What only a constructor can know is left to `build`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError, nearest, shortened
from .hints import (
    Anything,
    Choice,
    Hint,
    Instance,
    ListOf,
    Mapping,
    Nothing,
    Numbers,
    Scalar,
    Union,
    article,
)
from .read import Config
from .registry import KINDS, describe
from .signatures import Argument, Signature

RUNNER_KEYS = ("seed", "precision")  # of the run itself; all other keys are the study's
STUDY = Instance(target="thermojax.experiment.study.base:AbstractStudy")


class Unfit(Exception):
    """A value that does not have the wanted type; the message says what was expected."""


@dataclass(frozen=True)
class Part:
    """An object to be built: `kind` from `arguments`, at the dotted key `path`.

    `wanted`, the class that is asked for there; checked again where the source did not tell.
    """

    kind: str
    path: str
    arguments: dict[str, Any]
    wanted: Instance | None = None


@dataclass(frozen=True)
class Array:
    """Numbers in nested lists of equal lengths, to become one array."""

    items: list


def plan(config: Config, reserved: tuple[str, ...] = (), wanted: Instance | None = None) -> Part:
    """The whole config as a plan; top-level keys in `reserved` are left alone.

    **Raises:** UserError, naming file, line and key, for anything that does not fit.
    """
    values = {key: value for key, value in config.values.items() if key not in reserved}
    if "kind" not in values:
        raise UserError(
            f"{config.file}: missing key 'kind': expected kind: Driven, or package.module:Class "
            "of a study"
        )
    return part(config, values, "", wanted)


def part(config: Config, values: dict[str, Any], path: str, wanted: Instance | None) -> Part:
    """A mapping as an object: of its `kind`, or else of the class that is wanted there."""
    prefix = f"{path}." if path else ""
    for name in values:
        if not isinstance(name, str):
            raise config.error(path, f"the key {name!r} is no text: quote it")
    given = {name: value for name, value in values.items() if name != "kind"}
    if "kind" not in values:
        assert wanted is not None
        kind = wanted.target
        signature = describe(kind, config.folders, config.where(path))
        if signature.missing:
            raise config.error(path, f"missing key '{prefix}kind': expected {choices(wanted)}")
    else:
        kind = values["kind"]
        place = f"{config.where(prefix + 'kind')}: {prefix}kind"
        signature = describe(kind, config.folders, place)
        if (
            wanted is not None
            and signature.bases is not None
            and wanted.target not in signature.bases
        ):
            raise config.error(
                prefix + "kind", f"{prefix}kind = {kind}: expected {choices(wanted)}"
            )
        if signature.missing:
            raise config.error(
                prefix + "kind",
                f"{prefix}kind = {kind}: abstract: expected a subclass that defines "
                f"{', '.join(signature.missing)}",
            )
    refuse_unknown(config, signature, given, prefix)
    for argument in signature.arguments.values():
        if argument.default is None and argument.name not in given:
            raise config.error(
                path,
                f"missing key '{prefix}{argument.name}': {signature.name} needs it"
                f"{described(argument.hint)}",
            )
    known = signature.arguments
    anything = Argument("", Anything(), None)
    arguments = {
        name: checked(config, value, prefix + name, known.get(name, anything).hint)
        for name, value in given.items()
    }
    agree(config, signature, arguments, prefix)
    return Part(kind, path, arguments, wanted)


def refuse_unknown(config: Config, signature: Signature, given, prefix: str) -> None:
    for name in given:
        if name not in signature.arguments and not signature.open:
            taken = ", ".join(signature.arguments) or "no arguments"
            raise config.error(
                prefix + name,
                f"unknown key '{prefix}{name}': {signature.name} takes {taken}"
                f"{nearest(name, signature.arguments)}",
            )


def described(hint: Hint) -> str:
    return "" if isinstance(hint, Anything) else f" ({hint.words()})"


def choices(wanted: Instance) -> str:
    """`an AbstractPotential, such as Harmonic, ...`, from the registered kinds."""
    fitting = []
    for family in KINDS.values():
        for name in family:
            bases = describe(name, []).bases
            if bases is not None and wanted.target in bases:
                fitting.append(name)
    if fitting == [wanted.name]:
        return wanted.words()
    such = f", such as {', '.join(fitting[:6])}" if fitting else ""
    return f"{wanted.words()}{such}, or package.module:Class of your own"


def checked(config: Config, value: Any, key: str, hint: Hint) -> Any:
    """`value` as the signature asks for it there; nested mappings become plans."""
    try:
        return fit(config, value, key, hint)
    except Unfit as error:
        shown = shortened(repr(value))
        cure = number_in_text(value)
        raise config.error(key, f"{key} = {shown}: expected {error}{cure}") from None


def number_in_text(value: Any) -> str:
    """The end of a sentence, where a text that is a number to people was given for a number."""
    if not isinstance(value, str):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    written = value if value.isdecimal() else f"{number!r}".replace("inf", ".inf")
    return f", and this is a text to YAML: write {written.replace('nan', '.nan')}"


def fit(config: Config, value: Any, key: str, hint: Hint) -> Any:
    """As `checked`. **Raises:** Unfit, for the caller to try another type or to refuse."""
    if isinstance(value, bool) and not takes_truth(hint):
        config.refuse_words(key, "" if isinstance(hint, Anything) else hint.words())
    return fit_one(config, value, key, hint)


def takes_truth(hint: Hint) -> bool:
    """Whether true and false are among what is expected."""
    if isinstance(hint, Union):
        return any(takes_truth(option) for option in hint.options)
    if isinstance(hint, Choice):
        return any(isinstance(option, bool) for option in hint.options)
    return isinstance(hint, Scalar) and hint.kind == "bool"


def fit_one(config: Config, value: Any, key: str, hint: Hint) -> Any:
    """As `fit`, of a value that has one reading."""
    if isinstance(hint, Union):
        return fit_any(config, value, key, hint)
    if isinstance(value, dict):
        return fit_mapping(config, value, key, hint)
    match hint:
        case Nothing():
            if value is not None:
                raise Unfit(hint.words())
        case Choice():
            if not any(value == x and type(value) is type(x) for x in hint.options):
                raise Unfit(f"{hint.words()}{nearest(value, hint.options)}")
        case Scalar():
            return fit_scalar(value, hint)
        case Numbers():
            return fit_numbers(config, value, key, hint)
        case ListOf():
            if not isinstance(value, list):
                raise Unfit(hint.words())
            items = [checked_item(config, x, f"{key}.{i}", hint) for i, x in enumerate(value)]
            return tuple(items) if hint.as_tuple else items
        case Instance():
            raise Unfit(f"{article(hint.name)}: a mapping with its settings")
        case Mapping():
            raise Unfit(hint.words())
    if isinstance(value, list):  # of anything, objects among it
        return [fit(config, x, f"{key}.{i}", Anything()) for i, x in enumerate(value)]
    return value


def checked_item(config: Config, value: Any, key: str, hint: ListOf) -> Any:
    # A kind in a list names its own key; plain items are shown with the whole list.
    if isinstance(value, dict):
        return checked(config, value, key, hint.item)
    return fit(config, value, key, hint.item)


def fit_any(config: Config, value: Any, key: str, hint: Union) -> Any:
    """The first member of a union that takes the value."""
    if value is None and Nothing() in hint.options:
        return None
    for option in hint.options:
        try:
            return fit_one(config, value, key, option)
        except Unfit as error:
            if isinstance(option, Numbers) and set(hint.options) <= {option, Nothing()}:
                raise Unfit(str(error)) from None
    settings = any(isinstance(option, Instance) for option in hint.options)
    raise Unfit(f"{hint.words()}{': a mapping with its settings' if settings else ''}")


def fit_mapping(config: Config, value: dict[str, Any], key: str, hint: Hint) -> Any:
    instance = hint if isinstance(hint, Instance) else None
    if "kind" in value and not isinstance(hint, Scalar | Choice | Nothing):
        return part(config, value, key, instance)
    if instance is not None:
        return part(config, value, key, instance)
    if isinstance(hint, Mapping):
        config.refuse_words(key)
        return value
    raise Unfit(f"{hint.words()}; a mapping here needs a key 'kind'")


def fit_scalar(value: Any, hint: Scalar) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint.kind == "int":
        # 1e4 is a number of paths too.
        number = number and (isinstance(value, int) or value.is_integer())
    fits = {"float": number, "int": number, "bool": isinstance(value, bool)}
    if not fits.get(hint.kind, isinstance(value, str)):
        raise Unfit(hint.words())
    if hint.limits and not hint.allows(value):
        raise Unfit(hint.words())
    converted = {"float": float, "int": int, "path": Path}.get(hint.kind)
    return value if converted is None else converted(value)


def fit_numbers(config: Config, value: Any, key: str, hint: Numbers) -> Any:
    """A number, or an `Array` of them; objects in a list, such as schedules, stay a list."""
    if isinstance(value, list):
        items = [fit(config, x, f"{key}.{i}", Numbers(hint.limits)) for i, x in enumerate(value)]
        if any(isinstance(x, Part) for x in items):
            return items
        plain = [x.items if isinstance(x, Array) else x for x in items]
        found: Any = Array(plain)
    else:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or (hint.limits and not hint.allows(value)):
            raise Unfit(hint.words())
        found = value
    axes = hint.axes
    shape = shape_of(found)
    if axes is not None and len(shape) != len(axes):
        raise Unfit(hint.words())
    return found


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of numbers in lists. **Raises:** Unfit where the lists differ in length."""
    if isinstance(value, Array):
        value = value.items
    if not isinstance(value, list):
        return ()
    shapes = {shape_of(x) for x in value}
    if len(shapes) > 1:
        raise Unfit("lists of one length")
    return (len(value), *(shapes.pop() if shapes else ()))


def agree(config: Config, signature: Signature, arguments: dict[str, Any], prefix: str) -> None:
    """Refuse arrays whose axes have one name and two lengths."""
    seen: dict[str, tuple[int, str]] = {}
    for name, value in arguments.items():
        argument = signature.arguments.get(name)
        options = argument.hint.options if argument and isinstance(argument.hint, Union) else ()
        hints = [h for h in (*options, argument and argument.hint) if isinstance(h, Numbers)]
        if not hints or hints[0].axes is None or not isinstance(value, Array):
            continue
        shape = shape_of(value)
        for axis, size in zip(hints[0].axes, shape, strict=True):
            expected, other = seen.setdefault(axis, (size, name))
            if axis.isidentifier() and size != expected:
                raise config.error(
                    prefix + name,
                    f"{prefix}{name} has shape {shape}: expected {axis} = {expected}, as in "
                    f"{prefix}{other}",
                )
