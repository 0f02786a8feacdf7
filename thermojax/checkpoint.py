"""The state of a loop on disk: killed at any moment, it goes on as if nothing had happened."""

from __future__ import annotations

import abc
import hashlib
import io
import json
import os
import platform
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._arguments import flag, real
from ._component import shown
from ._files import remove_parts, write_whole

FORMAT = b"thermojax checkpoint 1"
PACKAGES = ("jax", "jaxlib", "diffrax", "equinox", "optax", "numpy")
FLAGS = ("XLA_FLAGS", "OMP_NUM_THREADS", "JAX_DEFAULT_MATMUL_PRECISION")  # they change last digits
PATIENCE = 20  # a save that took t seconds is followed by at least so many t of work


class CheckpointError(ValueError):
    """A checkpoint that is damaged, or of something else; the message says which."""


class AbstractCheckpoint(abc.ABC):
    """A place where a loop keeps its state. `tj.Checkpoint` is the one that ends up in a file."""

    @abc.abstractmethod
    def load(self, like: Any = None) -> Any:
        """The saved state in the structure of `like`, or None where nothing was saved."""

    @abc.abstractmethod
    def save(self, state: Any, *, last: bool = False) -> None:
        """Offer a state at a boundary of the loop; with `last`, it is the end of the loop."""


class Checkpoint(AbstractCheckpoint):
    """A file that holds the state of a loop: any pytree of arrays, keys, numbers and text.

    `tj.optimize(..., checkpoint=tj.Checkpoint("training.ckpt"))` can be killed at any moment; the
    same call again continues to the bit-identical result on the same machine. A loop of one's own
    does `state = checkpoint.load(like=state) or state` once, and `checkpoint.save(state)` in
    each turn.

    **Arguments:**

    - `file`: written whole or not at all: to a temporary file, synced, renamed.
    - `facts`: texts that must be the same when the file is read, such as the settings. Versions,
      device, threads and precision are always among them.
    - `interval`: seconds between two saves; what is offered sooner is not written. The results do
      not depend on it. Saving never takes more than a twentieth of the time.
    - `anyway`: read a file of other facts too; results may then differ in their last digits.

    **Raises:** CheckpointError (a ValueError) from `load`, for a file that is truncated or damaged,
    or that was written by another loop or in another environment.
    """

    def __init__(
        self,
        file: str | Path,
        *,
        facts: Mapping[str, str] | None = None,
        interval: float = 5.0,
        anyway: bool = False,
    ):
        if not isinstance(file, str | os.PathLike):
            raise ValueError(f"file = {shown(file)}: expected the name of a file")
        texts = facts is None or isinstance(facts, Mapping)
        if not texts or not all(isinstance(x, str) for pair in (facts or {}).items() for x in pair):
            raise ValueError(f"facts = {shown(facts)}: expected texts by name, or None")
        real("interval", interval, "seconds, not negative", lambda s: s >= 0)
        flag("anyway", anyway)
        self.file = Path(file)
        self.facts = {**environment(), **(facts or {})}
        self.interval, self.anyway = interval, anyway
        self.next = time.monotonic() + interval

    @property
    def due(self) -> bool:
        """Whether a state that is offered now would be written."""
        return time.monotonic() >= self.next

    def load(self, like: Any = None) -> Any:
        """The saved state, or None where there is no file.

        **Arguments:** `like`, a state of the same structure, shapes and dtypes; without it the
        leaves come as a dict by their path, arrays as numpy's.

        **Raises:** CheckpointError.
        """
        if not self.file.exists():
            return None
        remove_parts(self.file.parent, self.file.name)
        leaves, facts = read(self.file)
        if not self.anyway and (problem := difference(facts, self.facts)):
            raise CheckpointError(f"{self.file}: this checkpoint is of another run: {problem}")
        return leaves if like is None else restored(self.file, leaves, like)

    def save(self, state: Any, *, last: bool = False) -> None:
        """Write `state` if the last save is `interval` ago, or if it is the `last` one.

        **Raises:** OSError for a folder that cannot be written or is full.
        """
        if not last and not self.due:
            return
        began = time.monotonic()
        content = as_bytes(named_leaves(state), self.facts)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.file, lambda path: path.write_bytes(content))
        now = time.monotonic()
        self.next = now + max(self.interval, PATIENCE * (now - began)) if self.interval else now


