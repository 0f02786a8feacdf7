"""Numbers and words of YAML that could be read in two ways are refused with both."""

import pytest

from thermojax.cli import main
from thermojax.experiment import UserError
from thermojax.experiment.config.build import build
from thermojax.experiment.config.doubtful import doubt, meant
from thermojax.experiment.config.read import read_config
from thermojax.experiment.config.yaml_file import to_yaml

DOUBTFUL = [
    ("010", "010 could be 10 or 8, in octal digits as in YAML 1.1: write 10 or 8, or '010' in"),
    ("-0100", "-0100 could be -100 or -64, in octal"),
    ("08", "08 could be 8 or a text: write 8, or '08' in quotes"),
    ("07", "07 could be 7 or a text"),
    ("000", "000 could be 0 or a text"),
    ("1:30", "1:30 could be a text or 90, in base 60 as in YAML 1.1: write 90, or '1:30'"),
    ("12:30:45", "a text or 45045, in base 60"),
    ("1:30.5", "a text or 90.5, in base 60"),
    ("1__0", "1__0 could be 10 or a text"),
    ("1_", "1_ could be 1 or a text"),
    ("1e400", "1e400 is larger than any floating number: write a smaller one, or .inf"),
    ("1e-400", "1e-400 is smaller than any floating number"),
]
CLEAR = {
    "10": 10,
    "0": 0,
    "-0.5": -0.5,
    "00.5": 0.5,
    "1_000": 1000,
    "1e3": 1000.0,
    "1.5e-3": 0.0015,
    "0x1F": 31,
    "0b11": 3,
    "true": True,
    "False": False,
    ".inf": float("inf"),
    "null": None,
    "'010'": "010",
    '"on"': "on",
    "y": "y",
    "0:30": "0:30",
    "12:75": "12:75",
    "a_1": "a_1",
    "2024-01-01": "2024-01-01",
    "a#1": "a#1",
}
THING = """
from typing import Literal

class Thing:
    def __init__(self, size: float = 1.0, flag: bool = False, mode: Literal["on", "off"] = "on",
                 free=None, either: bool | float = 0.5, many: dict = {}, name: str = ""):
        self.flag, self.either = flag, either
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_readings.py").write_text(THING)
    return tmp_path


def refused(folder, text, overrides=()):
    """The sentence, without a line break, of a config that cannot be what it says."""
    (folder / "c.yaml").write_text(f"kind: own_readings:Thing\n{text}\n")
    with pytest.raises(UserError) as error:
        build(read_config(folder / "c.yaml", list(overrides)), object)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("text", "said"), DOUBTFUL)
def test_doubtful_everywhere(folder, text, said):
    """In files and in what they include, in lists, as keys, and in overrides."""
    assert f"c.yaml, line 2: size: {text} " in (found := refused(folder, f"size: {text}"))
    assert said in found
    assert f"free.1: {text} " in refused(folder, f"free: [a, {text}]")
    assert f"override free={{a: {text}}}: free.a: " in refused(folder, "", [f"free={{a: {text}}}"])
    assert f"override size={text}: size: {text} " in refused(folder, "", [f"size={text}"])
    (folder / "base.yaml").write_text(f"size: {text}\n")
    assert "base.yaml, line 1: size: " in refused(folder, "defaults: base.yaml")
    if ":" not in text:
        assert f"the key many.{text}: {text} " in refused(folder, f"many: {{{text}: 1}}")


@pytest.mark.parametrize(("text", "value"), CLEAR.items())
def test_clear(folder, text, value):
    file = folder / "c.yaml"
    file.write_text(f"a: {text}\n")
    assert read_config(file).values["a"] == value
    file.write_text("a: 1\n")
    config = read_config(file, [f"a={text}"])
    assert config.values["a"] == value and type(config.values["a"]) is type(value)
    # What a run notes of its config is read again when it goes on.
    file.write_text(config.text)
    assert read_config(file).values == config.values


@pytest.mark.parametrize("text", [text for text, _ in DOUBTFUL] + ["on", "No", "0_8", "1_000"])
def test_texts_in_quotes_stay_texts(folder, text):
    (folder / "c.yaml").write_text(to_yaml({"a": text}))
    config = read_config(folder / "c.yaml")
    assert config.values == {"a": text}


def test_yes_and_no(folder):
    """True where true or false is asked for, and refused where anything else is."""
    for word, truth in (("on", "true"), ("Yes", "true"), ("NO", "false"), ("off", "false")):
        both = f"could be the text '{word}' or {truth}, as in YAML 1.1: write '{word}' in quotes"
        found = refused(folder, f"size: {word}")
        assert f"c.yaml, line 2: size = {word} {both}" in found and "expected a number" in found
        assert both in refused(folder, f"mode: {word}") and both in refused(folder, f"name: {word}")
        assert both in refused(folder, f"free: {word}")
        assert f"free.1 = {word} {both}" in refused(folder, f"free: [1, {word}]")
        assert f"many.a = {word} {both}" in refused(folder, f"many: {{a: {word}}}")
        assert f"the key {word} {both}" in refused(folder, f"many: {{{word}: 1}}")
        found = refused(folder, "size: 1", [f"size={word}"])
        assert f"override size={word}: size = {word} {both}" in found
        (folder / "c.yaml").write_text(f"kind: own_readings:Thing\nflag: {word}\neither: {word}\n")
        made = build(read_config(folder / "c.yaml"), object)
        assert made.flag is made.either is (truth == "true")
    # What is set anew has one reading, wherever the doubtful one stood.
    (folder / "base.yaml").write_text("free: on\nmode: off\nmany: {a: no}\n")
    (folder / "c.yaml").write_text(
        "defaults: base.yaml\nkind: own_readings:Thing\nfree: true\nmode: 'off'\n"
    )
    build(read_config(folder / "c.yaml", ["many.a=false"]), object)
    assert meant("oN") == meant("y") == meant("true") == ""


def test_comments_on_a_command_line(folder):
    said = "override name=mean #3: YAML takes what follows ' #' for a comment"
    assert said in refused(folder, "", ["name=mean #3"])
    assert "for a comment" in refused(folder, "", ["name=#3"])
    build(read_config(folder / "c.yaml", ["name='mean #3'"]), object)


def test_texts_that_are_numbers(folder):
    found = refused(folder, "size: '3'")
    assert "size = '3': expected a number, and this is a text to YAML: write 3" in found
    assert "write 50.0" in refused(folder, "size: .5e2")
    assert "write .inf" in refused(folder, "size: inf")


def test_in_the_settings_of_the_run_and_in_sweeps(folder, capsys):
    """`seed: 010` was 8, and a sweep's folder said seed=010."""
    (folder / "c.yaml").write_text("kind: own_readings:Thing\nseed: 010\n")
    assert main(["run", "c.yaml"]) == 2
    assert "c.yaml, line 2: seed: 010 could be 10 or 8" in capsys.readouterr().err
    (folder / "c.yaml").write_text("kind: own_readings:Thing\n")
    for command in (["run", "c.yaml", "--seed", "010"], ["sweep", "c.yaml", "seed=1,010"]):
        assert main(command) == 2
        assert "override seed=010: seed: 010 could be 10 or 8" in capsys.readouterr().err
    assert main(["sweep", "c.yaml", "size=1,000"]) == 2
    assert "000 could be 0 or a text" in capsys.readouterr().err
    assert [file.name for file in folder.iterdir() if file.is_dir()] == []


def test_all_of_a_kind():
    """Against Python's own readings, over every short text of digits and signs."""
    assert not any(doubt(str(n)) for n in range(-200, 200))
    assert all(doubt(f"0{n}") for n in range(200))
    assert not any(doubt(f"{n}.{m}e{n}") for n in range(20) for m in range(20))
