"""A compiled program in a process of its own, for what a process can choose but once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import jax

from .race import Program

_program: list[Program] = []  # of a process that a `Child` has begun


def _begin(build: Callable[[], Program]) -> tuple[float, float, str]:
    _program[:] = [build()]
    return _program[0].compile_seconds, _program[0].temporary_bytes, _program[0].text


def _call() -> None:
    jax.block_until_ready(_program[0]())


class Child:
    """A program that is built and called there; a context that ends with the process.

    A call takes some 0.2 ms more than that of a `Program`.
    """

    def __init__(self, build: Callable[[], Program]):
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        begun = self._pool.submit(_begin, build).result()
        self.compile_seconds, self.temporary_bytes, self.text = begun

    def __call__(self) -> None:
        self._pool.submit(_call).result()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *error) -> None:
        self._pool.shutdown()
