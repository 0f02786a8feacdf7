"""Results, trainings, systems and chains in files: `tj.save` writes one, `tj.load` reads it back.

A file says what a thing is made of: classes and functions by their names, arrays by their bits.
Reading it calls none of them and imports nothing but this package and those that it stands on: a
class of one's own must have been imported, or defined, before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import hashlib
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ._component import shown
from ._files import write_whole
from .checkpoint import FORMAT as CHECKPOINT
from .checkpoint import as_bytes, is_key, unpacked
from .version import __version__

KIND, VERSION = b"thermojax object", b" 1"
KNOWN = ("thermojax", "jax", "jaxlib", "equinox", "optax", "diffrax", "lineax", "numpy")
WIDE = ("float64", "int64", "uint64", "complex128")  # what JAX cuts in half without x64


def save(file: str | Path, thing: Any) -> None:
    """Write a result, a fit, a system, a chain or any tree of them to a file, for `tj.load`.

    Everything comes back as it was, to the last bit: arrays of JAX and of NumPy with their dtypes,
    typed keys, numbers, texts, settings; and functions and classes of one's own by their names.

    **Arguments:** `file`, a path, written whole or not at all; its folder is made. `thing`: modules
    of this package or of one's own (`eqx.Module`, dataclasses, named tuples), lists, tuples and
    dicts of them.

    **Raises:** ValueError for what no name leads back to (a lambda, a class inside of a function),
    for arrays that are being traced, and for an existing file that is none of these.
    """
    if not isinstance(file, str | Path):
        raise ValueError(f"file = {shown(file)}: expected a path; tj.save(file, thing)")
    file = Path(os.path.expanduser(file))
    if file.is_dir() or (file.exists() and file.stat().st_size and not is_saved(file)):
        raise ValueError(f"file = {file}: is there and was not written by tj.save: take another")
    arrays: dict[str, Any] = {}
    structure = json.dumps(Writer(arrays).encode(thing, "thing"))
    facts = {"structure": structure, "thermojax": __version__}
    content = as_bytes(arrays, facts, KIND + VERSION)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, lambda path: path.write_bytes(content))


def is_saved(file: Path) -> bool:
    """Whether a file is, or was once, one that `save` has written."""
    with open(file, "rb") as stream:
        head = stream.read(len(KIND))
    return head == KIND or (head != b"" and KIND.startswith(head))


def restore(file: Path) -> Any:
    """The thing that `save` has written to a file.

    **Raises:** ValueError for a file that is damaged or of another version, and where a class or a
    function that it names is not there, or is another by now.
    """
    name, _, rest = file.read_bytes().partition(b"\n")
    other = name.removeprefix(KIND)
    if other != VERSION and name.startswith(KIND) and other.strip().isdigit():
        raise ValueError(
            f"{file}: was written in the format{other.decode()} of "
            f"another thermojax, and this is {__version__}: load it with that one"
        )
    digest, _, body = rest.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise ValueError(f"{file}: is truncated or damaged and cannot be read: save it again")
    arrays, facts = unpacked(body)
    return Reader(file, arrays, facts["thermojax"]).decode(json.loads(facts["structure"]))


def is_checkpoint(file: Path) -> bool:
    with open(file, "rb") as stream:
        return stream.read(len(CHECKPOINT)) == CHECKPOINT


class Writer:
    """Encodes things in the types of JSON; arrays go to `arrays`, by their number."""

    def __init__(self, arrays: dict[str, Any]):
        self.arrays = arrays

    def encode(self, value: Any, place: str) -> Any:
        """A value in the types of JSON; `place` says in messages where it stands."""
        if type(value) in (type(None), bool, int, float, str):
            return value
        if isinstance(value, jax.Array | np.ndarray | np.generic):
            return self.array(value, place)
        several = lambda values: [self.encode(x, f"{place}[{i}]") for i, x in enumerate(values)]
        if isinstance(value, list | tuple) and type(value) in (list, tuple):
            return [type(value).__name__, several(value)]
        if type(value) is dict:
            keys = [self.encode(key, f"a key of {place}") for key in value]
            items = [self.encode(x, f"{place}[{key!r}]") for key, x in value.items()]
            return ["dict", keys, items]
        if isinstance(value, enum.Enum):
            return ["enum", self.name(type(value), place), value.name]
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return ["named tuple", self.name(type(value), place), several(value)]
        if isinstance(value, functools.partial):
            kind = "jax partial" if isinstance(value, jax.tree_util.Partial) else "partial"
            fields = (value.func, value.args, dict(value.keywords))
            return [kind, *(self.encode(x, f"{place}.{i}") for i, x in enumerate(fields))]
        if isinstance(value, jax.ShapeDtypeStruct):
            return ["shape", list(value.shape), str(value.dtype)]
        if isinstance(value, np.dtype):
            return ["dtype", str(value)]
        if isinstance(value, complex):
            return ["complex", value.real, value.imag]
        owner: Any = getattr(value, "__self__", None)
        function: Any = getattr(value, "__func__", None)
        if isinstance(owner, eqx.Module) and function is not None:  # a method of a module
            return ["method", self.encode(owner, place), function.__name__]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [field.name for field in dataclasses.fields(value)]
            fields = {n: self.encode(getattr(value, n), f"{place}.{n}") for n in names}
            return ["object", self.name(type(value), place), fields]
        if callable(value):
            return ["name", self.name(value, place)]
        raise ValueError(
            f"{place} is a {type(value).__name__}: expected arrays, numbers, texts, modules, and "
            "lists, tuples and dicts of them; leave it out"
        )

    def array(self, value: Any, place: str) -> list:
        if isinstance(value, Tracer):
            raise ValueError(f"{place} is being traced: call tj.save outside of jit, vmap and grad")
        if isinstance(value, jax.Array) and value.is_deleted():
            raise ValueError(f"{place} was donated and is gone: save it before it is")
        if isinstance(value, jax.Array) and not value.is_fully_addressable:
            raise ValueError(f"{place} lies on several hosts: gather it before tj.save")
        if not is_key(value) and (value.dtype.names or value.dtype.hasobject):
            raise ValueError(f"{place} has dtype {value.dtype}: expected numbers or texts")
        number = str(len(self.arrays))
        self.arrays[number] = value
        kind = "jax" if isinstance(value, jax.Array) else "numpy"
        kind = "number" if isinstance(value, np.generic) else kind
        weak = isinstance(value, jax.Array) and not is_key(value) and value.aval.weak_type  # pyright: ignore[reportAttributeAccessIssue]
        return ["array", number, kind, *(["weak"] if weak else [])]

    def name(self, value: Any, place: str) -> str:
        """`module:name` of a class or a function, which must lead back to it."""
        module = getattr(value, "__module__", None) or ""
        name = getattr(value, "__qualname__", "")
        what = "class" if isinstance(value, type) else "function"
        if module.partition(".")[0] in sys.stdlib_module_names:
            raise ValueError(
                f"{place} is {module}.{name}, of Python's library: expected a {what} of your own, "
                "or of JAX"
            )
        for home in (module, "jax.numpy"):  # what has another name than it says, or says none
            if home in sys.modules and (not name or named_in_module(module, name) is not value):
                others = (n for n, x in vars(sys.modules[home]).items() if x is value)
                module, name = home, next(others, name)
        if not name or named_in_module(module, name) is not value:
            raise ValueError(
                f"{place} is the {what} {name or shown(value)} that no name leads back to: "
                "define it at the top of a module, not inside of a function or a call"
            )
        return f"{module}:{name}"


def named_in_module(module: str, name: str) -> Any:
    """The thing that a module, where it is imported, has under a name; else None."""
    thing = sys.modules.get(module)
    for attribute in name.split("."):
        thing = getattr(thing, attribute, None)
    return thing


class Reader:
    """Makes the things again that a `Writer` has encoded."""

    def __init__(self, file: Path, arrays: dict[str, Any], version: str):
        self.file, self.arrays, self.version = file, arrays, version

    def decode(self, data: Any) -> Any:
        if not isinstance(data, list):
            return data
        kind, *rest = data
        if kind in ("list", "tuple"):
            values = [self.decode(x) for x in rest[0]]
            return values if kind == "list" else tuple(values)
        if kind == "dict":
            return dict(zip(map(self.decode, rest[0]), map(self.decode, rest[1]), strict=True))
        if kind == "array":
            return self.array(*rest)
        if kind == "object":
            return self.object(self.named(rest[0], dataclasses.is_dataclass), rest[1])
        if kind == "named tuple":
            cls = self.named(rest[0], lambda c: issubclass(c, tuple) and hasattr(c, "_fields"))
            self.require_fields(cls, len(rest[1]) == len(cls._fields))
            return tuple.__new__(cls, [self.decode(x) for x in rest[1]])
        if kind == "enum":
            members = self.named(rest[0], lambda c: issubclass(c, enum.Enum)).__members__
            self.require_fields(rest[0], rest[1] in members)
            return members[rest[1]]
        if kind in ("partial", "jax partial"):
            function, args, keywords = (self.decode(x) for x in rest)
            make = functools.partial if kind == "partial" else jax.tree_util.Partial
            return make(function, *args, **keywords)
        if kind == "method":
            owner, name = self.decode(rest[0]), rest[1]
            self.require_fields(type(owner), callable(getattr(type(owner), name, None)))
            return getattr(owner, name)
        if kind == "name":
            return self.named(rest[0], None)
        if kind == "shape":
            return jax.ShapeDtypeStruct(tuple(rest[0]), jnp.dtype(rest[1]))
        return jnp.dtype(rest[0]) if kind == "dtype" else complex(*rest)

    def array(self, number: str, kind: str, *weak: str) -> Any:
        value = self.arrays[number]
        if kind == "numpy":
            return value
        if kind == "number":
            return np.str_(value) if isinstance(value, str) else value[()]
        if is_key(value):
            return value
        if str(value.dtype) in WIDE and not jax.config.read("jax_enable_x64"):
            raise ValueError(
                f"{self.file}: holds {value.dtype}, which JAX would cut in half here: call "
                'jax.config.update("jax_enable_x64", True) before anything else'
            )
        if weak and value.shape == () and (one := jnp.asarray(value.item())).dtype == value.dtype:
            return one
        return jnp.asarray(value)

    def object(self, cls: type, data: dict[str, Any]) -> Any:
        """An instance with the fields as they were saved: no constructor is called."""
        thing = object.__new__(cls)
        self.require_fields(cls, {f.name for f in dataclasses.fields(cls)} == data.keys())
        for name, value in data.items():
            object.__setattr__(thing, name, self.decode(value))
        return thing

    def require_fields(self, cls: Any, same: bool) -> None:
        if not same:
            raise ValueError(
                f"{self.file}: {getattr(cls, '__qualname__', cls)} has other fields than when it "
                f"was saved, by thermojax {self.version} (this is {__version__}): load it with the "
                "code that it was saved with"
            )

    def named(self, name: str, test: Any) -> Any:
        """The class, which must pass the test, or the function of that name."""
        module, _, path = name.partition(":")
        package = module.partition(".")[0]
        if package in KNOWN and module not in sys.modules:
            with contextlib.suppress(ImportError):  # moved or gone: said below
                importlib.import_module(module)
        if package in sys.stdlib_module_names or module not in sys.modules:
            raise ValueError(
                f"{self.file}: is made with {path} of {module}, which is not imported here: "
                f"import it first (nothing is imported for the sake of a file)"
            )
        thing = named_in_module(module, path)
        if thing is None or (test is not None and not (isinstance(thing, type) and test(thing))):
            cure = "define it as there" if module == "__main__" else "load it with the code of then"
            raise ValueError(
                f"{self.file}: is made with {path} of {module}, and there is none by now: {cure}"
            )
        if test is None and not callable(thing):
            raise ValueError(f"{self.file}: {path} of {module} is no function by now")
        return thing
