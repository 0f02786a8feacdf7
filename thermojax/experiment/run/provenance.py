"""Where numbers come from: code, versions, device, inputs."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ...checkpoint import PACKAGES, environment, processor, threads
from ..config.own_code import digests
from ..config.read import Config
from ..config.registry import short_names
from ..errors import one_line
from ..results.store import Record
from ..study.base import note_study
from .experiment import Experiment

LENGTH = 12  # letters of a digest
HOUSE = Path(__file__).resolve().parents[2]  # thermojax


def describe(results: Record, experiment: Experiment) -> None:
    """Everything a reader needs to know where the numbers come from."""
    config, study = experiment.config, experiment.study
    device = jax.devices()[0]
    kind = f" ({processor()})" if device.platform == "cpu" and processor() else ""
    columns = [results[name] for name in study.columns if name in results]
    training = results.get("training")
    trained = training.get("diverged", 0) if isinstance(training, Record) else 0
    results.attributes.update(
        name=config.file.stem,
        kind=config.values["kind"],
        question=study.question,
        columns=list(study.columns),
        labels=list(study.headline),
        entries=list(study.headline.values()),
        seed=experiment.settings.seed,
        precision="float64" if jax.config.read("jax_enable_x64") else "float32",
        device=f"{device.device_kind}{kind}, {threads()} CPU cores",
        commit=commit(),
        diverged=int(np.sum(trained)) + sum(diverged_paths(column) for column in columns),
    )
    results.attributes["warnings"] = doubts_of(results, study)
    note_study(results, study)
    results.put("config", config.text)
    facts = environment()
    versions = {name: facts[name] for name in ("thermojax", *PACKAGES)}
    results["versions"] = Record()
    results["versions"].attributes = {"python": platform.python_version(), **versions}


def diverged_paths(column: Record) -> int:
    """The paths that diverged in a column, and in its reverse run where it has one."""
    return column.get("diverged", 0) + column.get("reverse", {}).get("diverged", 0)


def commit() -> str:
    """The git commit of the code, with a plus where it was changed since; empty without git."""
    here = Path(__file__).resolve().parent
    try:
        say = lambda *words: subprocess.run(
            ["git", "-C", str(here), *words], capture_output=True, text=True, timeout=5, check=True
        ).stdout.strip()
        if not say("ls-files", __file__):  # inside of someone else's repository
            return ""
        return say("rev-parse", "HEAD") + ("+" if say("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def doubts_of(results: Record, study: Any) -> list[str]:
    """The warnings of a run; results that they cannot read are stored all the same."""
    try:
        return [text for doubts in type(study).doubts for text in doubts(results)]
    except Exception as error:  # of records that a study of the user's own calls by our names
        why = f"{type(error).__name__}: {one_line(error)}"
        return [f"what is doubtful about these results could not be found out ({why})."]


def run_facts(experiment: Experiment) -> dict[str, str]:
    """The facts that must not change for a run to go on: config, code, data, versions, device."""
    config, study = experiment.config, experiment.study
    contents = {**dict(code_files(config, study)), **dict(data_files(config))}
    return {
        **environment(),  # after the study, which divides the CPU, whose devices are counted here
        "the config": short_digest(config.text.encode()),
        "the code of thermojax": short_digest(
            *(file.read_bytes() for file in sorted(HOUSE.rglob("*.py")))
        ),
        **{f"the content of {name}": short for name, short in contents.items()},
    }


def short_digest(*contents: bytes) -> str:
    total = hashlib.sha256()
    for content in contents:
        total.update(content)
    return total.hexdigest()[:LENGTH]


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """(last key, value) of every scalar in nested mappings and lists."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, key)
    else:
        yield key, value


def code_files(config: Config, study: Any) -> Iterator[tuple[str, str]]:
    """Name and digest of the files outside of the package that define what the config names.

    Those that they import are among them. The digests are those of what has been imported, even
    where a file has changed since.
    """
    names = [value for key, value in leaves(config.values) if key == "kind"]
    targets = [short_names().get(name, name) for name in names if isinstance(name, str)]
    for module in (type(study).__module__, *(target.partition(":")[0] for target in targets)):
        for name, whole in digests(module, config.folders).items():
            yield f"{name.replace('.', '/')}.py", whole[:LENGTH]


def data_files(config: Config) -> Iterator[tuple[str, str]]:
    """Name and digest of the files that the config names, by the names that it has for them."""
    for key, value in leaves(config.values):
        if key == "kind" or not isinstance(value, str) or not value or len(value) > 500:
            continue
        for folder in config.folders:
            try:
                found = (folder / value).is_file()
            except (OSError, ValueError):
                break
            if found:
                yield value, short_digest((folder / value).read_bytes())
                break
