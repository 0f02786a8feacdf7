"""The equilibrium of double wells, from flat ones to barriers and tilts of many orders of kT."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

import thermojax as tj

ONE = jnp.zeros(1)


def moment(barrier, z, excess, y, k):
    """y^k exp(-(U(z + y) - U(z))) of the bottom z of a well."""
    return y**k * np.exp(-barrier * ((y * (2 * z + y)) ** 2 + 2 * excess * y**2))


def reference(barrier, a, tilt):
    """F, and of the deepest well its share, mean and standard deviation, by quadrature (kT = 1)."""
    roots = np.roots([1, 0, -a, -tilt / (4 * barrier)])
    roots = np.sort(roots[np.abs(roots.imag) < 1e-9].real)
    wells = [roots[0], roots[-1]] if len(roots) > 1 else [roots[0]]
    between = [-roots[0] - roots[-1]] if len(roots) > 1 else []
    found = []
    for z, low, high in zip(wells, [-np.inf, *between], [*between, np.inf], strict=True):
        for _ in range(5):
            z = z - (z**3 - a * z - tilt / 4 / barrier) / max(3 * z**2 - a, 1e-3)
        excess = z**2 - a
        width = max(barrier * (12 * z**2 - 4 * a), np.sqrt(barrier)) ** -0.5
        density = partial(moment, barrier, z, excess)
        low, high = max(low - z, -12 * width), min(high - z, 12 * width)
        halves = [
            [integrate.quad(density, *half, args=(k,), epsabs=0)[0] for k in range(3)]
            for half in ((low, 0), (0, high))
        ]
        moments = np.sum(halves, axis=0)
        found.append((barrier * excess**2 - tilt * z, z, moments))
    lowest = min(depth for depth, *_ in found)
    weights = np.array([np.exp(lowest - depth) * m[0] for depth, _, m in found])
    free_energy = lowest - np.log(weights.sum()) + barrier * (1 - a**2)
    deepest = int(np.argmax(weights))
    _, z, (zeroth, first, second) = found[deepest]
    mean = first / zeroth
    side = 0.0 if len(found) == 1 else (1.0 if deepest else -1.0)
    return (
        free_energy,
        weights[deepest] / weights.sum(),
        (z, mean, np.sqrt(second / zeroth - mean**2)),
        (side, between[0] if between else 0.0),
    )


CASES = [
    (1.0, 1.0, 0.0),
    (14.0, 1.0, 3.0),
    (1e6, 1.0, 0.2),
    (1e10, 1.0, 0.3),
    (1.0, 1.0, 1e5),
    (2.0, 0.5, 1e6),
    (1e6, -1.0, 0.0),
    (1e4, 0.0, 0.0),
    (1e5, 0.3, -50.0),
    (1e3, 1.0, 8e3 / 27**0.5),  # where the second well ends
    (1e6, 1.0, 1e5),
]


# Compiled once for all cases.
@jax.jit
def free_energy(parameters):
    barrier, a, tilt, kt = parameters
    control = jnp.stack([a, tilt])
    return tj.DoubleWell(barrier).free_energy(control, kt, ONE.astype(control.dtype))


@jax.jit
def draws(parameters):
    barrier, a, tilt, kt = parameters
    control = jnp.stack([a, tilt])
    template = ONE.astype(control.dtype)
    return tj.DoubleWell(barrier).sample(jax.random.key(3), control, kt, 40_000, template)


@jax.jit
def mean(parameters):
    return jnp.mean(draws(parameters)[:500])


SLOPES = {"F": jax.jit(jax.grad(free_energy)), "mean": jax.jit(jax.grad(mean))}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64], ids=str)
@pytest.mark.parametrize(("barrier", "a", "tilt"), CASES)
def test_equilibria_of_any_barrier_and_tilt(barrier, a, tilt, dtype):
    """Free energy and draws against quadrature; the grid was too coarse beyond 1e6 kT."""
    exact, share, (z, center, sd), (side, between) = reference(barrier, a, tilt)
    parameters = jnp.asarray([barrier, a, tilt, 1.0], dtype)
    eps = float(jnp.finfo(dtype).eps)
    found, x = free_energy(parameters), np.asarray(draws(parameters), float).ravel()
    rounding = 4 * eps * (10 + abs(exact) + barrier * abs(1 - a**2) + abs(tilt * z))
    assert abs(float(found) - exact) < rounding + 1e-11
    inside = x if side == 0 else x[side * (x - between) > 0]
    n, grain = len(inside), eps * abs(z)  # positions themselves are rounded
    assert abs(n / len(x) - share) < 4.5 * np.sqrt(share * (1 - share) / len(x)) + 1e-9
    assert abs(np.mean(inside - z) - center) < 4.5 * sd / np.sqrt(n) + grain
    assert abs(np.std(inside - z) / sd - 1) < 4.5 / np.sqrt(2 * n) + grain / sd


@pytest.mark.parametrize(
    ("barrier", "a", "tilt"), [(4.0, 1.0, 0.3), (1e6, 0.9, 0.2), (1.0, 1.0, 1e4)]
)
def test_gradients_of_equilibria(barrier, a, tilt):
    """By every parameter: of F, and of draws along their path, against differences."""
    at = jnp.array([barrier, a, tilt, 1.0])
    for name, function in ("F", free_energy), ("mean", mean):
        gradient = SLOPES[name](at)
        for i, value in enumerate(at):
            # Draws move along their path only as long as they stay in their cell of the grid.
            step = 1e-6 * jnp.maximum(jnp.abs(value), 10) if name == "F" else 1e-7 * value
            change = jnp.zeros(4).at[i].set(step)
            numeric = (function(at + change) - function(at - change)) / (2 * step)
            allowed = (1e-4 if name == "F" else 2e-2) * (jnp.abs(numeric) + 1e-4)
            assert jnp.abs(gradient[i] - numeric) < allowed, (name, i)
