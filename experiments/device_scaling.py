"""How long a device takes, against dimension and condition number, over- and underdamped."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt

import thermojax as tj
from experiments.matrices import LogSpaced, Wishart
from thermojax.experiment.results.store import Record
from thermojax.experiment.results.style import BLUE, GREEN, INK, ORANGE, VERMILION, legend, new
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy
from thermojax.linalg.device.device import DYNAMICS, Device, device_for
from thermojax.linalg.device.exact import Modes, average_variances
from thermojax.linalg.device.relaxation import relaxation_of

LARGEST_DRAWN = 1024  # random matrices beyond take minutes to decompose
LARGEST_RUN = 64  # dimension of the devices that are run
LONG = 10.0  # relaxation times of an average whose length is a power law
SHORTEST = 1e-6  # relaxation times of an average that is a single reading
FEWEST = 4  # points of a fit
ENOUGH = 20.0  # relaxation times after which an average has forgotten its ends to rounding


class Ensemble(NamedTuple):
    """Of problems: what its rows are called, and what the talk says of its power of dim."""

    title: str
    talk: float | None
    law: tuple[float, float]  # powers of dim and condition number, up to logarithms
    color: str


PROBLEMS = {
    "solve": Ensemble("solve, random b, |b| = 1", 1.0, (1.0, 0.0), BLUE),
    "solve_scaled": Ensemble("solve, random b, |b|^2 = dim", None, (0.0, 0.0), GREEN),
    "solve_worst": Ensemble("solve, stiffest b, |b| = 1", 1.0, (1.0, 2.0), ORANGE),
    "inv": Ensemble("inverse, Frobenius norm", 2.0, (1.0, 1.0), INK),
}


def device_of(values: np.ndarray, dynamics: str) -> Device:
    """The device for a matrix of these eigenvalues, ascending."""
    modes = Modes(jnp.asarray(values), jnp.eye(0))  # a spectrum asks for no vectors
    return device_for(modes.spectrum, dynamics, None)


def averaging_time(problem: str, values: np.ndarray, device: Device, rtol: float) -> float:
    """The time after which the root mean square of the relative error is rtol.

    Relative to the root mean square of the answer, over directions of b where they are random.
    """
    dim, inverse_squares = len(values), np.sum(1 / values**2)
    if problem == "inv":
        return inverse_time(values, device, rtol**2 * inverse_squares)
    along = {
        "solve": inverse_squares / dim,
        "solve_scaled": inverse_squares,
        "solve_worst": 1 / values[-1] ** 2,
    }
    allowed = rtol**2 * along[problem]
    variance = lambda time: float(jnp.sum(average_variances(jnp.asarray(values), device, time)))
    return bisected(lambda time: variance(time) <= allowed, device.relaxation)


def inverse_time(values: np.ndarray, device: Device, allowed: float) -> float:
    """Of an inverse: sum_ij (1 + [i = j]) / (k_i k_j) times what the average leaves, = allowed.

    After many relaxation times that is 2 S1 / T - 2 S2 / T^2 exactly, with S_n the sums of
    weights / rates^n: a quadratic equation, in place of dim^2 exponentials for each guess.
    """
    memory = relaxation_of(jnp.asarray(values), device)
    sums = np.zeros(2)
    weights, rates = np.asarray(memory.parts), np.asarray(memory.rates)
    for i, k in enumerate(values):  # row by row: dim^2 complex numbers are many
        alone = (1 + (np.arange(len(values)) == i)) / (k * values)
        for w, r in zip(weights[:, i], rates[:, i], strict=True):
            together = rates + r
            sums += [np.sum(alone * w * weights / together**n).real for n in (1, 2)]
    time = (sums[0] + math.sqrt(sums[0] ** 2 - 2 * allowed * sums[1])) / allowed
    if time < ENOUGH * device.relaxation:
        raise ValueError(f"rtol: an average of {time:.3g} is too short for the law; expected less")
    return time


def bisected(enough, unit: float) -> float:
    """The least time that is enough; 0 where a single reading is."""
    if enough(SHORTEST * unit):
        return 0.0
    low = high = unit
    while not enough(high):
        high *= 2
    while enough(low):
        low /= 2
    while high > (1 + 1e-6) * low:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def powers(dims, conditions, times) -> list[tuple[float, float]]:
    """Fitted powers of dim and condition number with standard errors; NaN where one is fixed."""
    logs = [np.log(np.asarray(x, float)) for x in (dims, conditions)]
    free = [i for i, x in enumerate(logs) if np.ptp(x) > 0]
    table = np.stack([np.ones(len(times)), *(logs[i] for i in free)], axis=1)
    y = np.log(times)
    found, *_ = np.linalg.lstsq(table, y, rcond=None)
    left = y - table @ found
    spread = left @ left / max(len(y) - table.shape[1], 1)
    errors = np.sqrt(spread * np.diag(np.linalg.inv(table.T @ table)))
    given = dict(zip(free, zip(found[1:], errors[1:], strict=True), strict=True))
    return [given.get(i, (math.nan, math.nan)) for i in range(2)]


def rows_of(record: Record, **wanted) -> np.ndarray:
    """Which rows of a stored table have these entries."""
    return np.logical_and.reduce([np.asarray(record[x]) == value for x, value in wanted.items()])


def scaling(results: Record):
    """Averaging time against dimension and against condition number."""
    record = results.get("log_spaced")
    if record is None:
        return None
    dims, conditions = np.unique(record["dim"]), np.unique(record["condition"])
    panels = [(x, name) for x, name in ((dims, "dim"), (conditions, "condition")) if len(x) > 1]
    figure, axes = new(len(panels), 0.8 + 2.5 * len(panels), sharex=False)
    middle = {"dim": dims[len(dims) // 2], "condition": conditions[len(conditions) // 2]}
    notes = []
    for ax, (_, name) in zip(axes, panels, strict=True):
        other = "condition" if name == "dim" else "dim"
        for problem, ensemble in PROBLEMS.items():
            for dynamics, dashes in zip(DYNAMICS, ("-", "--"), strict=True):
                held = {other: middle[other]}
                mine = rows_of(record, problem=problem, dynamics=dynamics, **held)
                label = ensemble.title if dynamics == "overdamped" else None
                time = np.where(record["averaging"] > 0, record["averaging"], np.nan)[mine]
                ax.plot(record[name][mine], time, dashes, label=label, color=ensemble.color,
                        marker="o", ms=3, lw=1.3)  # fmt: skip
        for dynamics, dashes in zip(DYNAMICS, ("-", "--"), strict=True):
            mine = rows_of(record, problem="inv", dynamics=dynamics, **{other: middle[other]})
            label = "equilibration" if dynamics == "overdamped" else None
            ax.plot(record[name][mine], record["equilibration"][mine], dashes, label=label,
                    color=VERMILION, lw=0.9)  # fmt: skip
        text = {"dim": "dimension", "condition": "condition number"}
        ax.set(xscale="log", yscale="log", xlabel=text[name], ylabel="time",
               title=f"at {text[other]} {middle[other]:g}")  # fmt: skip
        notes.append(text[name])
    legend(figure, columns=2)
    return figure, (
        f"The device time of an average with a relative error of {record.attributes['rtol']:g} "
        f"(root mean square), against {' and '.join(notes)}: solid overdamped, dashed underdamped "
        "with the friction that relaxes fastest. Eigenvalues in equal ratios up to 1; kT = m = 1, "
        "and overdamped a friction of 1. Thin: the time to come to equilibrium, which is apart. "
        "Where a point is missing a single reading is enough; the stiffest b points along the mode "
        "of the largest eigenvalue."
    )


def exponents(results: Record) -> list[list[str]]:
    """Fitted powers beside those of the law and of the talk."""
    held = "law, logarithms apart"
    rows = [["problem", "dynamics", "power of dim", held, "talk", "power of condition", held]]
    for problem, ensemble in PROBLEMS.items():
        for dynamics in (name for name in DYNAMICS if name in results):
            found = [results[dynamics].get(f"{problem}_{x}") for x in ("dim", "condition")]
            shift = 0.5 if dynamics == "underdamped" else 0.0  # its friction: 2 sqrt(lambda_min)
            law = [f"{ensemble.law[0]:g}", f"{ensemble.law[1] - shift:g}"]
            talk = "-" if ensemble.talk is None else f"{ensemble.talk:g}"
            fitted = ["-" if x is None else str(x) for x in found]
            rows.append([ensemble.title, dynamics, fitted[0], law[0], talk, fitted[1], law[1]])
    return rows if len(rows) > 1 else []


def times(results: Record) -> list[list[str]]:
    """Times at the ends and the middle of both ranges: overdamped / underdamped."""
    record = results.get("log_spaced")
    if record is None:
        return []
    ranges = [np.unique(record[name]) for name in ("dim", "condition")]
    shown = [sorted({x[0], x[len(x) // 2], x[-1]}) if len(x) > 5 else x for x in ranges]
    rows = [["dim", "condition", "equilibration", *(e.title for e in PROBLEMS.values())]]
    for dim in shown[0]:
        for condition in shown[1]:
            here = dict(dim=dim, condition=condition)
            cells = [both(record, "equilibration", problem="inv", **here)]
            cells += [both(record, "averaging", problem=name, **here) for name in PROBLEMS]
            rows.append([f"{dim:g}", f"{condition:g}", *cells])
    return rows


def both(record: Record, name: str, **wanted) -> str:
    """One number of the over- and of the underdamped device."""
    found = [record[name][rows_of(record, dynamics=x, **wanted)][0] for x in DYNAMICS]
    return " / ".join(f"{x:.3g}" for x in found)


def wishart_times(results: Record) -> list[list[str]]:
    """The Wishart ensemble: means over matrices with their standard errors."""
    record = results.get("wishart")
    if record is None:
        return []
    rows = [["dim", "problem", *DYNAMICS]]
    for dim in np.unique(record["dim"]):
        for problem, ensemble in PROBLEMS.items():
            cells = []
            for dynamics in DYNAMICS:
                here = rows_of(record, dim=dim, problem=problem, dynamics=dynamics)
                x = record["averaging"][here]
                mean, error = x.mean(), x.std(ddof=1) / math.sqrt(len(x))
                cells.append(str(tj.Estimate(mean, error, len(x))))
            rows.append([f"{dim:g}", ensemble.title, *cells])
    return rows


def against_dimension(results: Record) -> str:
    """What the dimension has to do with it, and what it has not."""
    facts = results["log_spaced"].attributes
    return (
        f"A relative error of {facts['rtol']:g} in the root mean square: for a random b whose "
        "entries stay as large (|b|^2 = dim) the time of a solve does not depend on the dimension "
        "at all; it grows with the dimension where the length of b is held, and with the square of "
        "the condition number, too, where b points along the stiffest mode, which is the worst "
        "case. On a digital computer conjugate gradients take about sqrt(condition) ln(2 / error) "
        "/ 2 products of the matrix with a vector, whatever b is."
    )


def checks(results: Record) -> str:
    """How far the errors of the runs are from the law."""
    if "checked" not in results:
        return ""
    found = results["checked"]["squared_error"]
    value, error = np.asarray(found.value), np.asarray(found.error)
    off = (value - 1) / error
    return (
        f"{off.size} devices of up to {np.max(results['checked']['dim']):g} coordinates were run "
        f"for the time of the law, {int(found.count)} times each: the mean squared error, in units "
        f"of what the law says, is {np.mean(value):.3f} on average, and at most "
        f"{np.max(np.abs(off)):.1f} standard errors from 1."
    )


class DeviceScaling(AbstractStudy):
    """The time of a device to a fixed error, by the exact law and checked by runs.

    Eigenvalues are in equal ratios from 1/condition to 1, so that the stiffest mode has the
    stiffness 1; beside them the Wishart ensemble. Dimensions up to thousands need no matrix, for
    the law asks for eigenvalues alone; where `repetitions` are given, devices of the smallest and
    the middle dimension are run for as long as the law says, and their errors compared.
    """

    question = "How does the time of a device grow with the dimension and the condition number?"
    columns = DYNAMICS
    headline: ClassVar[dict[str, str]] = {
        "inverse, power of dim": "inv_dim",
        "inverse, power of condition": "inv_condition",
        "solve with |b| = 1, power of dim": "solve_dim",
        "solve in the worst case, power of condition": "solve_worst_condition",
    }
    figures: ClassVar = {"scaling": scaling}
    tables: ClassVar = {
        f"powers of the averaging time, where it is over {LONG:g} relaxation times": exponents,
        "overdamped / underdamped times, eigenvalues in equal ratios from 1/condition to 1": times,
        "averaging times, Wishart of 2 dim samples, divided by 2 dim": wishart_times,
    }
    sentences: ClassVar = (against_dimension, checks)

    def __init__(
        self,
        dims: list[int],
        conditions: list[float],
        rtol: Annotated[float, Gt(0)],
        repetitions: Annotated[int, Ge(0)],
        wishart: list[int] | None = None,
        draws: Annotated[int, Ge(2)] = 8,
    ):
        if not dims or min(dims) < 2:
            raise ValueError(f"dims = {dims}: expected dimensions of at least 2")
        if not conditions or min(conditions) <= 1:
            raise ValueError(f"conditions = {conditions}: expected numbers above 1")
        if rtol >= 1:
            raise ValueError(f"rtol = {rtol:g}: expected a relative error below 1")
        wishart = wishart or []
        if repetitions and (repetitions < 2 or min(dims) > LARGEST_RUN):
            raise ValueError(
                f"repetitions = {repetitions}: expected 0, or at least 2 with a dimension of at "
                f"most {LARGEST_RUN} among dims"
            )
        if wishart and not 2 <= min(wishart) <= max(wishart) <= LARGEST_DRAWN:
            raise ValueError(f"wishart = {wishart}: expected dimensions from 2 to {LARGEST_DRAWN}")
        self.dims, self.conditions, self.rtol = dims, conditions, rtol
        self.repetitions, self.wishart, self.draws = repetitions, wishart, draws

    def run(self, key, progress: Progress) -> Record:
        results = Record()
        grid = [(d, c) for d in self.dims for c in self.conditions]
        rows = []
        with progress.phase("law", len(grid), "spectra") as phase:
            for dim, condition in grid:
                values = np.geomspace(1 / condition, 1.0, dim)
                rows += [(dim, condition, *row) for row in self.of_spectrum(values)]
                phase.advance(1)
        results["log_spaced"] = self.table(rows)
        drawn = []
        with progress.phase("Wishart", len(self.wishart), "dimensions") as phase:
            for dim in self.wishart:
                for own in jax.random.split(jax.random.fold_in(key, dim), self.draws):
                    values = np.linalg.eigvalsh(np.asarray(Wishart(dim).draw(own), float))
                    rows = self.of_spectrum(values)
                    drawn += [(dim, values[-1] / values[0], *row) for row in rows]
                phase.advance(1)
        if drawn:
            results["wishart"] = self.table(drawn)
        if self.repetitions:
            results["checked"] = self.checked(key, progress)
        for dynamics in DYNAMICS:
            results[dynamics] = self.summary(results, dynamics)
        return results

    def of_spectrum(self, values: np.ndarray):
        """(problem, dynamics, relaxation, equilibration, averaging) for these eigenvalues."""
        for dynamics in DYNAMICS:
            device = device_of(values, dynamics)
            wait = device.relaxation * math.log(10 / self.rtol)
            for problem in PROBLEMS:
                time = averaging_time(problem, values, device, self.rtol)
                yield problem, dynamics, device.relaxation, wait, time

    def table(self, rows: list[tuple]) -> Record:
        record, columns = Record(), [np.asarray(x) for x in zip(*rows, strict=True)]
        names = "dim", "condition", "problem", "dynamics", "relaxation", "equilibration"
        for name, column in zip((*names, "averaging"), columns, strict=True):
            record.put(name, column, "1", ("row",))
        record.attributes["rtol"] = self.rtol
        return record

    def checked(self, key, progress: Progress) -> Record:
        """Runs of the device for as long as the law says: their errors, in those of the law."""
        small = [dim for dim in self.dims if dim <= LARGEST_RUN]
        dims = sorted({small[0], small[-1]})
        rows, found = [], []
        total = len(dims) * len(self.conditions) * 2
        with progress.phase("runs", total, "devices") as phase:
            for dim in dims:
                for condition in self.conditions:
                    a = LogSpaced(dim, condition).draw(key)
                    for dynamics in DYNAMICS:
                        squared = self.squared_error(a, condition, dynamics, key)
                        if squared is not None:
                            rows.append((dim, condition, dynamics))
                            found.append(squared)
                        phase.advance(1)
        record = Record()
        for name, column in zip(
            ("dim", "condition", "dynamics"), zip(*rows, strict=True), strict=True
        ):
            record.put(name, np.asarray(column), "1", ("row",))
        value, error = np.asarray(found).T
        record.put("squared_error", tj.Estimate(value, error, self.repetitions), "1", ("row",))
        return record

    def squared_error(self, a, condition: float, dynamics: str, key):
        """|x - A^-1 b|^2 in units of its law, over repetitions with random b: 1, with its error.

        None where the law asks for no more than a single reading.
        """
        values = np.geomspace(1 / condition, 1.0, len(a))
        device = device_of(values, dynamics)
        time = averaging_time("solve", values, device, self.rtol)
        if time < device.relaxation:
            return None
        allowed = self.rtol**2 * np.mean(1 / values**2)
        squares = []
        for own in jax.random.split(key, self.repetitions):
            b = jax.random.normal(own, (len(a),))
            b = b / jnp.linalg.norm(b)
            x = tj.linalg.solve(a, b, own, time=time, dynamics=dynamics, method="exact").value
            squares.append(float(jnp.sum((x - jnp.linalg.solve(a, b)) ** 2)) / allowed)
        return float(np.mean(squares)), float(np.std(squares, ddof=1) / math.sqrt(len(squares)))

    def summary(self, results: Record, dynamics: str) -> Record:
        record = Record()
        source = results["log_spaced"]
        for problem in PROBLEMS:
            mine = rows_of(source, problem=problem, dynamics=dynamics)
            mine &= source["averaging"] > LONG * source["relaxation"]
            count = int(mine.sum())
            if count < FEWEST:
                continue
            fits = powers(*(source[x][mine] for x in ("dim", "condition", "averaging")))
            for name, (value, error) in zip(("dim", "condition"), fits, strict=True):
                if not math.isnan(value):
                    record.put(f"{problem}_{name}", tj.Estimate(value, error, count))
        return record
