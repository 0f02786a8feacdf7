"""Peers: the fused C loop of `fused.c`, compiled at run time, with one thread and with all."""

from __future__ import annotations

import atexit
import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import jax
import numpy as np

from ..cases import STEP
from ..report import cores
from .peer import AbstractPeer, Outcome, starts

SOURCE = Path(__file__).with_name("fused.c")
FLAGS = ("-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC")


@functools.cache
def library() -> ctypes.CDLL:
    """`fused.c`, compiled into a folder that is removed at exit, with full vectors if there are."""
    folder = tempfile.mkdtemp(prefix="thermojax-benchmark-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = f"{folder}/fused.so"
    for extra in (("-mprefer-vector-width=512",), ()):  # a flag of x86 alone
        command = ["gcc", *FLAGS, *extra, str(SOURCE), "-o", target, "-lm"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            return ctypes.CDLL(target)
    raise RuntimeError(f"gcc could not compile {SOURCE.name}:\n{done.stderr}")


def floats(array: np.ndarray):
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_float))


def draw(count: int, pair: int, words: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The two halves of the pair of steps `pair` for coordinates 0 to `count` - 1."""
    first, second = np.empty(count, np.float32), np.empty(count, np.float32)
    k0, k1 = (ctypes.c_uint32(w) for w in words)
    library().draw(
        floats(first), floats(second), ctypes.c_long(count), ctypes.c_uint32(pair), k0, k1
    )
    return first, second


class CLoop(AbstractPeer):
    """Threefry-2x32-20, Box-Muller and BAOAB in one vectorized loop, one thread."""

    name = "fused C loop, 1 thread"
    least, least_wide, least_single = 0.2, 0.2, 0.2
    parallel = False

    def missing(self):
        return None if shutil.which("gcc") else "gcc not installed"

    def version(self):
        said = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True)
        return "gcc " + said.stdout.strip()

    def build(self, case, steps, seed=0):
        x0, p0 = starts(case, seed)
        held, kicks = case.controls()
        words = np.asarray(jax.random.bits(jax.random.key(seed), (2,), "uint32"))
        threads = cores() if self.parallel else 1
        run_c = library().run

        def run():
            x, p, work = x0.copy(), p0.copy(), np.empty_like(x0)
            run_c(
                *(floats(part) for part in (x, p, work)),
                ctypes.c_long(x.size),
                floats(held),
                floats(kicks),
                ctypes.c_long(steps),
                ctypes.c_float(STEP),
                *(ctypes.c_uint32(int(word)) for word in words),
                ctypes.c_int(threads),
            )
            return Outcome(x, p, work.sum(-1))

        return run


class CThreads(CLoop):
    """The coordinates shared out among all threads by OpenMP."""

    name = "fused C loop, all threads"
    parallel = True
