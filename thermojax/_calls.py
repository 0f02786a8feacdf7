"""Computations that name what they want computed, so that several of them can share one program."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")


class Call(NamedTuple):
    """A call `function(*arguments)`, to be made by whoever runs the computation.

    - `function`: compiled, pure, the same object in all computations. `arguments`: pytrees.
    - `own(arguments)`: the arrays that are batched even where they happen to be equal, such as what
      trains: else a program would be compiled for the start and another one for the rest. All
      other arrays that are equal in all computations are not batched: noise of one key is drawn
      once.
    """

    function: Callable
    arguments: tuple
    own: Callable[[tuple], Any] | None = None

    def __call__(self):
        return self.function(*self.arguments)


# It yields calls, gets their answers, and returns a result.
Computation: TypeAlias = Generator[Call, Any, T]


def alone(computation: Computation[T]) -> T:
    """The result of one computation, its calls made one by one."""
    step = partial(next, computation)
    while True:
        try:
            call = step()
        except StopIteration as end:
            return end.value
        try:
            answer = call()
        except BaseException as error:  # belongs to whoever asked
            step = partial(computation.throw, error)
        else:
            step = partial(computation.send, answer)
