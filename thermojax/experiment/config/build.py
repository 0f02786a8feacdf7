"""From a config to objects: checked against the constructors' signatures, and made by them."""

from __future__ import annotations

import os
import re
import traceback
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from ..errors import UserError, nearest, one_line, own_traceback, raised_in_library, shortened
from .hints import KIND, MAPPING, SHAPE, words_in
from .model import Signature, choices, class_made, signature_of
from .read import Config
from .registry import find
from .words import article

ORDER = {"extra_forbidden": 0, "missing": 1}
# Errors of pydantic that the words of an argument answer; of the others its message is shown.
ANSWERED = ("_type", "literal_error", "_parsing", "greater_than", "less_than", "none_required")


def build(config: Config, wanted: type, *others: type) -> Any:
    """A whole config as an object of class `wanted`, with all that it is made of.

    **Arguments:** `others`, classes whose arguments stand in it too, see `settings_beside`.

    **Raises:** UserError, naming file, line and key, for anything that does not fit, and for what a
    constructor refuses.
    """
    taken = {name for other in others for name in signature_of(other).defaults}
    values = {key: x for key, x in config.values.items() if key not in taken}
    if "kind" not in values:
        raise UserError(
            f"{config.file}: missing key 'kind': expected kind: Driven, or package.module:Class "
            "of a study"
        )
    return LocatedMapping(config, values).made(wanted)


def settings_beside(config: Config, kind: type) -> Any:
    """An object of a class whose arguments stand in a config beside those of its study."""
    own = signature_of(kind).defaults
    values = {x: config.values[x] for x in own if x in config.values}
    return LocatedMapping(config, values).made(kind)


class LocatedMapping(dict):
    """A mapping of a config that knows where it stands, and makes the object that it describes."""

    def __init__(self, config: Config, values: dict, key: str = ""):
        self.config, self.key = config, key
        super().__init__((name, self.located(x, self.dotted(name))) for name, x in values.items())

    def located(self, value: Any, key: str) -> Any:
        """A value in it, whose mappings know where they stand too."""
        if isinstance(value, list):
            return [self.located(x, f"{key}.{i}") for i, x in enumerate(value)]
        return LocatedMapping(self.config, value, key) if isinstance(value, dict) else value

    def dotted(self, name: Any) -> str:
        """The dotted key of what stands in it under a name."""
        return f"{self.key}.{name}".lstrip(".")

    def made(self, wanted: type | None) -> Any:
        """The object: of its `kind`, or else of the class that is wanted there."""
        for name in self:
            if not isinstance(name, str):
                raise self.config.error(self.key, f"the key {name!r} is no text: quote it")
        make, signature = self.maker(wanted)
        given = {name: x for name, x in self.items() if name != "kind"}
        try:
            arguments = signature.model.validate_python(given, context=self.config)
        except ValidationError as error:
            raise self.mistake(signature, error) from None
        try:
            thing = make(**arguments)
        except Exception as error:
            raise self.refusal(signature, error) from None
        if wanted is not None and not isinstance(thing, wanted):
            key, found = self.dotted("kind"), article(type(thing).__name__)
            said = f"{key} = {signature.name}: expected {article(wanted.__name__)}, found {found}"
            raise self.config.error(key, said)
        return thing

    def maker(self, wanted: type | None) -> tuple[Any, Signature]:
        """The class or function that makes the object, as far as one can tell before."""
        config, key = self.config, self.dotted("kind")
        if "kind" not in self:
            if wanted is None:
                raise PydanticCustomError(KIND, "a mapping here needs a key 'kind'")
            signature = signature_of(wanted)
            if signature.missing:
                raise config.error(self.key, f"missing key '{key}': expected {choices(wanted)}")
            return wanted, signature
        said = f"{key} = {self['kind']}"
        make = find(self["kind"], config.folders, f"{config.where(key)}: {key}")
        signature, known = signature_of(make), class_made(make)
        if wanted and known is not object and not issubclass(known, wanted):
            raise config.error(key, f"{said}: expected {choices(wanted)}")
        if signature.missing:
            names = ", ".join(signature.missing)
            raise config.error(key, f"{said}: abstract: expected a subclass that defines {names}")
        return make, signature

    def mistake(self, signature: Signature, error: ValidationError) -> UserError:
        """The mistake that pydantic has found, in one sentence: unknown keys first."""
        found = error.errors(include_url=False, include_input=False)
        found.sort(key=lambda x: ORDER.get(x["type"], 2))
        kind, name = found[0]["type"], str(found[0]["loc"][0])
        key, taken = self.dotted(name), signature.defaults
        if kind == "extra_forbidden":
            names = ", ".join(taken) or "no arguments"
            said = f"unknown key '{key}': {signature.name} takes {names}"
            return self.config.error(key, said + nearest(name, taken))
        words = signature.words(name)
        if kind == "missing":
            said = f"missing key '{key}': {signature.name} needs it"
            return self.config.error(self.key, f"{said} ({words})" if words else said)
        value = self[name]
        for word in words_in(value):
            return word.refusal(words)
        kinds = {x["type"]: x["msg"] for x in found if x["loc"][0] == name}
        if SHAPE in kinds:
            words = kinds[SHAPE]
        elif KIND in kinds and isinstance(value, dict):
            words = f"{words or 'a value'}; {kinds[KIND]}"
        elif MAPPING in kinds:
            words = f"{words}: {kinds[MAPPING]}"
        elif not any(part in one for one in kinds for part in ANSWERED):
            words = f"{words} ({found[0]['msg']})"
        if "literal_error" in kinds:
            words += nearest(str(value), re.findall("'(.*?)'", words))
        said = f"{key} = {shortened(repr(value))}: expected {words}"
        return self.config.error(key, said + number_in_text(value))

    def refusal(self, signature: Signature, error: Exception) -> UserError:
        """The error of a constructor with the config key it is about, as far as it says so."""
        message, detail = one_line(error), own_traceback(error)
        if isinstance(error, UserError):
            detail = error.detail
        elif os.environ.get("THERMOJAX_TRACEBACK"):
            detail = "".join(traceback.format_exception(error)).rstrip()
        elif isinstance(error, ValueError) and not raised_in_library(error):
            detail = ""  # the sentence was written for the user
        start = re.match(r"([A-Za-z_][\w.]*)(\[[^\]]*\])? ?(=|has|is|reach)", message)
        if start and start[1].split(".")[0] in self:
            return self.config.error(self.dotted(start[1]), self.dotted(message), detail)
        if isinstance(error, UserError):  # of another file, such as one with data
            return UserError(message, detail)
        if not isinstance(error, ValueError | TypeError):
            message = f"{type(error).__name__}: {message}"
        return self.config.error(self.key, f"{self.key or signature.name}: {message}", detail)


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
