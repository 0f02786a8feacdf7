"""Lines of a SPICE deck, in the dialect of ngspice: elements, sources, noise.

A white source of the two-sided density S is a random number of variance S / h every h seconds,
joined by straight lines (`trnoise`): the same at frequencies far below 1 / h.
"""

from __future__ import annotations

import math

import numpy as np

from .._arguments import real, whole
from .._component import positive
from .arguments import each_node
from .branches import GROUND, branches
from .units import BOLTZMANN, ZERO_CELSIUS


def deck(circuit, commands, initial, noise_step, excite) -> str:
    """The whole deck of a linear circuit."""
    for line in commands:
        if not isinstance(line, str):
            raise ValueError(f"commands hold a {type(line).__name__}: expected lines of text")
    if initial is not None:
        initial = np.asarray(each_node("initial", initial, circuit.dim, signed=True), float)
    if noise_step is not None:
        real("noise_step", noise_step, "a positive time in seconds, or None", positive)
    if excite is not None and whole("excite", excite, 0) >= circuit.dim:
        raise ValueError(f"excite = {excite}: expected 0 to {circuit.dim - 1}")
    cards = circuit.cards(initial, None if noise_step is None else float(noise_step), excite)
    return written(f"{type(circuit).__name__} circuit of thermojax", circuit.temperature,
                   [*cards, *commands])  # fmt: skip


def written(title: str, temperature, lines: list[str]) -> str:
    """A deck at a temperature in kelvin."""
    celsius = float(temperature) - ZERO_CELSIUS
    return "\n".join([title, f".temp {celsius:.9g}", *lines, ".end", ""])


def node(i: int) -> str:
    return "0" if i == GROUND else f"n{i + 1}"


def place(i: int, j: int) -> str:
    """The name of an element between two nodes, after its letter."""
    return f"{i + 1}" if j == GROUND else f"{i + 1}_{j + 1}"


def capacitors(matrix, initial) -> list[str]:
    """One line each; with their voltages at the start, where these are given."""
    lines = []
    for i, j, value in branches(matrix, "capacitance", "capacitance"):
        start = ""
        if initial is not None:
            start = f" ic={initial[i] - (0 if j == GROUND else initial[j]):.9g}"
        lines.append(f"C{place(i, j)} {node(i)} {node(j)} {value:.9g}{start}")
    return lines


def resistors(conductance, temperature, step) -> list[str]:
    """One line each, and with a step the Johnson noise of each as a current beside it."""
    lines = []
    for i, j, value in branches(conductance, "conductance", "conductance"):
        ends = f"{node(i)} {node(j)}"
        lines.append(f"R{place(i, j)} {ends} {1 / value:.9g}")
        if step is not None:
            size = math.sqrt(2 * BOLTZMANN * float(temperature) * value / step)
            lines.append(f"IJ{place(i, j)} {ends} DC 0{drawn_anew(size, step)}")
    return lines


def inductors(inverse) -> list[str]:
    """One line each, without current at the start."""
    found = branches(inverse, "inverse_inductance", "inverse inductance")
    return [f"L{place(i, j)} {node(i)} {node(j)} {1 / x:.9g} ic=0" for i, j, x in found]


def drawn_anew(size: float, step: float | None) -> str:
    """Noise of a root mean square, or none."""
    return f" TRNOISE({size:.9g} {step:.9g} 0 0)" if step is not None and size > 0 else ""


def source_of(value, density, step, excited: bool) -> str:
    """The values of a source: a constant, an amplitude for `.ac`, noise."""
    size = 0.0 if step is None else math.sqrt(float(density) / step)
    return f"DC {float(value):.9g} AC {int(excited)}{drawn_anew(size, step)}"


def current_sources(source, noise, step, excite) -> list[str]:
    """One source into every node."""
    return [
        f"I{i + 1} 0 {node(i)} {source_of(value, density, step, i == excite)}"
        for i, (value, density) in enumerate(zip(source, noise, strict=True))
    ]


def loops(inductance, source, noise, initial, step, excite) -> list[str]:
    """Of each loop the inductor, from the node of the resistors on, and the source behind it."""
    matrix = np.asarray(inductance, np.float64)
    size = np.sqrt(np.diagonal(matrix))
    lines = []
    for i, (value, density) in enumerate(zip(source, noise, strict=True)):
        start = "" if initial is None else f" ic={initial[i]:.9g}"
        lines.append(f"L{i + 1} {node(i)} m{i + 1} {matrix[i, i]:.9g}{start}")
        lines.append(f"V{i + 1} 0 m{i + 1} {source_of(value, density, step, i == excite)}")
        lines += [
            f"K{place(i, j)} L{i + 1} L{j + 1} {matrix[i, j] / size[i] / size[j]:.9g}"
            for j in range(i + 1, len(matrix))
            if matrix[i, j]
        ]
    return lines
