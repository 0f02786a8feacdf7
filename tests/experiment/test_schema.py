"""The JSON schema takes the configs that are shipped, and refuses what a run refuses."""

import copy
from pathlib import Path

import pytest
import yaml

from thermojax.cli import main
from thermojax.experiment.config.registry import KINDS
from thermojax.experiment.config.schema import config_schema
from thermojax.experiment.run.experiment import RunSettings
from thermojax.experiment.shipped import template_text
from thermojax.experiment.study.base import AbstractStudy

jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
SCHEMA = config_schema(AbstractStudy, RunSettings)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
TRAP = yaml.safe_load((ROOT / "configs" / "dragged_trap.yaml").read_text())


def test_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for family in KINDS.values():
        assert set(family) <= set(SCHEMA["$defs"])


@pytest.mark.parametrize("config", CONFIGS, ids=lambda file: file.stem)
def test_shipped_configs_fit(config):
    assert VALIDATOR.is_valid(yaml.safe_load(config.read_text()))


def test_the_starter_fits():
    assert VALIDATOR.is_valid(yaml.safe_load(template_text("config", "starter.yaml")))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("dt", -1),
        ("dt", "x"),
        ("dtt", 1),
        ("seed", -1),
        ("kind", "Drivn"),
        ("dynamics", "under"),
        ("potential.kind", "Bath"),
        ("potential.stiffnes", 1),
        ("bath.mass", 0),
        ("bath.mass", [1, -1]),
        ("protocol.knots", 1),
        ("protocol.duration", [1]),
        ("training.steps", 1.5),
        ("training", {}),
        ("potential", {"kind": "Gaussian"}),
        ("potential", {"kind": "Gaussian", "mean": 0}),
    ],
)
def test_mistakes_do_not_fit(path, value):
    assert VALIDATOR.is_valid(TRAP)
    config = copy.deepcopy(TRAP)
    *parts, last = path.split(".")
    node = config
    for part in parts:
        node = node[part]
    node[last] = value
    assert not VALIDATOR.is_valid(config)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("dt", "${protocol.duration}"),
        ("bath.mass", [1, 2]),
        ("bath.friction", {"kind": "Linear", "start": 1, "end": 2, "duration": 1}),
        ("potential", {"kind": "a.b:C", "anything": 1}),
        ("training", None),
        ("precision", "float64"),
    ],
)
def test_what_a_run_takes_fits(path, value):
    config = copy.deepcopy(TRAP)
    node = config[path.split(".")[0]] if "." in path else config
    node[path.split(".")[-1]] = value
    assert VALIDATOR.is_valid(config)


def test_command(capsys):
    import json

    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(SCHEMA))
