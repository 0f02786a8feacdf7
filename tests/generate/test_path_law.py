"""The law of paths and its gradient, against densities and normal equations written down here."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

import thermojax as tj
from tests.generate.machines import BATCH, DT, KEY, noising, paths, slope, small
from thermojax._keys import Purpose, part_key
from thermojax.generate.network import Couplings
from thermojax.generate.path_law import log_ratios


def loss_of_paths(couplings: Couplings) -> jax.Array:
    computer = eqx.tree_at(lambda c: c.couplings, small(), couplings)
    return jnp.mean(log_ratios(computer, paths()))


SLOPE = jax.jit(jax.grad(loss_of_paths))


def on_site(x, force: Any = 0.0):
    return (x**2 + x**4 - force * x) / 0.5


def log_partition(force: float) -> float:
    return np.log(integrate.quad(lambda x: np.exp(-on_site(x, force)), -6, 6)[0])


def test_ratios_are_those_of_normal_densities_and_of_starts_by_quadrature():
    ratios, found, kt = log_ratios(small(), paths()), paths(), 0.5
    x, fields, a = (np.asarray(v) for v in (found.position, found.fields, found.strength))
    np.testing.assert_allclose(a, np.linspace(0.6, 0, 21), atol=1e-12)
    spread = np.sqrt(2 * kt * DT)
    drift = a[:-1, None, None] * fields - 2 * x[:-1] - 4 * x[:-1] ** 3
    there = stats.norm.logpdf(x[1:], x[:-1] + drift * DT, spread).sum(axis=(0, 2))
    back = stats.norm.logpdf(x[:-1], x[1:] - slope(small(), x[1:]) * DT, spread).sum(axis=(0, 2))
    constants = np.vectorize(log_partition)(0.6 * fields[:3]).sum(axis=1)
    which = np.argmin(np.abs(fields[:, None] - fields[None, :3]).sum(axis=2), axis=1)
    begin = -on_site(x[0], 0.6 * fields).sum(axis=1) - constants[which]
    end = -on_site(x[-1]).sum(axis=1) - 4 * log_partition(0.0)
    np.testing.assert_allclose(ratios, begin + there - end - back, rtol=1e-6, atol=1e-6)


def test_the_noise_of_the_paths_is_white():
    """What is left of a step without its force: independent normals, of variance 2 kT dt."""
    found = paths()
    x, fields, a = (np.asarray(v) for v in (found.position, found.fields, found.strength))
    drift = a[:-1, None, None] * fields - 2 * x[:-1] - 4 * x[:-1] ** 3
    noise = (np.diff(x, axis=0) - drift * DT) / np.sqrt(DT)
    count = noise.size
    assert abs(noise.mean()) < 4.5 / np.sqrt(count)
    assert abs(np.mean(noise**2) - 1) < 4.5 * np.sqrt(2 / count)  # 2 kT is 1
    assert abs(np.mean(noise[1:] * noise[:-1])) < 4.5 / np.sqrt(count)
    assert abs(np.mean(noise * fields)) < 4.5 * np.sqrt(np.mean(fields**2) / count)


def test_the_gradient_is_the_local_rule():
    found, kt = paths(), 0.5
    x = np.asarray(found.position)
    r = (-np.diff(x, axis=0) + slope(small(), x[1:]) * DT) / (2 * kt)
    pairs = np.einsum("tbi,tbj->ij", r, x[1:]) / BATCH
    pairs = pairs + pairs.T
    got = SLOPE(small().couplings)
    np.testing.assert_allclose(got.between, pairs[:2, 2:], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(got.hidden, np.triu(pairs[2:, 2:], 1), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(got.visible, np.triu(pairs[:2, :2], 1), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(got.biases, r.sum(axis=(0, 1))[2:] / BATCH, rtol=1e-6, atol=1e-8)


def test_the_gradient_of_the_public_loss_is_its_difference():
    params, rest = small().split()

    def cost(shift):
        moved = eqx.tree_at(lambda p: p.couplings.between, params, replace_fn=lambda w: w + shift)
        return tj.generate.loss(eqx.combine(moved, rest), noising(), KEY, batch=BATCH, dt=DT)

    direction = jnp.array([[1.0, -2.0], [0.5, 0.3]])
    eps = 1e-4
    by_difference = (cost(eps * direction) - cost(-eps * direction)) / (2 * eps)
    got = jnp.sum(SLOPE(small().couplings).between * direction)
    # The same key, and so the same paths.
    np.testing.assert_allclose(got, by_difference, rtol=1e-7)
    np.testing.assert_allclose(cost(0 * direction), loss_of_paths(small().couplings), rtol=1e-12)


def test_the_fluctuation_relation_of_paths():
    """Both are normalized laws of paths: <P_machine / P_noising> = 1, and the mean ln is more."""
    ratios = np.asarray(
        tj.generate.path_log_ratios(small(), noising(), jax.random.key(4), batch=BATCH, dt=DT)
    )
    weights = np.exp(-ratios)
    error = weights.std() / np.sqrt(len(weights))
    assert error < 0.2 and abs(weights.mean() - 1) < 4 * error
    assert ratios.mean() > 4 * ratios.std() / np.sqrt(len(ratios))


def test_the_divergence_of_a_harmonic_machine_is_that_of_two_gaussians():
    """Without quartic energies a path of all units is one Gaussian vector, there and back."""
    plain = tj.generate.Computer(2, 1, quartic=0.0, temperature=0.5)
    couplings = Couplings(jnp.array([[0.5], [-0.3]]), jnp.zeros((1, 1)), None, jnp.array([0.2]))
    machine = eqx.tree_at(lambda c: c.couplings, plain, couplings)
    fall = tj.Linear(0.6, 0.0, 0.4)
    held = tj.generate.Noising([[1.0, -1.0]], 1, jax.random.key(3), protocol=fall)
    ratios = np.asarray(tj.generate.path_log_ratios(machine, held, KEY, batch=BATCH, dt=DT))
    force, steps, dt, kt = np.asarray(held.fields[0]), 20, DT, 0.5
    pairs = np.zeros((3, 3))
    pairs[:2, 2] = pairs[2, :2] = [0.5, -0.3]

    def chain(start, matrix, pushes):
        """Mean and covariance of all points of x' = matrix x + push + noise."""
        mean, spread = [start], np.eye(3) * kt / 2
        covariance = np.zeros((steps + 1, 3, steps + 1, 3))
        covariance[0, :, 0, :] = spread
        for n in range(steps):
            mean.append(matrix @ mean[-1] + pushes[n])
            covariance[n + 1] = np.einsum("ij,jmk->imk", matrix, covariance[n])
            covariance[:, :, n + 1] = np.moveaxis(covariance[n + 1], 0, 2)
            spread = matrix @ spread @ matrix.T + 2 * kt * dt * np.eye(3)
            covariance[n + 1, :, n + 1] = spread
        return np.ravel(mean), covariance.reshape(3 * steps + 3, -1)

    falling = 0.6 * (1 - np.arange(steps) / steps)
    there = chain(0.3 * force, (1 - 2 * dt) * np.eye(3), dt * falling[:, None] * force)
    pull = np.tile([0.0, 0.0, -0.2 * dt], (steps, 1))
    mean, covariance = chain(np.zeros(3), np.eye(3) * (1 - 2 * dt) - dt * pairs, pull)
    mean = mean.reshape(-1, 3)[::-1].ravel()
    covariance = covariance.reshape(steps + 1, 3, steps + 1, 3)[::-1, :, ::-1]
    covariance = covariance.reshape(3 * steps + 3, -1)
    precision, off = np.linalg.inv(covariance), mean - there[0]
    exact = 0.5 * (
        np.trace(precision @ there[1]) - len(off) + off @ precision @ off
        + np.linalg.slogdet(covariance)[1] - np.linalg.slogdet(there[1])[1]
    )  # fmt: skip
    error = ratios.std() / np.sqrt(len(ratios))
    assert error < 0.1 * exact and abs(ratios.mean() - exact) < 4.5 * error


