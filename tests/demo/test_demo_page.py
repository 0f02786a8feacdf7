"""The page in a real browser: sliders move what they should, and nothing is said on the console.

It needs playwright and a chromium of the system (Debian: apt-get install chromium); no browser is
ever downloaded.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
PACKAGES = ("playwright", "starlette", "uvicorn", "websockets")
MISSING = [x for x in PACKAGES if not importlib.util.find_spec(x)]
MISSING += [] if BROWSER else ["a chromium"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING),
        reason=f"{', '.join(MISSING)} missing: pip install 'thermojax[demo,browser]', and "
        "apt-get install chromium",
    ),
]
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0


@pytest.fixture(scope="module")
def address():
    """The command itself, in a process of its own, at a free port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "thermojax", "demo", "--no-browser", "--port", "0", "--seed", "1"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", said)
    assert found, said + process.stdout.read()
    yield found[0]
    process.terminate()
    rest, _ = process.communicate(timeout=30)
    assert "Traceback" not in rest and "Exception" not in rest, rest


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


class Seen:
    """A page, what it asked for, and what it complained about."""

    def __init__(self, browser, address, width=1600, height=1000, scheme="light"):
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        self.page = self.context.new_page()
        self.complaints, self.asked = [], []
        self.page.on("console", lambda m: self.complaints.append(f"{m.type}: {m.text}"))
        self.page.on("pageerror", lambda e: self.complaints.append(e.stack or str(e)))
        self.page.on("request", lambda r: self.asked.append(r.url))
        self.page.goto(address)
        self.until(lambda: self.frames > 5)

    def until(self, true, seconds=PATIENCE):
        # `page.wait_for_function` would evaluate text, which the page's policy forbids.
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, (self.complaints, self.text("#error"))
            self.page.wait_for_timeout(50)

    @property
    def frames(self) -> int:
        return self.page.evaluate("window.thermojax.frames")

    def text(self, where) -> str:
        return self.page.locator(where).text_content() or ""

    def exact(self, table, row) -> float:
        """The last cell of a row."""
        return float(self.text(f"#{table} tbody tr:nth-child({row}) td:last-child"))

    def slide(self, where, value):
        self.page.locator(where).fill(str(value))

    def pixels(self, where) -> int:
        """How many pixels of a canvas are painted."""
        return self.page.evaluate(
            """(id) => { const c = document.getElementById(id);
            const copy = new OffscreenCanvas(c.width, c.height);
            const at = copy.getContext('2d', { willReadFrequently: true });
            at.drawImage(c, 0, 0);
            const d = at.getImageData(0, 0, c.width, c.height).data;
            let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; }""",
            where,
        )

    def done(self):
        """Nothing was complained about, and nothing asked for elsewhere."""
        assert self.complaints == []
        self.context.close()


@pytest.fixture
def seen(browser, address):
    page = Seen(browser, address)
    yield page
    page.done()
    assert all(url.startswith((address, address.replace("http", "ws"))) for url in page.asked)


def test_the_self_check_comes_first_and_is_fine(seen):
    assert "9 of 9 numbers agree" in seen.text("#verdict")
    assert seen.page.locator("#check-table tbody tr").count() == 9


def test_thirty_updates_a_second(seen):
    seen.page.wait_for_timeout(3000)
    before, begun = seen.frames, time.monotonic()
    seen.page.wait_for_timeout(3000)
    rate = (seen.frames - before) / (time.monotonic() - begun)
    assert 10 < rate < 33  # 30 on two free cores; here others may be at work


