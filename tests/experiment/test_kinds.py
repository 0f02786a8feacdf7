"""What a class says of its arguments is what a config is checked against, and what is told."""

import inspect
import typing
from typing import Annotated, Any, Literal

import jax
import numpy as np
import pytest
from annotated_types import Ge, Gt, Interval, Le
from jaxtyping import Array, Float

import thermojax as tj
from thermojax._component import AbstractComponent, Numbers, Positive
from thermojax.cli import main
from thermojax.experiment import UserError
from thermojax.experiment.config.build import build
from thermojax.experiment.config.model import signature_of
from thermojax.experiment.config.read import read_config
from thermojax.experiment.config.registry import KINDS, find, short_names
from thermojax.experiment.shipped import search_folders
from thermojax.experiment.study.base import AbstractStudy

STUDIES = ["experiments.posterior_ramp:PosteriorRamp", "experiments.two_pictures:logistic_ramp"]


def components():
    things = [getattr(tj, name) for name in dir(tj)]
    return [x for x in things if inspect.isclass(x) and issubclass(x, AbstractComponent)]


@pytest.mark.parametrize("name", [*short_names(), *STUDIES])
def test_every_kind_is_told(name, capsys):
    """With all of its arguments, in words where they say anything."""
    kind = find(name, search_folders())
    assert main(["list", name]) == 0
    listed = capsys.readouterr().out
    function = kind.__init__ if inspect.isclass(kind) else kind
    for argument in inspect.signature(function).parameters.values():
        if argument.name != "self":
            said = "required" if argument.default is argument.empty else "default "
            assert any(f"  {argument.name} " in x and said in x for x in listed.splitlines())
    assert (inspect.getdoc(kind) or "").split("\n")[0] in listed


def test_every_component_can_be_a_kind():
    """The annotations of all public components can be read, abstract ones being told as such."""
    for component in components():
        signature = signature_of(component)
        assert bool(signature.missing) == component.__name__.startswith("Abstract")
        assert set(signature.schema["properties"]) == set(signature.defaults)
    assert set(signature_of(tj.AbstractProtocol).missing) == {
        *("duration", "initial", "final", "__call__")
    }


def test_registered_studies_are_studies():
    for name in KINDS.get("study", {}):
        assert issubclass(find(name, []), AbstractStudy)


class HasEnergy(typing.Protocol):
    def energy(self): ...


NOTES: list[tuple[Any, str]] = [
    (float, "a number"),
    (Annotated[float, Gt(0)], "a positive number"),
    (Annotated[float, Gt(0), Le(1)], "a number, above 0 and 1 at most"),
    (Annotated[float, Interval(gt=0, le=1)], "a number, above 0 and 1 at most"),
    (
        typing.Optional[Annotated[int, Ge(2)]],  # noqa: UP045
        "a whole number, 2 or more",
    ),
    (
        typing.Union[Annotated[int, Ge(1)], Literal["all"]],  # noqa: UP007
        "a whole number, 1 or more or one of 'all'",
    ),
    (Literal["a", "b"], "one of 'a', 'b'"),
    (bool, "true or false"),
    (str | None, "text"),
    (list[str], "a list, each text"),
    (tuple[float, float], "a list, each a number"),
    (dict, "a mapping"),
    (list, "a list"),
    (Numbers, "a number or a list of numbers"),
    (jax.Array, "a number or a list of numbers"),
    (Positive, "a positive number, or a list"),
    (Annotated[Any, Gt(0)], "a positive number, or a list"),
    (Float[Array, ""], "a number"),
    (Float[Array, "k dim"], "lists of numbers, of shape (k, dim)"),
    (
        typing.Optional[Float[Array, " dim"]],  # noqa: UP045
        "a list of numbers, of shape (dim,)",
    ),
    (Numbers | tj.AbstractProtocol, "a number or a list of numbers or an AbstractProtocol"),
    (Numbers | Literal["auto"] | None, "a number or a list of numbers or one of 'auto'"),
    (tj.Bath, "a Bath"),
    (list[tj.AbstractPotential], "a list, each an AbstractPotential"),
    (HasEnergy, ""),
    (typing.Callable, ""),
    (Any, ""),
]


def taking(note, default: Any = inspect.Parameter.empty):
    """A function with one argument, so annotated."""

    def kind(**values):
        return values["x"]

    parameter = inspect.Parameter("x", inspect.Parameter.KEYWORD_ONLY, default=default)
    kind.__signature__ = inspect.Signature([parameter])  # pyright: ignore
    kind.__annotations__ = {"x": note}
    return kind


@pytest.mark.parametrize(("note", "words"), NOTES, ids=lambda x: str(x)[:40])
def test_words(note, words):
    assert signature_of(taking(note)).words("x") == words


def test_a_default_says_that_numbers_are_meant():
    numbers = "a number or a list of numbers"
    assert signature_of(taking(Any, 1.0)).words("x") == numbers
    assert signature_of(taking(Any, True)).words("x") == ""


