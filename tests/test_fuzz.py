"""What a caller gets wrong is answered in words of our own, which name the argument.

Every public function and constructor is called with one argument at a time replaced by something
else. Three answers are right: a result; a ValueError or TypeError raised by thermojax itself, with
the name of the argument; and, for what can mean nothing here (a string for a number, NaN for a
duration), the error alone.

By default every eighth of these calls is made, and nothing is compiled: a call ends where it would
begin to compute, which is when all of its checks should be done. The long versions make every call,
and some of them with what they compute.
"""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOptionalMemberAccess=false

from __future__ import annotations

import functools
import inspect
import math
import re
import sys
import traceback
import warnings
import zlib
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numbers

import thermojax as tj
from tests.fuzz_calls import CALLS, NOT_CALLED

HOUSE = str(Path(tj.__file__).parent)


class Some:
    """A class, and an object, that nobody knows."""


def nothing(*args):
    return None


TEXT = {"a string": "text", "strings": ["a", "b"], "bytes": b"x"}
OBJECTS = {"an object": Some(), "a class": Some, "a module": math, "a set": {1.0, 2.0}}
FUNCTION = {"a function": nothing}
NONE = {"None": None}
DICT = {"a dict": {"a": 1.0}}
NOT_REAL = {
    "complex": 1j,
    "complex array": np.ones(2, complex),
    "a boolean array": np.ones(2, bool),
}
NAN = {"nan": math.nan, "nan array": np.array([math.nan, 1.0]), "nan of jax": jnp.array(math.nan)}
NUMBERS = {
    "inf": math.inf,
    "-inf": -math.inf,
    "negative": -1.0,
    "zero": 0.0,
    "huge": 1e300,
    "tiny": 1e-300,
    "whole": 3,
    "a huge whole": 10**30,
    "half": 0.5,
    "float32 of numpy": np.float32(0.5),
    "int64 of numpy": np.int64(3),
    "float16": np.float16(0.5),
    "float16 array": jnp.ones(2, jnp.float16),
    "an array of one": np.ones(1),
    "an array without axes": np.array(0.5),
    "an array of whole numbers": np.arange(3),
    "a matrix": np.ones((2, 2)),
    "three axes": np.ones((2, 3, 4)),
    "empty": np.zeros(0),
    "empty matrix": np.zeros((0, 2)),
    "an empty list": [],
    "a ragged list": [[1.0], [1.0, 2.0]],
    "a list": [0.0, 1.0],
}
KEYS = {
    "a key": jax.random.key(1),
    "two keys": jax.random.split(jax.random.key(1)),
    "a raw key": jax.random.PRNGKey(0),
}
PARTS = {
    "a potential": tj.DoubleWell(),
    "a protocol": tj.Constant(),
    "a bath": tj.Bath(),
    "an integrator": tj.OBABO(),
}
EVERYTHING = TEXT | OBJECTS | FUNCTION | NONE | DICT | NOT_REAL | NAN | NUMBERS | KEYS | PARTS
EVERYTHING |= {"True": True, "traced": "traced"}