def test_every_slider_of_the_oscillators_moves_something(seen):
    """The exact numbers that belong to a slider, and the picture of one machine."""
    knobs = "#knobs-"
    tau = lambda: float(seen.text("#tau").split("exact ")[1].split()[0])
    seen.until(lambda: "exact" in seen.text("#tau"))
    for name, value in (("friction", 3), ("interval", 1.5)):
        before = tau()
        seen.slide(knobs + name, value)
        seen.until(lambda before=before: tau() != before)
        assert seen.text(f"label:has({knobs}{name}) output") == f"{value:.2f}"
    seen.slide(knobs + "mass", 2)  # <p^2> / 2 for each mode, times 1/2 - 1
    seen.until(lambda: seen.exact("account", 1) == pytest.approx(-0.5, abs=0.02))
    seen.until(lambda: "samples of" in seen.text("#relaxing"))  # as near as 0.01 kT
    seen.slide(knobs + "coupling", 2)
    seen.until(lambda: seen.exact("inverse", 2) == pytest.approx(0.4))  # c / (1 + 2 c)
    seen.until(lambda: seen.exact("account", 1) == pytest.approx(1.5, abs=0.15))  # c kT more
    # Temperature: the heat that the machines take up, 1 kT for each kT and mode; no work.
    seen.slide(knobs + "speed", 16)
    seen.slide(knobs + "temperature", 2)
    seen.until(lambda: seen.exact("account", 3) == pytest.approx(2.0, abs=0.05))
    assert seen.exact("account", 1) == pytest.approx(1.5, abs=0.15)
    time_of = lambda: float(seen.text("#status").split("time ")[1])
    seen.until(lambda: "time" in seen.text("#status"))

    def pace():
        before = time_of()
        seen.page.wait_for_timeout(2000)
        return time_of() - before

    fast = pace()
    seen.slide(knobs + "speed", 1)
    seen.page.wait_for_timeout(500)
    assert pace() < fast / 2
    seen.page.locator("#restart").click()
    seen.until(lambda: seen.exact("account", 1) == 0)


def test_every_picture_is_drawn(seen):
    for tab, names in {
        "oscillators": ("springs", "cloud", "marginals", "correlation", "precision"),
        "erasure": ("lowering", "tilt", "bit"),
        "inference": ("data", "weights", "flow"),
    }.items():
        seen.page.locator(f"#tab-{tab}").click()
        for name in names:
            seen.until(lambda name=name: seen.pixels(name) > 1000)


def test_a_protocol_is_dragged_by_hand(seen):
    seen.page.locator("#tab-erasure").click()
    seen.until(lambda: seen.page.locator("#costs tbody tr").count() == 6)
    work = lambda: float(seen.text("#costs tbody tr:nth-child(2) td:nth-child(2)"))
    bound = lambda: float(seen.text("#costs tbody tr:nth-child(3) td:nth-child(2)"))
    trained = seen.exact("costs", 2)
    assert trained < work() and bound() < work()
    before = work()
    box = seen.page.locator("#tilt").bounding_box()
    assert box
    seen.page.mouse.move(box["x"] + 0.55 * box["width"], box["y"] + 0.5 * box["height"])
    seen.page.mouse.down()
    seen.page.mouse.move(box["x"] + 0.55 * box["width"], box["y"] + 0.1 * box["height"], steps=5)
    seen.page.mouse.up()
    seen.until(lambda: work() != before)
    seen.page.locator("#nothing").click()
    seen.until(lambda: abs(work()) < 1e-3 and abs(bound()) < 1e-2)
    assert seen.text("#costs tbody tr:nth-child(6) td:nth-child(2)") == "50.000 %"
    seen.page.locator("#learned").click()
    seen.until(lambda: work() == pytest.approx(trained, abs=2e-3))
    seen.page.locator("#duration").select_option("10")
    seen.until(lambda: seen.exact("costs", 2) < trained - 0.3)
    # By the keyboard alone: the knots are sliders as well.
    seen.page.locator("details:has(#knots) summary").click()
    before = work()
    seen.page.locator("#knots-tilt-4").focus()
    for _ in range(10):
        seen.page.keyboard.press("ArrowRight")
    seen.until(lambda: work() != before)