KIND = """
from __future__ import annotations
from typing import TYPE_CHECKING, Annotated
from annotated_types import MinLen
from jaxtyping import Array, Float
import thermojax as tj
if TYPE_CHECKING:
    from nowhere import Unknown

class Odd:
    def __init__(
        self,
        copy: int,
        unknown: Unknown = None,
        model_names: Annotated[list[str], MinLen(2)] = (),
        schedule: tj.AbstractProtocol | float = 1.0,
        matrix: Float[Array, "a b"] = 0,
        parts: list[tj.AbstractPotential] = (),
        **others,
    ):
        self.__dict__.update(locals())
"""


@pytest.fixture
def odd(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_odd.py").write_text(KIND)

    def arguments(text):
        (tmp_path / "c.yaml").write_text(f"kind: own_odd:Odd\n{text}\n")
        return vars(build(read_config("c.yaml"), object))

    return arguments


def test_arguments_of_any_name_and_notes_that_cannot_be_read(odd):
    """What pydantic keeps for itself (`copy`, `model_...`) is a name like others in a config."""
    text = "copy: 1e3\nunknown: {kind: Bath}\nmodel_names: [a, b]\nanything: 3\nmatrix: [[1, 2]]"
    found = odd(text)
    assert found["copy"] == 1000 and type(found["copy"]) is int
    assert found["others"] == {"anything": 3}
    assert isinstance(found["unknown"], tj.Bath) and found["model_names"] == ["a", "b"]
    assert isinstance(found["matrix"], np.ndarray) and found["matrix"].shape == (1, 2)
    assert found["schedule"] == 1.0  # a default is the constructor's own
    assert isinstance(odd("copy: 1\nschedule: {kind: Constant}")["schedule"], tj.Constant)
    assert type(odd("copy: 1\nschedule: 2")["schedule"]) is float


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("copy: 1\nmodel_names: [a]", "line 3: model_names = ['a']: expected a list, each text ("),
        ("copy: 1\nmatrix: [1, 2]", "expected lists of numbers, of shape (a, b)"),
        ("copy: 1\nmatrix: [[1], [2, 3]]", "expected lists of one length"),
        ("copy: 1\nunknown: {a: 1}", "expected a value; a mapping here needs a key 'kind'"),
        ("copy: 1\nparts: [3]", "expected a list, each an AbstractPotential: a mapping with its"),
        ("copy: 1\nparts: [{mean: [0]}]", "line 3: missing key 'parts.0.kind': expected an Abs"),
        (
            "copy: 1\nparts:\n- kind: Gaussian\n  men: 1",
            "line 5: unknown key 'parts.0.men'",
        ),
        ("copy: true", "copy = True: expected a whole number"),
        ("matrix: [[1]]", "missing key 'copy': Odd needs it (a whole number)"),
    ],
)
def test_refused(odd, text, said):
    with pytest.raises(UserError) as error:
        odd(text)
    assert said in str(error.value) and "\n" not in str(error.value)


REFERENCES = """
a: 2
b: {c: [1, 2.5], d: "${a}"}
e: ${b.c.1}
f: ${b.c[0]}
g: a is ${a}, c is ${b.c}
h: ${b}
i: [x, {j: "${h.d}"}]
k: ${b}
l: ${k.c.1}
"""


def test_values_that_stand_for_others(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(REFERENCES)
    values = read_config(file, ["h.d=7"]).values
    assert values["b"] == {"c": [1, 2.5], "d": 2} and (values["e"], values["f"]) == (2.5, 1)
    assert values["g"] == "a is 2, c is [1, 2.5]" and values["i"] == ["x", {"j": 7}]
    assert values["k"] == values["b"] and values["l"] == 2.5
    assert values["h"] == {"d": 7}  # an override of one that stood for another is its own
    for text, said in (
        ("a: ${b}\nb: ${a}\n", "line 1: a: ${b}: stands for itself"),
        ("a: {b: '${a}'}\n", "stands for itself"),
        ("a: ${a.b}\n", "stands for itself"),
        ("a: ${oc.env:HOME}\n", "line 1: a: ${oc.env:HOME}: there is no setting 'oc.env:HOME'"),
        ("a: [1]\nbath: 1\nb: ${bth}\n", "line 3: b: ${bth}: there is no setting 'bth'"),
        ("a: [1]\nb: ${a.1}\n", "there is no setting 'a.1'"),
    ):
        file.write_text(text)
        with pytest.raises(UserError) as error:
            read_config(file)
        assert said in str(error.value)


def test_the_place_of_what_an_override_has_set(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("a: {b: 1, c: 2}\nd:\n- 1\n- x: 1\n")
    config = read_config(file, ["a={b: 3}", "d.1.x=5", "e.f=1", "d.1.y=2"])
    assert config.values == {"a": {"b": 3, "c": 2}, "d": [1, {"x": 5, "y": 2}], "e": {"f": 1}}
    assert config.where("a.b") == "override a={b: 3}" and config.where("a.c") == f"{file}, line 1"
    assert config.where("d.1.x") == "override d.1.x=5" and config.where("d.0") == f"{file}, line 3"
    assert config.where("e.g") == "override e.f=1" and config.where("d") == "override d.1.y=2"
    assert config.where("nothing") == str(file)