REAL_KEYS = {name: key for name, key in KEYS.items() if name != "a raw key"}
SENSELESS = TEXT | OBJECTS | FUNCTION | DICT | REAL_KEYS
# What can mean nothing for an argument of each kind, beside None where that is not its default.
WRONG = {
    "number": SENSELESS | NOT_REAL | NAN | {"a ragged list": 0},
    "whole": SENSELESS
    | NOT_REAL
    | NAN
    | {"half": 0, "inf": 0, "True": 0, "empty": 0, "negative": 0},
    "flag": SENSELESS | NOT_REAL | NAN | {"half": 0, "whole": 0, "empty": 0},
    "choice": {name: 0 for name in SENSELESS if name != "a string"}
    | TEXT
    | NAN
    | {"half": 0, "whole": 0},
    "key": TEXT
    | OBJECTS
    | FUNCTION
    | DICT
    | NOT_REAL
    | NAN
    | {"half": 0, "whole": 0, "two keys": 0, "a raw key": 0},
    "part": TEXT | OBJECTS | FUNCTION | DICT | KEYS | NOT_REAL | NAN | NUMBERS,
    "parts": TEXT | OBJECTS | FUNCTION | DICT | KEYS | NOT_REAL | NAN | NUMBERS,
    "optimizer": TEXT | OBJECTS | FUNCTION | DICT | KEYS | NOT_REAL | NAN | NUMBERS,
    "function": TEXT | DICT | NOT_REAL | NAN | NUMBERS | KEYS | {"an object": 0},
    "optional": TEXT | DICT | NOT_REAL | NAN | NUMBERS | KEYS | {"an object": 0},
    "tree": TEXT
    | OBJECTS
    | FUNCTION
    | REAL_KEYS
    | NOT_REAL
    | {"a ragged list": 0, "an empty list": 0, "empty": 0},
    "law": {"a string": 0, "strings": 0, "an object": 0, "a class": 0, "complex": 0},
    "run": SENSELESS | NOT_REAL | {"a ragged list": 0, "empty": 0},
    "path": {"an object": 0, "a class": 0, "None": 0, "half": 0, "a dict": 0, "nan": 0},
    "facts": {"a string": 0, "half": 0, "an object": 0},
    "free": {},  # what `tj.check` reports, what the engine fills in
    "any": {"an object": 0, "a class": 0, "a string": 0, "complex": 0},
}


def kind_of(call, name: str) -> str:
    """What an argument is, by its valid value or its default."""
    if name in call.kinds:
        return call.kinds[name]
    default = inspect.signature(call.function).parameters[name].default
    value = call.valid.get(name, default)
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, int):
        return "whole"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "choice"
    if hasattr(value, "dtype"):
        return "key" if jnp.issubdtype(value.dtype, jax.dtypes.prng_key) else "number"
    if isinstance(value, eqx.Module):
        return "part"
    return "function" if callable(value) else "any"


def must_refuse(call, name: str, mutant: str) -> bool:
    """Whether a result would be a wrong answer."""
    parameter = inspect.signature(call.function).parameters[name]
    if kind_of(call, name) == "free":
        return False
    if mutant == "None":
        return parameter.default is not None and kind_of(call, name) != "optional"
    if mutant in NAN and name in call.nan:
        return False
    return mutant in WRONG[kind_of(call, name)]


COMPUTING = {("thermojax.checking", "Case")}  # what compiles in other ways


class Computes(Exception):
    """The call is about to compute: it has passed its checks."""


def stop(*args, **kwargs):
    raise Computes


@pytest.fixture
def without_computing(monkeypatch):
    """Every compiled function of thermojax ends the call instead."""
    for name in CALLS:  # some of which take a run
        the_call(name)
    compiled = type(jax.jit(nothing)), type(eqx.filter_jit(nothing))
    for file, module in list(sys.modules.items()):
        if file.startswith("thermojax"):
            for name, value in list(vars(module).items()):
                if isinstance(value, compiled) or (file, name) in COMPUTING:
                    monkeypatch.setattr(module, name, stop)


def answer(call, name: str, value, strict: bool) -> str | None:
    """What is wrong with the answer to a call with one argument replaced, or None."""
    given = dict(call.valid)
    traced = isinstance(value, str) and value == "traced"
    if not traced:
        given[name] = value

    def ask(traced_value=None):
        named = dict(given) if not traced else given | {name: traced_value}
        first = [named.pop(p) for p in positional_only(call.function) if p in named]
        return call.function(*first, **named)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if traced:
                jax.eval_shape(lambda v: (ask(v), 0)[1], jnp.ones(()))
            else:
                ask()
    except Computes:
        return "computed" if strict else None
    except Exception as error:
        return problem_of(error, f"{name}|{call.says[name]}" if name in call.says else name)
    return "returned" if strict else None


def problem_of(error: Exception, names: str) -> str | None:
    """What is wrong with an error that should be our own and name one of the arguments."""
    text, frame = str(error), traceback.extract_tb(error.__traceback__)[-1]
    where = f"{frame.filename.split('site-packages')[-1]}:{frame.lineno}: {text[:150]!r}"
    own = type(error).__module__.startswith("thermojax")
    known = own or isinstance(error, ValueError | TypeError)
    if not known or not frame.filename.startswith(HOUSE):
        return f"{type(error).__name__} of {where}"
    if not re.search(rf"(?<![a-z])({names})(?![a-z])", text):
        return f"does not name {names}: {text[:150]!r}"
    return None


