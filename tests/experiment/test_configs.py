"""From YAML to objects, and the sentence that answers each mistake on the way."""

import pytest

from thermojax.experiment.build import build
from thermojax.experiment.config import read_config
from thermojax.experiment.errors import UserError

STUDY = """
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
import thermojax as tj

@dataclass(frozen=True)
class Inner:
    steps: int
    rate: float = 0.5

class Thing:
    def __init__(self, bath: tj.Bath, inner: Inner, size: float, mode: Literal["a", "b"] = "a",
                 potential: tj.AbstractPotential | None = None, file: Path | None = None,
                 seeds: list[int] | None = None):
        if size <= 0:
            raise ValueError(f"size = {size}: expected a positive size")
        self.__dict__.update(locals())
"""
GOOD = """\
kind: my_parts:Thing
bath: {kind: Bath, friction: [1.0, 2.0]}
inner:
  steps: 3
size: 2
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    import sys

    (tmp_path / "my_parts.py").write_text(STUDY)
    yield tmp_path
    sys.modules.pop("my_parts", None)
    sys.path[:] = [p for p in sys.path if str(tmp_path) not in p]


def made(folder, text=GOOD, overrides=()):
    file = folder / "c.yaml"
    file.write_text(text)
    return build(read_config(file, list(overrides)))


def refusal(folder, text=GOOD, overrides=()):
    with pytest.raises(UserError) as error:
        made(folder, text, overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_builds(folder):
    thing = made(folder)
    assert thing.bath.friction.shape == (2,) and float(thing.bath.mass) == 1
    assert thing.inner.steps == 3 and thing.inner.rate == 0.5
    assert isinstance(thing.size, float) and thing.potential is None


def test_overrides(folder):
    extra = ["size=1e-2", "inner.steps=1e3", "bath.friction=${size}", "mode=b", "seeds=[1,2]"]
    thing = made(folder, overrides=extra)
    assert thing.size == 0.01 and thing.inner.steps == 1000 and float(thing.bath.friction) > 0.009
    assert thing.mode == "b" and thing.seeds == [1, 2]


def test_nested_kind_and_optional(folder):
    text = GOOD + "potential:\n  kind: Gaussian\n  mean: [0, 1]\nfile: my_parts.py\n"
    thing = made(folder, text)
    assert thing.potential.mean.shape == (2,)
    assert thing.file.exists()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["bath.temprature=1"],
            "unknown key 'bath.temprature': Bath takes temperature, ",
        ),
        (["bath.temprature=1"], "did you mean 'temperature'?"),
        (["bath.temperature=-1"], "bath.temperature = -1.0: expected positive and finite"),
        (["bath.temperature=warm"], "expected a number or a list of numbers"),
        (["bath.kind=Bth"], "did you mean 'Bath'?"),
        (["bath.kind=Linear"], "unknown key 'bath.friction': Linear takes start, end, duration"),
        (["bath=3"], "bath = 3: expected a Bath"),
        (["inner.steps=2.5"], "inner.steps = 2.5: expected a whole number"),
        (["inner.steps=true"], "inner.steps = True: expected a whole number"),
        (["size=[1]"], "size = [1]: expected a number"),
        (["size=-2"], "size = -2.0: expected a positive size"),
        (["mode=c"], "mode = 'c': expected one of 'a', 'b'"),
        (["seeds=[1,x]"], "seeds = [1, 'x']: expected a whole number"),
        (["potential.kind=Bath"], "expected a AbstractPotential"),
        (["kind=nowhere.at_all:Thing"], "there is no module 'nowhere'"),
        (["kind=my_parts:Thin"], "did you mean 'Thing'?"),
        (["kind=my_parts"], "no registered kind"),
        (["size"], "expected an override key=value"),
        (["size.x=1"], "command line: size = {'x': 1}: expected a number"),
        (["size=a: b: c"], "no YAML"),
        (["size=${nothing}"], "nothing"),
    ],
)
def test_refusals(folder, overrides, said):
    assert said in refusal(folder, overrides=overrides)


def test_places(folder):
    text = GOOD.replace("steps: 3", "stps: 3")
    message = refusal(folder, text)
    assert "c.yaml, line 4: unknown key 'inner.stps'" in message and "'steps'" in message
    message = refusal(folder, GOOD.replace("  steps: 3", "  rate: 3"))
    assert "c.yaml, line 3: missing key 'inner.steps': Inner needs it (a whole number)" in message
    message = refusal(folder, GOOD.replace("size: 2", "size: -2"))
    assert "c.yaml, line 5: size = -2.0" in message
    assert "missing key 'kind'" in refusal(folder, "size: 2\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a mapping"),
        ("- 1\n- 2\n", "expected a mapping"),
        ("a: 1\n\tb: 2\n", "line 2: a tab character"),
        ("a: 1\na: 2\n", "line 2: found duplicate key a"),
        ("a: [1\n", "line 2"),
        ("a: !!python/object/apply:os.system [true]\n", "line 1: a tag that builds a Python"),
    ],
)
def test_bad_yaml(folder, text, said):
    assert said in refusal(folder, text)


def test_missing_config(tmp_path):
    with pytest.raises(UserError, match="no such config file"):
        read_config(tmp_path / "c.yaml")


def test_import_that_fails(folder):
    (folder / "my_broken.py").write_text("import math\nmath.nothing\n")
    message = refusal(folder, "kind: my_broken:Thing\n")
    assert "AttributeError" in message and "my_broken.py, line 2" in message
