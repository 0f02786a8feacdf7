"""What the slowest modes, set beforehand from a few products, save of the time to equilibrium."""

from __future__ import annotations

import jax
import numpy as np

import thermojax as tj
from thermojax.experiment.results.store import Record

LEFT = 1e-3  # of the answer: what may be left of the start
TIMES = 160
SLOW = 4  # eigenvalues far below all others, in the one of the spectra


def spectra(dimension: int, condition: float) -> dict[str, np.ndarray]:
    """Eigenvalues spread evenly in their logarithm; and four of them apart, far below."""
    apart = np.geomspace(condition / 10, condition, dimension - SLOW)
    return {
        "even": np.geomspace(1.0, condition, dimension),
        "apart": np.concatenate([np.linspace(1.0, 4.0, SLOW), np.maximum(apart, 8.0)]),
    }


def slow_mode_records(settings, key, phase) -> Record:
    """Biases through time of every start, on every spectrum, of b that is white."""
    record = Record()
    dimension = settings.dimension
    products = [n for n in settings.products if n <= dimension]
    record.put("condition", np.asarray(settings.conditions, float), "1", ("condition",))
    record.put("products", np.asarray(products), "1", ("products",))
    random = np.random.default_rng(int(jax.random.randint(key, (), 0, 2**31 - 1)))
    vectors = np.linalg.qr(random.normal(size=(dimension, dimension)))[0]
    b = random.normal(size=dimension)
    for i, condition in enumerate(settings.conditions):
        for name, values in spectra(dimension, condition).items():
            record[f"{name}_{i}"] = starts(values, vectors, b, products, key)
        phase.advance(1)
    return record


def starts(values: np.ndarray, vectors: np.ndarray, b: np.ndarray, products, key) -> Record:
    """The bias of solve through time, and the times of solve and inv, from every start."""
    matrix = (vectors * values) @ vectors.T
    answer = (vectors.T @ b) / values
    inverse = np.diag(1 / values)
    time = np.linspace(0, 8, TIMES)  # in relaxation times: the lowest eigenvalue is one

    def bias(start: np.ndarray) -> np.ndarray:
        """|e^(-A t) (start - answer)| / |answer| at many times."""
        off = np.exp(-np.outer(time, values)) * (start - answer)
        return np.linalg.norm(off, axis=1) / np.linalg.norm(answer)

    def mean_time(start: np.ndarray) -> float:
        left = lambda t: np.linalg.norm(np.exp(-values * t) * (start - answer))
        return waited(left, LEFT * float(np.linalg.norm(answer)))

    def covariance_time(start: np.ndarray) -> float:
        decay = lambda t: np.exp(-values * t)
        left = lambda t: np.linalg.norm(decay(t)[:, None] * (start - inverse) * decay(t))
        return waited(left, LEFT * float(np.linalg.norm(inverse)))

    record = Record()
    record.put("time", time, "relaxation times", ("time",))
    idle = np.zeros_like(values), np.eye(len(values)) / values[-1]
    record.put("plain", bias(idle[0]), "1", ("time",))
    record.put("plain_solve", mean_time(idle[0]), "relaxation times")
    record.put("plain_inverse", covariance_time(idle[1]), "relaxation times")
    columns: dict[str, list] = {}
    for count in products:
        slow = tj.linalg.slow_modes(matrix, key, products=count)
        held = vectors.T @ np.asarray(slow.vectors)
        softer = 1 / np.asarray(slow.values) - 1 / values[-1]
        conjugate = tj.linalg.slow_modes(matrix, key, products=count, first=b)
        begun = [vectors.T @ np.asarray(x.mean(b)) for x in (slow, conjugate)]
        found = {
            "slow": bias(begun[0]),
            "conjugate": bias(begun[1]),
            "slow_solve": mean_time(begun[0]),
            "slow_inverse": covariance_time(idle[1] + (held * softer) @ held.T),
            "conjugate_solve": mean_time(begun[1]),
            "residual": float(slow.residuals[0] / slow.values[0]),
        }
        for name, value in found.items():
            columns.setdefault(name, []).append(value)
    for name, column in columns.items():
        axes = ("products", "time") if np.ndim(column[0]) else ("products",)
        record.put(name, np.asarray(column), "1", axes)
    return record


def waited(left, enough: float) -> float:
    """The first time at which no more than enough is left, of what falls with time."""
    if left(0.0) <= enough:
        return 0.0
    low, high = 0.0, 1.0
    while left(high) > enough:
        low, high = high, 2 * high
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if left(middle) > enough else (low, middle)
    return high