@functools.cache
def the_call(name: str):
    return CALLS[name]()


def positional_only(function) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]


def arguments_of(call) -> list[str]:
    parameters = inspect.signature(call.function).parameters.values()
    return [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]


def faults(name: str, one_in: int = 1) -> list[str]:
    """What is wrong with the answers of one call; of every so many of its mutants, each its own."""
    call = the_call(name)
    found = []
    for argument in arguments_of(call):
        for mutant, value in EVERYTHING.items():
            if zlib.crc32(f"{name} {argument} {mutant}".encode()) % one_in:
                continue
            problem = answer(call, argument, value, must_refuse(call, argument, mutant))
            if problem is not None:
                found.append(f"{name}({argument} = {mutant}) {problem}")
    return found


def heard(found: list[str]) -> str:
    return f"{len(found)} answers are none:\n" + "\n".join(found)


# Training and runs take a compilation for each argument: half a minute.
LONG = {"optimize", "frontier", "pareto", "tune", "check", "simulate", "simulate in steps"}


@pytest.mark.slow
def test_what_is_wrong_is_named_by_what_computes():
    found = [fault for name in sorted(set(CALLS) - LONG) for fault in faults(name, one_in=32)]
    assert not found, heard(found)


def test_what_is_wrong_is_named(without_computing):
    found = [fault for name in CALLS for fault in faults(name, one_in=8)]
    assert not found, heard(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_everything_that_is_wrong_is_named(name, without_computing):
    found = faults(name)
    assert not found, heard(found)


SHAPES = numbers.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
DTYPES = st.sampled_from([np.float64, np.float32, np.float16, np.int64, np.int8, bool, complex])
ANYTHING = st.one_of(
    st.sampled_from(list(EVERYTHING.values())),
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.complex_numbers(),
    st.text(max_size=5),
    st.booleans(),
    DTYPES.flatmap(lambda dtype: numbers.arrays(dtype, SHAPES)),
    st.lists(st.floats() | st.integers() | st.text(max_size=2), max_size=3),
    st.dictionaries(st.text(max_size=2), st.floats() | st.none(), max_size=2),
)


@pytest.mark.slow
@settings(
    max_examples=1000,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_anything_at_all_is_answered(without_computing, data):
    asked = [name for name in sorted(CALLS) if arguments_of(the_call(name))]
    name = data.draw(st.sampled_from(asked))  # some take no argument
    argument = data.draw(st.sampled_from(arguments_of(the_call(name))))
    problem = answer(the_call(name), argument, data.draw(ANYTHING), strict=False)
    assert problem is None, f"{name}({argument}) {problem}"


def public_callables() -> set[str]:
    """Every public name that can be called, those of the namespaces with a dot."""
    found = set()
    stub = Path(tj.__file__).with_suffix(".pyi").read_text()
    for name in re.findall(r" as (\w+)$", stub, re.MULTILINE):
        value = getattr(tj, name)
        if inspect.ismodule(value):
            own = {n: v for n, v in vars(value).items() if not n.startswith("_") and callable(v)}
            listed = (
                re.findall(r" as (\w+)$", Path(value.__file__).read_text(), re.MULTILINE)
                if value.__file__.endswith("__init__.py")
                else [n for n, v in own.items() if documented(value, v)]
            )
            found |= {f"{name}.{inner}" for inner in listed if callable(getattr(value, inner))}
        elif callable(value):
            found.add(name)
    return found


def documented(module, value) -> bool:
    """Whether a name of a module is for users: a class, or a function that tells its arguments."""
    text = inspect.getdoc(value) or ""
    own = getattr(value, "__module__", None) == module.__name__
    return own and (isinstance(value, type) or "**Arguments:**" in text)


def test_every_public_callable_is_called():
    excused = {name for names in NOT_CALLED.values() for name in names}
    called = {name.split(".between")[0].split(" ")[0] for name in CALLS}
    assert public_callables() - called - excused == set()
    assert excused - public_callables() == set()
    for name in called - public_callables():
        assert callable(functools.reduce(getattr, name.split("."), tj)), name
