"""A quadratic program in a box by a device between walls: what cooling it gains, and costs."""

from __future__ import annotations

from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Lt
from scipy.optimize import lsq_linear, minimize

import thermojax as tj
from experiments.linear_algebra_figures import rounded
from thermojax.experiment.results.store import Record
from thermojax.experiment.results.style import BLUE, INK, ORANGE, SKY, VERMILION, legend, new
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy


def errors_figure(results: Record):
    """The distance from the minimum against kT, of the mean and of its extrapolation."""
    figure, (axis,) = new()
    columns = [results[name] for name in results.attributes["columns"]]
    kt = np.array([column["temperature"] for column in columns])
    law = np.array([column["law"] for column in columns])
    axis.plot(kt, law, color=INK, lw=1, label="kT / force")
    axis.plot(kt, [c["warm"] for c in columns], "o", color=ORANGE, label="mean at kT")
    axis.plot(kt, [c["distance"] for c in columns], "o", color=BLUE, label="extrapolated to 0")
    noise = [c["noise"] for c in columns]
    axis.plot(kt, noise, "_", color=SKY, ms=12, label="its standard error")
    bound = [c["bound"] for c in columns]
    axis.plot(kt, bound, "v", color=VERMILION, ms=5, label="bound by the residual")
    axis.set(xlabel="kT", ylabel="distance from the minimum", xscale="log", yscale="log")
    axis.set_xticks(kt, [f"{x:g}" for x in kt])
    axis.set_xticks([], minor=True)
    legend(figure)
    return figure, (
        "The distance from the minimum. A coordinate that a force presses against its wall stands "
        "off by kT / force where that is small, as the line says for all coordinates together, a "
        "fifth more with the steps of the simulation; the extrapolation from kT and kT / 2 removes "
        "this order. The bound needs no knowledge of the minimum."
    )


def box_figure(results: Record):
    """The walls, the minimum, and the answer of the coldest device."""
    problem, name = results["problem"], results.attributes["columns"][-1]
    exact, free = np.asarray(problem["minimum"]), np.asarray(problem["unconstrained"])
    number = np.arange(1, len(exact) + 1)
    figure, (axis,) = new()
    for side, sign in ("lower", -1), ("upper", 1):
        wall = np.full(len(exact), problem[side])
        axis.plot(number, wall, color=INK, lw=1, label="walls" if sign < 0 else None)
    value = results[name]["value"]
    axis.plot(number, free, "x", color=ORANGE, label="minimum without walls")
    axis.plot(number, exact, "s", color=SKY, ms=8, mfc="none", label="minimum")
    axis.errorbar(
        number, np.asarray(value.value), np.asarray(value.error), fmt="o", ms=3.5, color=BLUE,
        label="device, extrapolated",
    )  # fmt: skip
    axis.set(xlabel="coordinate", ylabel="x", xticks=number)
    legend(figure)
    return figure, (
        f"The answer of the device at {name}, extrapolated, beside the minimum by an active-set "
        "method. The coordinates are coupled: a wall can hold one whose minimum without walls lies "
        "inside, and one whose minimum without walls lies outside can rest between the walls."
    )


def verdict(results: Record) -> str:
    """What a computer needs for the same, in words."""
    coldest = results[results.attributes["columns"][-1]]
    return (
        f"L-BFGS-B comes as near as the coldest device with {coldest['lbfgsb']} products of A "
        f"with a vector, of which the simulation of that device took {coldest['products']:,}."
    )


