"""Eight cells on a board: a matrix in capacitors, its samples and inverse, the bill in joules."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt

import thermojax as tj
from experiments.circuit_figures import bill_rows, cells, pictures, spectra
from experiments.matrices import AbstractMatrix
from thermojax.experiment.results.store import Record
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy

SHOWN = 3  # inverses, of a growing number of samples
FAR = 4.5  # standard errors


def in_words(results: Record) -> str:
    """The answer, and what it costs against a computer."""
    device, facts = results["device"], results.attributes
    times = device["injected"] / facts["digital"]
    return (
        f"{facts['matrix']}: {facts['samples']:,} samples of the voltages give the inverse with a "
        f"relative error of {device['relative_error']:.2g} (of it, from components: "
        f"{device['component_error']:.2g}). The noise sources deliver {device['injected']:.3g} J "
        f"for that, {times:.3g} times the {facts['digital']:.3g} J that a computer is assumed to "
        "need."
    )


def doubtful(results: Record) -> list[str]:
    """Entries that are far from the law of the circuit as it is built."""
    found = results["inverse"]
    off = np.abs(found["value"].value - found["law"]) / found["value"].error
    if np.max(off) > FAR:
        return [f"an entry lies {np.max(off):.1f} standard errors from the law of the circuit"]
    return []


class Circuit(AbstractStudy):
    """Resonators with a matrix in their capacitors (RLC cells), hot by noise currents.

    All voltages and currents start at 0; each sample is read after `relaxations` of the longest
    time constant. The bill is that of one device that makes all samples one after another, once in
    a `period`.
    """

    question = (
        "What do samples and an inverse cost on a board of resonators, in joules and seconds?"
    )
    columns = ("device",)
    headline: ClassVar[dict[str, str]] = {
        "relative error of the inverse": "relative_error",
        "of it from components": "component_error",
        "time of all samples (s)": "time",
        "injected noise (J)": "injected",
        "heat, as measured (J)": "heat",
        "total with idle power (J)": "total",
    }
    figures: ClassVar = {"pictures": pictures, "spectra": spectra}
    tables: ClassVar = {"the cells": cells, "the bill": bill_rows}
    sentences: ClassVar = (in_words,)
    doubts: ClassVar = (doubtful,)

    def __init__(
        self,
        matrix: AbstractMatrix,
        samples: Annotated[int, Ge(100)],
        resistance: Annotated[float, Gt(0)],
        inductance: Annotated[float, Gt(0)],
        noise: Annotated[float, Gt(0)],
        value_range: list[float],
        joules_per_operation: Annotated[float, Gt(0)],
        series: str | None = None,
        tolerance: Annotated[float, Ge(0)] = 0.0,
        temperature: Annotated[float, Gt(0)] = 300.0,
        relaxations: Annotated[float, Gt(0)] = 6.0,
        idle_power: Annotated[float, Ge(0)] = 0.0,
        period: float | None = None,
    ):
        self.matrix, self.samples = matrix, samples
        self.build = {
            "resistance": resistance, "inductance": inductance, "noise": noise, "series": series,
            "tolerance": tolerance, "temperature": temperature, "value_range": value_range,
        }  # fmt: skip
        self.relaxations, self.joules = relaxations, joules_per_operation
        self.idle_power, self.period = idle_power, period

    def run(self, key, progress: Progress) -> Record:
        keys = jax.random.split(key, 3)
        a = np.asarray(self.matrix.draw(keys[0]))
        made = tj.circuits.program(a, key=keys[1], **self.build)
        circuit, nodes = made.circuit, made.circuit.dim
        times = np.asarray(circuit.time_constants())
        each = self.relaxations * float(times[0])
        fastest = float(np.max(np.abs(np.linalg.eigvals(np.asarray(circuit.process.drift)))))
        nothing = jnp.zeros((self.samples, nodes))
        with progress.phase("samples", 1, "batches") as phase:
            out = tj.simulate(
                circuit.system(tj.Constant(circuit.source, each)),
                keys[2],
                time_steps=math.ceil(each * fastest / 0.2),
                initial=tj.State(nothing, nothing),
            )
            phase.advance(1)
        v = np.asarray(circuit.read(out))
        x, target = np.asarray(made.decode(v)), np.linalg.inv(a)
        products = np.einsum("bi,bj->bij", x, x)
        error = products.std(0, ddof=1) / math.sqrt(len(x))
        inverse = tj.Estimate(products.mean(0), error, len(x))
        law = np.asarray(made.decode_covariance(circuit.stationary()[1]))
        flows = circuit.flows(out, each)
        relative = float(np.linalg.norm(inverse.value - target) / np.linalg.norm(target))
        bits = len(a) * (len(a) + 1) / 2 * max(0.0, math.log2(1 / relative))
        q = flows.heat
        heat = tj.Estimate(float(q.value) * len(x), float(q.error) * len(x), len(x))
        bill = tj.circuits.Bill(
            each * len(x), injected=float(flows.injected) * len(x), heat=heat, bits=bits,
            idle_power=self.idle_power, period=self.period, temperature=float(circuit.temperature),
            operations=2.0 * len(a) ** 3, joules_per_operation=self.joules,
        )  # fmt: skip

        results, device, record = Record(), Record(), Record()
        device.put("relative_error", relative)
        device.put("component_error", float(np.linalg.norm(law - target) / np.linalg.norm(target)))
        device.put("time", bill.time, "s")
        device.put("injected", bill.injected, "J")
        device.put("heat", heat, "J")
        device.put("total", bill.total, "J")
        results["device"] = device
        chosen = np.unique(np.geomspace(min(30, len(x)), len(x), SHOWN).astype(int))
        record.put("value", inverse, "1", ("coordinate", "coordinate"))
        record.put("law", law, "1", ("coordinate", "coordinate"))
        record.put("target", target, "1", ("coordinate", "coordinate"))
        record.put("samples", chosen, "1", ("picture",))
        record.put("pictures", np.stack([products[:n].mean(0) for n in chosen]))
        results["inverse"] = record
        results["cells"] = self.of_cells(made, v)
        results["spectra"] = self.of_spectra(made, times)
        rows = [list(row) for row in bill.rows()]
        results.attributes.update(
            matrix=self.matrix.title, samples=len(x), digital=bill.digital,
            bill="\n".join("\t".join(row) for row in rows),
            operations=f"2 dim^3, each {self.joules:g} J",
        )  # fmt: skip
        return results

    def of_cells(self, made: tj.circuits.Programmed, v) -> Record:
        """The voltage that is read of each cell, in the run and by the exact law."""
        record = Record()
        read = v @ np.asarray(made.readout).T
        square = np.mean(read**2, 0)
        error = np.std(read**2, 0, ddof=1) / math.sqrt(len(v))
        root = np.sqrt(square)
        covariance = np.asarray(made.circuit.stationary()[1])
        law = np.sqrt(np.diagonal(made.readout @ covariance @ made.readout.T))
        record.put("rms", tj.Estimate(root, error / (2 * root), len(v)), "V", ("cell",))
        record.put("law", law, "V", ("cell",))
        ground = {i: x for i, j, x in made.elements if j < 0}
        farads = np.array([ground.get(i, 0.0) for i in range(len(read[0]))])
        record.put("capacitance", farads, "F", ("cell",))
        record.put("gain", made.scale * np.asarray(made.gains), "1 / V", ("cell",))
        return record

    def of_spectra(self, made: tj.circuits.Programmed, times) -> Record:
        """The density of the noise of every node, V / sqrt(Hz), one-sided."""
        record = Record()
        frequency = np.geomspace(0.01, 30.0, 120) / (2 * math.pi * float(times[-1]))
        density = np.sqrt(np.asarray(made.circuit.spectrum(frequency)))[:, : len(made.gains)]
        record.put("frequency", frequency, "Hz", ("frequency",))
        record.put("density", density, "V / sqrt(Hz)", ("frequency", "cell"))
        return record
