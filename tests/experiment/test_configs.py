"""From YAML to objects, and the sentence that answers each mistake on the way."""

import time

import pytest

from thermojax.experiment.config.build import build
from thermojax.experiment.config.read import read_config
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

class Open(tj.AbstractPotential):
    width: float = 1.0

class Late(tj.AbstractPotential):
    size: float

    def __check_init__(self):
        if self.size < 0:
            raise ValueError(f"size = {self.size}: expected a positive size")

    def energy(self, x, control):
        return self.size

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
    config = read_config(file, list(overrides))
    return build(config, object)


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
    extra = ["size=1e-2", "inner.steps=1e3", "bath.friction=${size}", "mode=b", "seeds=[1,0]"]
    extra += ["seeds.1=2", "potential={kind: Gaussian, mean: [0]}", "potential.mean[0]=3"]
    thing = made(folder, overrides=extra)
    assert thing.size == 0.01 and thing.inner.steps == 1000 and float(thing.bath.friction) > 0.009
    assert thing.mode == "b" and thing.seeds == [1, 2]
    assert thing.potential.mean.tolist() == [3]


def test_nested_kind_and_optional(folder):
    text = GOOD + "potential:\n  kind: Gaussian\n  mean: [0, 1]\nfile: my_parts.py\n"
    thing = made(folder, text)
    assert thing.potential.mean.shape == (2,)
    assert thing.file.exists()


PAIR = """
import jax.numpy as jnp
import thermojax as tj

class Pair(tj.AbstractPotential):
    def energy(self, x, control):
        return 0.5 * jnp.sum(x**2) + 0.5 * control * jnp.sum((x[0] - x[1]) ** 2)
"""


def test_positions_of_particles(folder):
    """Nested lists, as (particles, dim); what is no position is said in words."""
    (folder / "my_parts.py").write_text(PAIR)
    text = (
        "kind: Driven\npotential: {kind: my_parts:Pair}\n"
        "protocol: {kind: PiecewiseLinear.between, initial: 0, final: 2, duration: 1, knots: 3}\n"
        "bath: {kind: Bath}\ndt: 0.05\nposition: [[0.0, 0.0], [1, 0.0]]\n"
    )
    study = made(folder, text)
    assert study.initial.template.shape == (2, 2)
    assert float(study.system.potential.energy(study.initial.template, 2.0)) == 1.5
    for value, said in (
        ("0.5", "position = 0.5: expected a list of coordinates, as in [0.0]"),
        ("[[0], [1, 2]]", "position = [[0], [1, 2]]: expected lists of one length"),
        ("x", "position = 'x': expected a number or a list of numbers"),
    ):
        assert said in refusal(folder, text, [f"position={value}"])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["bath.temprature=1"],
            "unknown key 'bath.temprature': Bath takes temperature, ",
        ),
        (["bath.temprature=1"], "did you mean 'temperature'?"),
        (["bath.temperature=-1"], "bath.temperature = -1: expected a positive number, or a list"),
        (["bath.temperature=warm"], "'warm': expected a positive number, or a list"),
        (["bath.kind=Bth"], "did you mean 'Bath'?"),
        (["bath.kind=Linear"], "bath.kind = Linear: expected a Bath"),
        (["bath=3"], "bath = 3: expected a Bath"),
        (["bath={kind: experiments.two_pictures:logistic_ramp}"], "logistic_ramp: expected a Bath"),
        (["potential={kind: PiecewiseLinear.between}"], "between: expected an AbstractPotential"),
        (["seeds=[0,1]", "seeds.1=x"], "override seeds.1=x: seeds = [0, 'x']: expected a list"),
        (["inner.steps=2.5"], "inner.steps = 2.5: expected a whole number"),
        (["inner.steps=true"], "inner.steps = True: expected a whole number"),
        (["size=[1]"], "size = [1]: expected a number"),
        (["size=-2"], "size = -2.0: expected a positive size"),
        (["mode=c"], "mode = 'c': expected one of 'a', 'b'"),
        (["seeds=[1,x]"], "seeds = [1, 'x']: expected a list, each a whole number"),
        (["potential.kind=Bath"], "expected an AbstractPotential, such as Harmonic, Gaussian, "),
        (["kind=nowhere.at_all:Thing"], "there is no module 'nowhere'"),
        (["kind=my_parts:Thin"], "did you mean 'Thing'?"),
        (["kind=my_parts"], "no registered kind"),
        (["size"], "override size: expected key=value"),
        (["size.x=1"], "override size.x=1: size = {'x': 1}: expected a number"),
        (["size=a: b: c"], "no YAML"),
        (["size=" + "[" * 100_000], "nested more than 50 levels"),
        (
            ["size=${nothing}"],
            "size: ${nothing}: there is no setting 'nothing'",
        ),
        (["kind=my_parts:Thing.make"], "no 'Thing.make'"),
        (["kind=my parts:Thing"], "no registered kind"),
        (["bath.friction=[1,[2]]"], "expected lists of one length"),
        (["bath.friction=[1,0]"], "bath.friction = [1, 0]: expected a positive number, or a list"),
        (["bath.mass=.nan"], "expected a positive number"),
        (["bath.mass=null"], "expected a positive number"),
        (["bath={kind: Linear, start: 0, end: 1, duration: 1}"], "expected a Bath"),
        (["bath.friction.3=1"], "bath.friction is a list of 2: expected bath.friction.0 to "),
        (["bath.friction.x=1"], "or bath.friction=[...] for a new list"),
        (["potential={kind: my_parts:Open}"], "defines energy"),
        (["potential={kind: my_parts:Late, size: -3}"], "override potential={kind: my_parts:Late"),
        (["defaults=x.yaml"], "write defaults into the config file"),
        (
            ["potential={kind: Gaussian, mean: [[0]]}"],
            "expected a list of numbers, of shape (dim,)",
        ),
        (
            ["potential={kind: GaussianMixture, means: [[0], [1]], weights: [1, 1, 1]}"],
            "potential.weights has shape (3,): expected (2,)",
        ),
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
        ("a: 1\n---\nb: 2\n", "line 2: a second document begins"),
        ("a: b: c\n", "line 1: a second ': ' in one line"),
        ("a: !thing 3\n", "line 1: '!thing' is an unknown tag"),
        ("a: *b\n", "line 1: found undefined alias"),
        ("a: &b [*b]\n", "line 1: nested more than 50 levels"),
        ("a: &b {c: *b}\n", "line 1: nested more than 50 levels"),
        ("a: " + "[" * 900_000, "line 1: nested more than 50 levels"),
        ("a: " * 20_000, "line 1"),
        ("1: 2\nkind: my_parts:Thing\n", "the key 1 is no text"),
        ("a: !!python/object/apply:os.system [true]\n", "line 1: a tag that builds a Python"),
    ],
)
def test_bad_yaml(folder, text, said):
    assert said in refusal(folder, text)