class BoxProgram(AbstractStudy):
    r"""min x . A x / 2 - b . x with -1 <= x <= 1 for a random A of given condition, and random b.

    The reference is bounded-variable least squares, an active-set method. Every column is
    `tj.linalg.box_qp` at one temperature.
    """

    question = "How near to the minimum in a box does a cold device come, and at what cost?"
    figures: ClassVar = {"errors": errors_figure, "box": box_figure}
    sentences: ClassVar = (verdict,)
    doubts: ClassVar = ()
    headline: ClassVar[dict[str, str]] = {
        "distance, mean at kT": "warm",
        "distance, extrapolated": "distance",
        "its standard error": "noise",
        "bound by the residual": "bound",
        "active walls found": "active",
        "device time (relaxation times)": "device_time",
        "work": "work",
        "heat": "heat",
        "products, simulated": "products",
        "products, L-BFGS-B": "lbfgsb",
    }

    def __init__(
        self,
        dim: Annotated[int, Ge(2)],
        condition: Annotated[float, Gt(1)],
        pull: Annotated[float, Gt(0)],
        temperatures: tuple[float, ...],
        time: Annotated[float, Gt(0)],
        trajectories: Annotated[int, Gt(0)],
        lower: Annotated[float, Lt(0)] = -1.0,
        upper: Annotated[float, Gt(0)] = 1.0,
    ):
        if not temperatures or min(temperatures) <= 0:
            raise ValueError(f"temperatures = {temperatures}: expected positive numbers kT")
        self.dim, self.condition, self.pull = dim, condition, pull
        self.temperatures = tuple(sorted(temperatures, reverse=True))
        self.time, self.trajectories = time, trajectories
        self.lower, self.upper = lower, upper
        self.columns = tuple(f"kT = {kt:g}" for kt in self.temperatures)

    def run(self, key, progress: Progress) -> Record:
        matrix_key, b_key, key = jax.random.split(key, 3)
        turned, _ = jnp.linalg.qr(jax.random.normal(matrix_key, (self.dim, self.dim)))
        A = np.asarray((turned * jnp.geomspace(1 / self.condition, 1, self.dim)) @ turned.T, float)
        A = 0.5 * (A + A.T)
        b = self.pull * np.asarray(jax.random.normal(b_key, (self.dim,)), float)
        root = np.linalg.cholesky(A).T
        bounds = (self.lower, self.upper)
        exact = lsq_linear(root, np.linalg.solve(root.T, b), bounds, method="bvls", tol=1e-14).x
        held = (exact <= self.lower + 1e-9) * -1 + (exact >= self.upper - 1e-9)
        results = Record()
        results["problem"] = problem = Record()
        problem.put("minimum", exact, "1", ("coordinate",))
        problem.put("unconstrained", np.linalg.solve(A, b), "1", ("coordinate",))
        problem.put("lower", self.lower)
        problem.put("upper", self.upper)
        first_order = np.linalg.norm(response(A, A @ exact - b, held))
        with progress.phase("cooling", len(self.columns), "temperatures") as shown:
            for name, kt in zip(self.columns, self.temperatures, strict=True):
                found = tj.linalg.box_qp(
                    A, b, *bounds, key, temperature=kt, time=self.time,
                    trajectories=self.trajectories,
                )  # fmt: skip
                results[name] = record = Record()
                off = float(np.linalg.norm(found.value - exact))
                record.put("temperature", kt, "energy")
                record.put("value", tj.Estimate(found.value, found.error, found.samples))
                record.put("warm", rounded(np.linalg.norm(found.warm - exact)))
                record.put("law", float(kt * first_order))
                record.put("distance", rounded(off))
                record.put("noise", rounded(jnp.linalg.norm(found.error)))
                record.put("bound", rounded(found.distance))
                right = int(np.sum((found.active == held) & (held != 0)))
                record.put("active", f"{right} of {np.count_nonzero(held)}")
                record.put("device_time", rounded(found.time.total), "relaxation times")
                record.put("work", found.energy.work, "energy")
                record.put("heat", found.energy.heat, "energy")
                record.put("products", found.products, "products")
                record.put("lbfgsb", evaluations(A, b, bounds, exact, off), "products")
                shown.advance(note=f"distance {off:.2g}")
        return results


def response(A: np.ndarray, gradient: np.ndarray, held: np.ndarray) -> np.ndarray:
    """The displacement of the mean from the minimum per kT, to first order.

    A held coordinate stands off by 1 / force; the free ones follow with -A_ff^-1 A_fh.
    """
    off, walls, free = np.zeros(len(held)), held != 0, held == 0
    off[walls] = -held[walls] / np.abs(gradient[walls])
    off[free] = -np.linalg.solve(A[np.ix_(free, free)], A[np.ix_(free, walls)] @ off[walls])
    return off


def evaluations(A, b, bounds, exact, distance: float) -> int:
    """How many gradients L-BFGS-B takes from zero until it is as near to the minimum."""
    seen = []

    def function(x):
        gradient = A @ x - b
        seen.append(np.linalg.norm(x - exact))
        return 0.5 * x @ (gradient - b), gradient

    limits = [bounds] * len(b)
    minimize(function, np.zeros(len(b)), jac=True, method="L-BFGS-B", bounds=limits, tol=1e-15)
    near = np.flatnonzero(np.asarray(seen) <= distance)
    return int(near[0]) + 1 if len(near) else len(seen)
