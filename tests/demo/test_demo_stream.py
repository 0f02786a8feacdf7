"""Messages, and the stream of one page: over a channel in memory, without any server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from thermojax.demo.messages import (
    LARGEST,
    MessageError,
    Turn,
    limits,
    ranges,
    read_message,
)
from thermojax.demo.stream import AHEAD, FAULTS, WAITING, PageStream

WRONG = {
    "": "JSON",
    "no json": "JSON",
    "[" * 3000: "JSON",
    "[]": "object",
    "{}": "do",
    '{"do":"fly"}': "'turn'",
    '{"do":"turn","temperature":1e999}': "temperature",
    '{"do":"turn","temperature":NaN}': "JSON|finite",
    '{"do":"turn","temperature":"hot"}': "number",
    '{"do":"turn","temperature":-1}': "greater than or equal to 0.1",
    '{"do":"turn","temperature":true}': "number",
    '{"do":"turn","warmth":1}': "warmth",
    '{"do":"turn","temperature":1}' + " " * LARGEST: "expected 4,096 bytes",
    '{"do":"erase","lowering":[1],"tilt":[0],"duration":3}': "at least 9",
    '{"do":"erase","lowering":[1,1,1,1,1,1,1,1,1],"tilt":[0,0,0,0,0,0,0,0,0],"duration":4}': "1, 3",
    '{"do":"point","u":0.5}': "y",
    '{"do":"open","tab":"../etc"}': "'oscillators'",
    '{"do":"seen","frame":1.5}': "integer",
}


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_a_wrong_message_is_answered_in_one_sentence(text):
    with pytest.raises(MessageError, match=WRONG[text]) as caught:
        read_message(text)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


def test_right_messages_are_read():
    with pytest.raises(MessageError, match="binary"):
        read_message(None)
    message = read_message('{"do":"turn","mass":2,"speed":4.0}')
    assert isinstance(message, Turn) and message.mass == 2.0 and message.temperature is None


def test_the_ranges_are_those_that_are_checked():
    found = ranges()
    assert found["turn"].keys() == {
        *("temperature", "friction", "mass", "coupling", "interval", "speed")
    }
    for do, fields in found.items():
        if do != "turn":
            continue
        for name, (least, most) in fields.items():
            for value in (least, most):
                read_message(json.dumps({"do": do, name: value}))
            for value in (least - 1e-3, most + 1e-3):
                with pytest.raises(MessageError, match=name):
                    read_message(json.dumps({"do": do, name: value}))
    assert found["erase"] == {"lowering": [-1, 2], "tilt": [-5, 20]}
    assert limits({"type": "string"}) == []


class Counting:
    """A scene that counts its frames and keeps what it is told."""

    def __init__(self):
        self.frames, self.messages, self.breaks = 0, [], False

    def take(self, message):
        if message.do == "forget":
            raise MessageError("nothing to forget")
        self.messages.append(message)

    def frame(self):
        if self.breaks:
            raise RuntimeError("secret")
        self.frames += 1
        return {"kind": "counting", "number": self.frames}


class Memory:
    """A channel whose page says what is put into `said`, and keeps what it is sent."""

    def __init__(self):
        self.said, self.sent = asyncio.Queue(), []

    async def receive(self):
        return await self.said.get()

    async def send(self, text):
        self.sent.append(json.loads(text))

    def say(self, **message):
        self.said.put_nowait((json.dumps(message),))


def streamed(scenario, scene=None):
    """Run a stream beside `scenario(channel, scene, page)`, then let the page go."""
    scene = scene or Counting()

    async def both():
        channel = Memory()
        with ThreadPoolExecutor(1) as executor:
            page = PageStream(channel, lambda tab: scene, executor)
            task = asyncio.create_task(page.run())
            try:
                await scenario(channel, scene, page)
            finally:
                channel.said.put_nowait(None)
                await asyncio.wait_for(task, 5)
        return channel

    return asyncio.run(both())


async def until(true, seconds=5.0):
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)


def test_a_page_that_does_not_draw_is_not_sent_more():
    async def scenario(channel, scene, page):
        await until(lambda: scene.frames == AHEAD)
        await asyncio.sleep(0.3)  # nine ticks
        assert scene.frames == AHEAD  # nor is anything computed in advance
        channel.say(do="seen", frame=1)
        await until(lambda: scene.frames == AHEAD + 1)
        channel.say(do="seen", frame=10**6)  # not more than there are
        await until(lambda: scene.frames == 2 * AHEAD + 1)
        await asyncio.sleep(0.2)
        assert scene.frames == 2 * AHEAD + 1

    sent = streamed(scenario).sent
    assert [message["frame"] for message in sent] == list(range(1, len(sent) + 1))


def test_ticks_are_thirty_a_second_and_never_made_up_for():
    async def scenario(channel, scene, page):
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while loop.time() < begun + 1:
            channel.say(do="seen", frame=page.sent)
            await asyncio.sleep(0.005)
        assert 10 <= scene.frames <= 33

    streamed(scenario)


def test_a_pause_stops_the_scene_but_not_its_messages():
    async def scenario(channel, scene, page):
        channel.say(do="pause", on=True)
        await until(lambda: page.paused)
        channel.say(do="seen", frame=AHEAD)
        await asyncio.sleep(0.2)
        stopped = scene.frames
        channel.say(do="seen", frame=page.sent)
        await asyncio.sleep(0.2)
        assert scene.frames == stopped
        channel.say(do="turn", mass=2)
        await until(lambda: scene.messages)
        assert scene.messages[0].mass == 2

    streamed(scenario)


def test_mistakes_are_answered_and_the_stream_goes_on():
    async def scenario(channel, scene, page):
        channel.said.put_nowait(("no json",))
        channel.said.put_nowait((None,))
        channel.say(do="forget")
        await until(lambda: sum("error" in message for message in channel.sent) == 3)
        channel.say(do="seen", frame=page.sent)
        before = scene.frames
        await until(lambda: scene.frames > before)

    errors = [x["error"] for x in streamed(scenario).sent if "error" in x]
    assert "nothing to forget" in errors and any("binary" in x for x in errors)


def test_a_fault_of_ours_is_said_without_a_traceback(caplog):
    broken = Counting()
    broken.breaks = True
    made = []

    async def scenario(channel, scene, page):
        page.make = lambda tab: made.append(tab) or scene
        await until(lambda: channel.sent)
        scene.breaks = False
        await until(lambda: scene.frames)

    sent = streamed(scenario, broken).sent
    assert sent[0] == {"error": "the oscillators stopped, and begin anew"}
    assert len(made) > 0 and "secret" in caplog.text


def test_a_page_that_only_sends_nonsense_is_left():
    async def scenario(channel, scene, page):
        for _ in range(FAULTS + 10):
            channel.said.put_nowait(("?",))
        await until(lambda: any("closed" in x.get("error", "") for x in channel.sent))

    streamed(scenario)


def test_messages_that_wait_are_bounded():
    async def scenario(channel, scene, page):
        await until(lambda: scene.frames == AHEAD)  # it now waits for the page
        for _ in range(WAITING + 20):
            channel.say(do="turn", mass=2)
        await until(lambda: any("wait already" in x.get("error", "") for x in channel.sent))
        assert len(page.waiting) <= WAITING

    with contextlib.suppress(asyncio.TimeoutError):
        streamed(scenario)
