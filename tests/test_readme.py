"""The examples of the README and the docs run, and print the numbers that stand beside them."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
ESTIMATE = re.compile(r"(-?[\d.]+) ± ([\d.]+)")


@pytest.fixture
def default_precision():
    """float32, as for a user who has not asked for more."""
    jax.config.update("jax_enable_x64", False)
    yield
    jax.config.update("jax_enable_x64", True)


def python_blocks(page):
    """(line of the file, source) of every block marked as python."""
    text = page.read_text()
    for block in re.finditer(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        yield text[: block.start(1)].count("\n"), block[1]


def estimates(text):
    return [(float(value), float(error)) for value, error in ESTIMATE.findall(text)]


WITH_CODE = [
    ROOT / "README.md",
    *(pytest.param(page, marks=pytest.mark.slow) for page in DOCS if any(python_blocks(page))),
]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.name)
def test_examples_run_and_print_what_they_say(page, default_precision, capsys):
    names = {"__name__": "readme"}
    blocks = list(python_blocks(page))
    for line, source in blocks:
        # Empty lines in front: an error names the line of the page.
        exec(compile("\n" * line + source, page, "exec"), names)
    printed = estimates(capsys.readouterr().out)
    claimed = [found for _, source in blocks for found in estimates(source)]
    for value, error in claimed:
        # Rounded to the digits shown; another machine rounds other paths differently.
        near = [abs(value - x) < 4 * np.hypot(error, e) for x, e in printed]
        assert any(near), f"{value} ± {error} is not among {printed}"