def test_points_are_clicked_in_and_ramped_out(seen):
    seen.page.locator("#tab-inference").click()
    seen.until(lambda: seen.page.locator("#books tbody tr").count() == 6)
    free = lambda: seen.exact("books", 3)
    assert free() == 0
    seen.slide("#ramp-duration", 0.5)
    seen.page.locator("#data").click(position={"x": 150, "y": 100})
    seen.until(lambda: free() > 0.5 and seen.exact("books", 1) >= free())
    seen.until(lambda: seen.exact("books", 5) < 0.01)
    before = free()
    seen.slide("#ramp-noise", 0.8)
    seen.until(lambda: free() != before)
    before = free()
    seen.page.locator("#datum-u").fill("-0.5")
    seen.page.locator("#datum button").click()
    seen.until(lambda: abs(free() - before) > 0.1)
    seen.page.locator("#forget").click()
    seen.until(lambda: free() == 0)
    assert seen.exact("books", 1) > 0  # what the cycle has cost
    seen.page.locator("#anew").click()
    seen.until(lambda: seen.exact("books", 1) == 0)


def test_tabs_and_sliders_are_reached_by_the_keyboard(seen):
    page = seen.page
    page.locator("#tab-oscillators").focus()
    for name in ("erasure", "inference", "oscillators"):
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.id") == f"tab-{name}"
        assert page.locator(f"#{name}").is_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "knobs-temperature"
    before = page.evaluate("document.activeElement.value")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.value") != before
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('input,select,canvas,button')].filter((e) =>
        !(e.labels && e.labels.length) && !e.getAttribute('aria-label') && !e.textContent.trim())
        .map((e) => e.outerHTML)"""
    )
    assert unnamed == []


def test_a_pause_is_a_pause(seen):
    seen.page.locator("#pause").click()
    seen.page.wait_for_timeout(500)
    before = seen.frames
    seen.page.wait_for_timeout(700)
    assert seen.frames == before
    seen.page.locator("#pause").click()
    seen.until(lambda: seen.frames > before + 3)


def pages(address) -> int:
    with urllib.request.urlopen(f"{address}/status.json") as answer:
        return int(re.search(rb'"pages":\s*(\d+)', answer.read())[1])  # pyright: ignore


def test_two_pages_at_once_and_a_closed_one_is_freed(browser, address):
    one, other = Seen(browser, address), Seen(browser, address, scheme="dark")
    assert pages(address) >= 2
    before = pages(address)
    one.slide("#knobs-coupling", 3)
    one.until(lambda: one.exact("inverse", 2) == pytest.approx(3 / 7, abs=1e-3))
    assert other.exact("inverse", 2) == 0
    one.done()
    other.until(lambda: pages(address) == before - 1)
    frames = other.frames
    other.until(lambda: other.frames > frames + 5)
    other.done()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1600])
def test_it_fits_the_screen_and_can_be_read(browser, address, width, scheme):
    """Nothing wider than the screen; text against its background by 4.5 to 1, as WCAG asks."""
    page = Seen(browser, address, width, 844, scheme)
    for tab in ("oscillators", "erasure", "inference"):
        page.page.locator(f"#tab-{tab}").click()
        page.page.wait_for_timeout(300)
        assert page.page.evaluate("document.documentElement.scrollWidth") <= width
        small = page.page.evaluate(
            """(tab) => [...document.querySelectorAll(`#${tab} :is(p,td,th,label,button)`)]
            .filter((e) => e.offsetParent && parseFloat(getComputedStyle(e).fontSize) < 13)
            .length""",
            tab,
        )
        assert small == 0
    ratios = page.page.evaluate(CONTRAST)
    assert min(ratios.values()) >= 4.5, ratios
    page.done()


CONTRAST = """() => {
  const style = getComputedStyle(document.documentElement);
  const light = (name) => {
    const hex = style.getPropertyValue('--' + name).trim().slice(1);
    const [r, g, b] = [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05); };
  const found = {};
  for (const ink of ['ink', 'quiet']) for (const paper of ['paper', 'card'])
    found[ink + ' on ' + paper] = ratio(ink, paper);
  found.tab = ratio('paper', 'law');
  found.wrong = ratio('wrong', 'paper');
  found.fine = ratio('third', 'paper');
  return found;
}"""