def test_missing_config(tmp_path):
    with pytest.raises(UserError, match="no such config file"):
        read_config(tmp_path / "c.yaml")


def test_python_objects_are_not_built(folder):
    text = f"a: !!python/object/apply:pathlib.Path.touch [{folder / 'made'}]\n"
    assert "line 1" in refusal(folder, text)
    text = f"a: !!python/object/new:os.system ['touch {folder / 'made'}']\n"
    assert "line 1" in refusal(folder, text)
    assert not (folder / "made").exists()


def test_large_files_are_answered_at_once(folder):
    started = time.process_time()
    assert "larger than 1 MB" in refusal(folder, "a: [" + "1, " * 3_500_000 + "1]\n")
    doubled = "".join(f"a{i}: &a{i} [{f'*a{i - 1}, ' * 9}1]\n" for i in range(1, 12))
    assert "more than 10,000 values" in refusal(folder, "a0: &a0 1\n" + doubled)
    assert "more than 10,000 values" in refusal(folder, "a:\n" + "- 1\n" * 50_000)
    assert time.process_time() - started < 5  # not minutes


def test_import_that_fails(folder):
    (folder / "my_broken.py").write_text("import math\nmath.nothing\nclass Thing: pass\n")
    message = refusal(folder, "kind: my_broken:Thing\n")
    assert "AttributeError" in message and "my_broken.py, line 2" in message
    (folder / "my_broken2.py").write_text("class Thing:\n  def\n")
    message = refusal(folder, "kind: my_broken2:Thing\n")
    assert "my_broken2.py, line 2: this is no Python" in message
    (folder / "my_broken3.py").write_text("import not_there_at_all\nclass Thing: pass\n")
    message = refusal(folder, "kind: my_broken3:Thing\n")
    assert "needs the module 'not_there_at_all'" in message and "my_broken3.py, line 1" in message


def test_the_users_own_lines_are_shown(folder):
    (folder / "my_broken4.py").write_text(
        "def Thing():\n    return helper()\n\ndef helper():\n    return 1 / 0\n"
    )
    with pytest.raises(UserError, match="ZeroDivisionError: division by zero") as error:
        made(folder, "kind: my_broken4:Thing\n")
    assert error.value.detail.splitlines() == [
        f'  File "{folder}/my_broken4.py", line 2, in Thing',
        "    return helper()",
        f'  File "{folder}/my_broken4.py", line 5, in helper',
        "    return 1 / 0",
    ]


def test_what_the_source_does_not_tell_is_asked_of_the_class(folder):
    (folder / "my_made.py").write_text(
        "import collections\n"
        "Pair = collections.namedtuple('Pair', 'first second', defaults=[3])\n"
        "class Derived(Pair): pass\n"
    )
    assert made(folder, "kind: my_made:Pair\nfirst: 2\n") == (2, 3)
    assert "did you mean 'second'?" in refusal(folder, "kind: my_made:Derived\nsecnd: 2\n")
    assert "needs it" in refusal(folder, "kind: my_made:Pair\n")


def test_defaults(folder):
    (folder / "lib").mkdir()
    (folder / "lib" / "base é.yaml").write_text("defaults: root.yaml\nsize: 3\n")
    (folder / "lib" / "root.yaml").write_text(GOOD + "potential: {kind: Gaussian, mean: [1]}\n")
    text = "defaults: lib/base é.yaml\ninner: {rate: 1}\npotential: {kind: DoubleWell}\n"
    thing = made(folder, text)
    assert thing.size == 3 and thing.inner.steps == 3 and thing.inner.rate == 1
    assert type(thing.potential).__name__ == "DoubleWell"
    assert "base é.yaml, line 2: " not in refusal(folder, text, ["size=x"])
    assert "c.yaml, line 2: inner.rate = 'x'" in refusal(folder, text.replace("rate: 1", "rate: x"))
    (folder / "lib" / "base é.yaml").write_text("defaults: [root.yaml]\nsize: x\n")
    assert f"{folder}/lib/base é.yaml, line 2: size = 'x'" in refusal(folder, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("defaults: c.yaml\n", "line 1: defaults = c.yaml: these files include each other"),
        ("a: 1\ndefaults: d.yaml\n", "d.yaml, line 1: defaults = c.yaml: these files include each"),
        ("defaults: none.yaml\n", "line 1: defaults = none.yaml: there is no file"),
        ("defaults: 3\n", "line 1: defaults = 3: expected the name of a YAML file"),
    ],
)
def test_bad_defaults(folder, text, said):
    (folder / "d.yaml").write_text("defaults: [c.yaml]\n")
    assert said in refusal(folder, text)