def environment() -> dict[str, str]:
    """The facts that the last digits of a result depend on, besides the program."""
    from .version import __version__

    found = {"thermojax": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    device = jax.devices()[0]
    several = f"{jax.device_count()} x " if jax.device_count() > 1 else ""
    found["device"] = several + f"{device.device_kind} {processor()}".strip()
    found["threads"] = str(threads())
    found["x64"] = str(bool(jax.config.read("jax_enable_x64")))
    found.update({name: os.environ.get(name, "") for name in FLAGS})
    return found


def threads() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """The model of the CPU, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model n"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def difference(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """The first facts that differ, in words; empty where none does."""
    short = lambda text: repr(text if len(text) <= 40 else text[:37] + "...")
    found = [
        f"{name} is {short(here.get(name, ''))} here and was {short(there.get(name, ''))}"
        for name in {**here, **there}
        if here.get(name, "") != there.get(name, "")
    ]
    more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
    return "; ".join(found[:3]) + more


def storable(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | bool | int | float | str)


def named_leaves(state: Any) -> dict[str, Any]:
    """Path -> leaf; functions and the like are part of the program, not of the state."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator=".")
    return {name(path): leaf for path, leaf in leaves if storable(leaf)}


def is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def as_bytes(leaves: Mapping[str, Any], facts: Mapping[str, str], form: bytes = FORMAT) -> bytes:
    """The content of the file: a line that says what it is, a digest, and numpy's archive.

    The digest comes first, so that damaged bytes are never parsed: readers of archives, HDF5's
    above all, may run forever on them.
    """
    encodings = {name: encoded(leaf) for name, leaf in leaves.items()}
    head = {"facts": dict(facts), "kinds": {name: kind for name, (_, kind) in encodings.items()}}
    arrays = {f"a{i}": array for i, (array, _) in enumerate(encodings.values())}
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, head=text(json.dumps(head)), **arrays)
    body = stream.getvalue()
    return b"\n".join([form, hashlib.sha256(body).hexdigest().encode(), body])


def text(words: str) -> np.ndarray:
    return np.frombuffer(words.encode(), np.uint8)


def encoded(leaf: Any) -> tuple[np.ndarray, str]:
    """A leaf as numbers of a dtype that HDF5 has, and the kind by which `decoded` reads them."""
    if isinstance(leaf, str):
        return text(leaf), "text"
    if is_key(leaf):
        return np.asarray(jax.random.key_data(leaf)), f"key {jax.random.key_impl(leaf)}"
    array = np.asarray(leaf)
    kind = str(array.dtype)
    # bfloat16 and its kin are strangers to numpy's files, and their bits are not.
    return (array.view(f"u{array.itemsize}"), kind) if array.dtype.kind == "V" else (array, kind)


def decoded(array: np.ndarray, kind: str) -> Any:
    if kind == "text":
        return array.tobytes().decode()
    if kind.startswith("key "):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=kind.partition(" ")[2])
    return array.view(jnp.dtype(kind)) if str(array.dtype) != kind else array


def read(file: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The leaves and the facts of a file that is what it was when it was written."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror})") from None
    name, _, rest = content.partition(b"\n")
    if name != FORMAT and not FORMAT.startswith(name):
        raise CheckpointError(
            f"{file}: is no checkpoint of this version of thermojax: remove it to begin again"
        )
    digest, _, body = rest.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise CheckpointError(
            f"{file}: this checkpoint is truncated or damaged and cannot be used: remove it"
        )
    return unpacked(body)


def unpacked(body: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    """The leaves and the facts in what comes after the digest."""
    with np.load(io.BytesIO(body)) as archive:
        head = json.loads(archive["head"].tobytes().decode())
        kinds = head["kinds"].items()
        leaves = {name: decoded(archive[f"a{i}"], kind) for i, (name, kind) in enumerate(kinds)}
    return leaves, head["facts"]


def restored(file: Path, leaves: dict[str, Any], like: Any) -> Any:
    """The leaves in the structure of `like`."""
    wanted = named_leaves(like)
    if problem := difference(kinds_of_leaves(leaves), kinds_of_leaves(wanted)):
        raise CheckpointError(f"{file}: this checkpoint holds another state: {problem}")
    paths, structure = jax.tree.flatten(like)
    values = iter(like_leaf(leaves[name], leaf) for name, leaf in wanted.items())
    return jax.tree.unflatten(
        structure, [next(values) if storable(leaf) else leaf for leaf in paths]
    )


def kinds_of_leaves(leaves: Mapping[str, Any]) -> dict[str, str]:
    """Name -> dtype and shape."""
    forms = {name: encoded(leaf) for name, leaf in leaves.items()}
    shape = lambda array, kind: "text" if kind == "text" else f"{kind} {array.shape}"
    return {name: shape(*form) for name, form in forms.items()}


def like_leaf(value: Any, leaf: Any) -> Any:
    """A stored value in the type of `leaf`, on the devices of `leaf`."""
    if isinstance(leaf, jax.Array):
        return jax.device_put(value, leaf.sharding) if leaf.committed else jnp.asarray(value)
    if isinstance(leaf, bool | int | float | str):
        return type(leaf)(value if isinstance(value, str) else value.item())
    return value
