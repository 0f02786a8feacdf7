"""`thermojax init`: a config and a potential to start from, which run as they are."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from ..command_line import refuse_long
from ..errors import UserError, one_line

CONFIG = """\
# {name}: your own potential, driven from one control value to another, as given and optimized.
#   thermojax run {config}                            the whole study
#   thermojax run {config} dt=0.01 training.steps=20  with other settings, in one try
#   thermojax list Driven                             what this kind of study takes
#   thermojax check my_potential:MyPotential          what is wrong with a potential, from here
kind: Driven
seed: 0
precision: float32  # or float64

potential:
  kind: my_potential:MyPotential  # the class in my_potential.py, beside this file
  barrier: 2.0  # its fields are set here

protocol:  # control(t); the ends are fixed, all values in between can train
  kind: PiecewiseLinear.between
  initial: 0.0
  final: 2.0
  duration: 2.0
  knots: 8

bath:  # energies are in units of kT
  kind: Bath
  friction: 1.0
  mass: 1.0  # read by underdamped dynamics only

dynamics: overdamped  # or underdamped
dt: 0.01
position: [0.0]  # one position: how many coordinates there are, and a first guess

training:  # leave this out to measure the given schedule only
  steps: 50
  batch: 128
  learning_rate: 0.1
evaluation:  # fresh paths for each schedule, a chunk at a time
  batch: 4096
  chunk: 1024
"""

POTENTIAL = '''\
"""A potential of your own: an energy U(x, control) of ONE sample."""

import jax.numpy as jnp

import thermojax as tj


class MyPotential(tj.AbstractPotential):
    """A double well in every coordinate, tilted by the control."""

    barrier: float = 2.0  # energy; a field is a setting of the config

    def energy(self, x, control):
        """x has the shape of `position` in the config; returns a scalar."""
        return jnp.sum(self.barrier * (x**2 - 1) ** 2 - control * x)
'''


def write_starter(name: str) -> tuple[Path, Path]:
    """Make the folder `name` with `<name>.yaml` and `my_potential.py` in it.

    **Returns:** the two files. **Raises:** UserError where the folder holds something already,
    or cannot be written; nothing is left half-written then.
    """
    folder = Path(name)
    if folder.name in ("", "..") or "\0" in name:
        raise UserError(f"init {name!r}: expected a name for a new folder, such as my_study")
    refuse_long(folder / f"{folder.name}.yaml")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: holds files already: choose another name, nothing is replaced")
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        raise UserError(f"{folder}: is a file already: choose another name")
    config, potential = folder / f"{folder.name}.yaml", folder / "my_potential.py"
    made = [p for p in (folder, *folder.parents) if not p.exists()]
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shown = shlex.quote(str(config))
        for file, text in (
            (config, CONFIG.replace("{name}", folder.name).replace("{config}", shown)),
            (potential, POTENTIAL),
        ):
            written.append(file)
            with open(file, "x", encoding="utf-8") as stream:
                stream.write(text)
    except (OSError, ValueError) as error:
        for file in written:
            file.unlink(missing_ok=True)
        for place in made:
            if place.is_dir() and not os.listdir(place):
                place.rmdir()
        raise UserError(
            f"{folder}: cannot be written ({one_line(error)}): choose another place"
        ) from None
    return config, potential