def test_the_least_loss_is_that_of_the_normal_equations_and_the_limit_of_descent():
    """Two visible units and one hidden: three numbers, by a dense least-squares problem."""
    begun = tj.generate.Computer(2, 1, temperature=0.5)
    held = tj.generate.Noising(
        [[1.0, -1.0]], 1, jax.random.key(3), protocol=tj.Linear(2.0, 0.0, 0.4)
    )
    found = tj.generate.least_squares(begun, held, KEY, batch=BATCH, dt=DT, tolerance=1e-10)
    own = part_key(KEY, Purpose.TRAINING, 0)
    x = np.asarray(held.paths(begun, own, batch=BATCH, dt=DT).position)
    after = x[1:].reshape(-1, 3)
    wanted = np.diff(x, axis=0).reshape(-1, 3) - DT * (2 * after + 4 * after**3)
    design = np.zeros((len(after), 3, 3))  # of each step and unit, the force of each parameter
    design[:, 0, 0] = design[:, 1, 1] = after[:, 2]
    design[:, 2, :2], design[:, 2, 2] = after[:, :2], 1
    exact = np.linalg.lstsq(DT * design.reshape(-1, 3), wanted.ravel(), rcond=None)[0]
    np.testing.assert_allclose(found.couplings.between[:, 0], exact[:2], rtol=1e-6)
    np.testing.assert_allclose(found.couplings.biases, exact[2:], rtol=1e-6)
    assert np.max(np.abs(exact)) > 0.3

    params, rest = begun.split()
    cost = lambda p: tj.generate.loss(eqx.combine(p, rest), held, own, batch=BATCH, dt=DT)

    @jax.jit
    def descended(params):
        down = lambda p, g: p - 2 * g
        slope = jax.grad(cost)
        return jax.lax.fori_loop(0, 200, lambda _, p: jax.tree.map(down, p, slope(p)), params)

    limit = descended(params).couplings
    np.testing.assert_allclose(limit.between[:, 0], exact[:2], rtol=1e-4)
    np.testing.assert_allclose(limit.biases, exact[2:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("field", ["between", "biases"])
def test_paths_do_not_depend_on_what_is_learned(field):
    other = eqx.tree_at(lambda c: getattr(c.couplings, field), small(), replace_fn=lambda w: w + 1)
    again = noising().paths(other, KEY, batch=BATCH, dt=DT)
    np.testing.assert_array_equal(again.position, paths().position)
