"""The messages of the page, with the ranges of its sliders, and how a mistake is answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from annotated_types import Ge, Le, Len
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

LARGEST = 4096  # bytes of a message
KNOTS = 9  # of a protocol drawn by hand

Tab = Literal["oscillators", "erasure", "inference"]
TABS: tuple[str, ...] = get_args(Tab)

Temperature = Annotated[float, Ge(0.1), Le(4.0)]
Friction = Annotated[float, Ge(0.1), Le(5.0)]
Mass = Annotated[float, Ge(0.3), Le(4.0)]
Coupling = Annotated[float, Ge(-0.4), Le(4.0)]
Interval = Annotated[float, Ge(0.05), Le(6.0)]
Speed = Annotated[float, Ge(0.25), Le(16.0)]
Lowering = Annotated[float, Ge(-1.0), Le(2.0)]
Tilt = Annotated[float, Ge(-5.0), Le(20.0)]
RampTime = Annotated[float, Ge(0.1), Le(30.0)]
Noise = Annotated[float, Ge(0.15), Le(1.0)]
Place = Annotated[float, Ge(-1.0), Le(1.0)]
Value = Annotated[float, Ge(-3.0), Le(3.0)]


class Message(BaseModel):
    """The common part of all messages: `do` says which one it is."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    do: str


class Open(Message):
    """Show another tab."""

    do: Literal["open"]
    tab: Tab


class Seen(Message):
    """The page has drawn this frame, and may be sent more."""

    do: Literal["seen"]
    frame: Annotated[int, Ge(0)]


class Pause(Message):
    do: Literal["pause"]
    on: bool


class Restart(Message):
    """Machines drawn anew, and empty books."""

    do: Literal["restart"]


class Turn(Message):
    """Other values of sliders of the oscillators; those that are left out stay."""

    do: Literal["turn"]
    temperature: Temperature | None = None
    friction: Friction | None = None
    mass: Mass | None = None
    coupling: Coupling | None = None
    interval: Interval | None = None
    speed: Speed | None = None


class Erase(Message):
    """The protocol that a hand has drawn: both controls at the knots, and its duration."""

    do: Literal["erase"]
    lowering: Annotated[list[Lowering], Len(KNOTS, KNOTS)]
    tilt: Annotated[list[Tilt], Len(KNOTS, KNOTS)]
    duration: Literal[1, 3, 10]


class Point(Message):
    """A datum: at u, the value y."""

    do: Literal["point"]
    u: Place
    y: Value


class Forget(Message):
    """All data are ramped out again."""

    do: Literal["forget"]


class Ramp(Message):
    do: Literal["ramp"]
    duration: RampTime | None = None
    noise: Noise | None = None


AnyMessage = Annotated[
    Open | Seen | Pause | Restart | Turn | Erase | Point | Forget | Ramp, Field(discriminator="do")
]
READ: TypeAdapter[Any] = TypeAdapter(AnyMessage)


class MessageError(ValueError):
    """A message that is not understood: one sentence for the page."""


def read_message(text: str | None) -> Message:
    """The message in a text. **Raises:** MessageError, which says what was expected."""
    if text is None:
        raise MessageError("a binary message: expected text, as JSON")
    if len(text.encode("utf-8", "surrogatepass")) > LARGEST:
        raise MessageError(f"a message of {len(text):,} characters: expected {LARGEST:,} bytes")
    try:
        return READ.validate_json(text)
    except (ValidationError, UnicodeError) as error:
        raise MessageError(said_of(error)) from None


def said_of(error: Exception) -> str:
    """The first complaint in one sentence, with its place in the message."""
    if not isinstance(error, ValidationError):
        return "a message that is no UTF-8: expected text, as JSON"
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]


def ranges() -> dict[str, dict[str, list[float]]]:
    """The least and the largest value of every slider, by the message that it sends."""
    found: dict[str, dict[str, list[float]]] = {}
    for message in (Turn, Erase, Point, Ramp):
        schema = message.model_json_schema()["properties"]
        sliders = {name: limits(field) for name, field in schema.items()}
        found[schema["do"]["const"]] = {name: x for name, x in sliders.items() if x}
    return found


def limits(field: dict[str, Any]) -> list[float]:
    """[minimum, maximum] wherever they stand in the schema of a field; empty without any."""
    field = field.get("items", field)
    for part in (field, *field.get("anyOf", ())):
        if "minimum" in part:
            return [part["minimum"], part["maximum"]]
    return []
