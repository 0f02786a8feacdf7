"""What the source says of a kind is what Python says of it once it is imported."""

import inspect
from pathlib import Path

import pytest

from thermojax._component import AbstractComponent
from thermojax.experiment.config.hints import Numbers, Scalar, Union
from thermojax.experiment.config.registry import KINDS, describe, find, short_names
from thermojax.experiment.study.base import AbstractStudy

ROOT = Path(__file__).resolve().parents[2]
NAMES = [
    *short_names(),
    "thermojax.potential:Sum",
    "thermojax.potential:LogDensity",
    "thermojax.sampling:Equilibrium",
    "experiments.posterior_ramp:PosteriorRamp",
    "experiments.posterior_ramp:Training",
    "experiments.two_pictures:logistic_ramp",
]


@pytest.mark.parametrize("name", NAMES)
def test_signature(name):
    told, live = describe(name, [ROOT]), find(name, [ROOT])
    function = live.__init__ if inspect.isclass(live) else live
    parameters = inspect.signature(function).parameters
    assert list(told.arguments) == [x for x in parameters if x != "self"]
    for argument in told.arguments.values():
        default = parameters[argument.name].default
        assert (argument.default is None) == (default is inspect.Parameter.empty)
        if argument.default is not None and isinstance(default, int | float | str | None):
            assert argument.default == repr(default)
    assert told.doc == (inspect.getdoc(live) or "")
    if inspect.isclass(live):
        assert told.bases is not None and not told.missing
        homes = [f"{cls.__module__}:{cls.__qualname__}" for cls in live.__mro__]
        assert list(told.bases) == [x for x in homes if x.split(":")[0].startswith(FIRST)]


FIRST = ("thermojax", "experiments")


def test_abstract_classes_are_known():
    told = describe("thermojax.protocol:AbstractProtocol", [])
    assert set(told.missing) == {"duration", "initial", "final", "__call__"}
    assert describe("thermojax.experiment:AbstractStudy", []).missing == ("run",)
    assert describe("thermojax.optimization:MeanWork", []).missing == ()


def test_every_public_component_can_be_described():
    import thermojax as tj

    for name in dir(tj):
        thing = getattr(tj, name)
        if inspect.isclass(thing) and issubclass(thing, AbstractComponent):
            told = describe(f"thermojax:{name}", [])
            assert told.bases is not None and told.name == name


def test_types_ranges_and_shapes():
    mixture = describe("GaussianMixture", []).arguments
    assert mixture["means"].hint == Numbers(shape="k dim")
    assert describe("Linear", []).arguments["duration"].hint == Numbers(((">", 0.0),), "")
    weights = mixture["weights"].hint
    assert isinstance(weights, Union) and weights.options[0] == Numbers(shape=" k")
    assert describe("Table", []).arguments["file"].hint == Scalar(kind="path")


def test_registered_studies_are_studies():
    for name in KINDS.get("study", {}):
        assert issubclass(find(name, []), AbstractStudy)
