"""A config as it is run: read once, checked once, and handed on from the command to the record."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Lt

from ..config.build import build, settings_beside
from ..config.read import Config, read_config
from ..study.base import AbstractStudy
from .device import prepare_cpu


@dataclass(frozen=True)
class RunSettings:
    """The settings of a run itself, at the top of a config; all other keys are its study's."""

    seed: Annotated[int, Ge(0), Lt(2**32)] = 0
    precision: Literal["float32", "float64"] = "float32"


@dataclass(frozen=True)
class Experiment:
    """A config, the settings of its run, and the study that it describes."""

    config: Config
    settings: RunSettings

    @cached_property
    def study(self) -> AbstractStudy:
        """The study, checked and built when it is first asked for: in the precision of the run.

        **Raises:** UserError, naming file, line and key, for anything that does not fit.
        """
        prepare_cpu(self.config.values.get("devices"))
        return build(self.config, AbstractStudy, RunSettings)


def experiment_of(config: Config) -> Experiment:
    """**Raises:** UserError for a wrong seed or precision."""
    return Experiment(config, settings_beside(config, RunSettings))


def read_experiment(file: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Experiment:
    """The experiment of a config file with overrides on top; the study is not looked at yet."""
    return experiment_of(read_config(file, overrides))
