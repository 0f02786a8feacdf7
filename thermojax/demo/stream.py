"""The stream of one page: its messages in, frames out, never more than the page has drawn."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Protocol

from .messages import Message, MessageError, Open, Pause, Seen, read_message

LOG = logging.getLogger("thermojax.demo")
FRAMES_PER_SECOND = 30
AHEAD = 3  # frames that may be under way to the page
WAITING = 200  # messages that a stream holds until its next frame
FAULTS = 50  # messages that are not understood before the stream is closed


class Scene(Protocol):
    """A simulation that a tab shows."""

    def take(self, message: Message) -> None:
        """Do what a message says. **Raises:** MessageError for one that it does not know."""
        ...

    def frame(self) -> dict[str, Any] | None:
        """The next frame, ready for JSON; None where there is nothing new."""
        ...


class Channel(Protocol):
    """Text to and from a page. `receive` returns None when it has gone."""

    async def receive(self) -> tuple[str | None] | None: ...

    async def send(self, text: str) -> None: ...


class PageStream:
    """One page. Its scenes are made when their tab is first opened, and freed with the stream.

    Frames are computed one after the other, each from the newest positions of the sliders. A page
    that is slow or hidden gets fewer: none is computed before it may be sent.
    """

    def __init__(self, channel: Channel, make: Callable[[str], Scene], executor: Executor):
        self.channel, self.make, self.executor = channel, make, executor
        self.scenes: dict[str, Scene] = {}
        self.tab = "oscillators"
        self.waiting: list[Message] = []
        self.sent = self.seen = 0
        self.faults = 0
        self.paused = False
        self.changed = asyncio.Event()

    async def run(self) -> None:
        """Until the page has gone."""
        tasks = [asyncio.create_task(self.listen()), asyncio.create_task(self.stream())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def say(self, **message: Any) -> None:
        await self.channel.send(json.dumps(message, separators=(",", ":"), allow_nan=False))

    async def listen(self) -> None:
        while (received := await self.channel.receive()) is not None:
            try:
                self.note(read_message(received[0]))
            except MessageError as error:
                self.faults += 1
                await self.say(error=str(error))
                if self.faults >= FAULTS:
                    await self.say(error=f"{FAULTS} messages that are not understood: closed")
                    return

    def note(self, message: Message) -> None:
        """Keep what the scene is to do before its next frame. **Raises:** MessageError."""
        if isinstance(message, Seen):
            self.seen = min(max(self.seen, message.frame), self.sent)
        elif isinstance(message, Pause):
            self.paused = message.on
        elif len(self.waiting) >= WAITING:
            raise MessageError(f"{WAITING} messages wait already: this one is left out")
        else:
            self.waiting.append(message)
        self.changed.set()

    @property
    def may_go_on(self) -> bool:
        """Whether a frame is wanted now. A scene that is paused still hears messages."""
        return self.sent - self.seen < AHEAD and (not self.paused or bool(self.waiting))

    async def stream(self) -> None:
        loop, due = asyncio.get_running_loop(), time.monotonic()
        while True:
            while not self.may_go_on:
                self.changed.clear()
                await self.changed.wait()
            messages, self.waiting = self.waiting, []
            for answer in await loop.run_in_executor(self.executor, self.next_answers, messages):
                if "error" not in answer:
                    self.sent += 1
                    answer["frame"] = self.sent
                await self.say(**answer)
            # Ticks that have passed meanwhile are left out, not made up for.
            due = max(due + 1 / FRAMES_PER_SECOND, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    def next_answers(self, messages: list[Message]) -> list[dict[str, Any]]:
        """The next things to say: complaints about messages, and the frame. Runs in a thread."""
        answers: list[dict[str, Any]] = []
        for message in messages:
            try:
                self.obey(message)
            except MessageError as error:
                answers.append({"error": str(error)})
        try:
            frame = self.scene.frame()
        except Exception:
            # A fault of ours: said to the page in words, and whole where the server was started.
            LOG.exception("the %s stopped, and begin anew", self.tab)
            self.scenes.pop(self.tab, None)
            answers.append({"error": f"the {self.tab} stopped, and begin anew"})
            frame = None
        return answers if frame is None else [*answers, frame]

    @property
    def scene(self) -> Scene:
        if self.tab not in self.scenes:
            self.scenes[self.tab] = self.make(self.tab)
        return self.scenes[self.tab]

    def obey(self, message: Message) -> None:
        if isinstance(message, Open):
            self.tab = message.tab
        else:
            self.scene.take(message)
