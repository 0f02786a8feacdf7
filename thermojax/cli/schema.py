"""`thermojax schema`: a JSON schema of configs, so that editors complete and check them."""

from __future__ import annotations

import argparse
import json

from .arguments import Parser

PARSER = Parser(
    "schema",
    "Print a JSON schema of configs. Write it to a file, `thermojax schema > schema.json`, and "
    "name that on top of a config: # yaml-language-server: $schema=schema.json",
)


def execute(_: argparse.Namespace) -> None:
    from ..experiment.config.schema import config_schema
    from ..experiment.run.experiment import RunSettings
    from ..experiment.study.base import AbstractStudy

    print(json.dumps(config_schema(AbstractStudy, RunSettings), indent=2))
