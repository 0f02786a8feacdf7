"""The machine: its energies, starts and heat, against quadrature, loops, and the ledger."""

from __future__ import annotations

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

import thermojax as tj
from tests.generate.machines import KEY, energy, learned, slope, small
from thermojax.generate.computer import position, warn_of
from thermojax.generate.on_site import OnSite


def run(machine: tj.generate.Computer) -> tj.generate.Generated:
    """Samples of a machine of four units, all from one program."""
    return machine.sample(KEY, 3000, duration=0.5, dt=0.01, save=2)


@pytest.mark.parametrize("more", [True, False])
def test_energies_and_slopes_are_those_of_a_loop_over_pairs(more):
    machine = learned(
        tj.generate.Computer(3, 2, quartic=0.7, visible_couplings=more, visible_biases=more)
    )
    x = np.random.default_rng(0).normal(size=(5, 5))
    on = jax.vmap(machine.potential.energy, (0, None))(x, 1.0)
    np.testing.assert_allclose(on, energy(machine, x), rtol=1e-12)
    off = jax.vmap(machine.potential.energy, (0, None))(x, 0.0)
    np.testing.assert_allclose(off, np.sum(x**2 + 0.7 * x**4, axis=1), rtol=1e-12)
    by_rule = machine.on_site.slope(x) + machine.couplings.slope(x)
    by_grad = jax.vmap(jax.grad(machine.potential.energy), (0, None))(x, 1.0)
    np.testing.assert_allclose(by_rule, by_grad, rtol=1e-12)
    np.testing.assert_allclose(by_rule, slope(machine, x), rtol=1e-6, atol=1e-8)
    matrix = machine.couplings.matrix() @ np.vstack([x.T, np.ones(5)])
    np.testing.assert_allclose(matrix.T, machine.couplings.slope(x), rtol=1e-12, atol=1e-14)


LAWS = {  # (quadratic, quartic, force, kT)
    "published": (1.0, 1.0, 0.0, 0.1),
    "in a force": (1.0, 1.0, 3.0, 0.1),
    "harmonic": (0.5, 0.0, -1.0, 2.0),
    "quartic alone": (0.0, 1.0, 0.2, 1.0),
    "two wells": (-2.0, 1.0, 0.1, 0.3),
}


@pytest.mark.parametrize("name", LAWS)
def test_laws_of_one_unit_by_quadrature(name):
    two, four, force, kt = LAWS[name]
    unit = OnSite(two, four)
    weight = lambda x, k: x**k * np.exp(-(two * x**2 + four * x**4 - force * x) / kt)
    z, *moments = (integrate.quad(weight, -15, 15, (k,), points=(-1, 0, 1))[0] for k in range(5))
    np.testing.assert_allclose(unit.log_partition(jnp.array(force), kt), np.log(z), rtol=1e-9)
    x = np.asarray(unit.draw(KEY, jnp.full(3, force), kt, 4000))
    assert x.shape == (4000, 3)
    for k in range(1, 4):
        off = np.mean(x**k) - moments[k - 1] / z
        assert abs(off) < 4.5 * np.std(x**k) / np.sqrt(x.size)


def test_heat_is_the_energy_difference_and_the_ledgers():
    machine = small()
    out = run(machine)
    x = np.asarray(out.snapshots)
    np.testing.assert_array_equal(x[-1], out.position)
    np.testing.assert_allclose(out.heat, energy(machine, x[0]) - energy(machine, x[1]), atol=1e-12)
    alone = lambda x: np.sum(x**2 + x**4, axis=-1)
    np.testing.assert_allclose(out.switching_on, energy(machine, x[0]) - alone(x[0]), atol=1e-12)
    np.testing.assert_allclose(out.switching_off, alone(x[1]) - energy(machine, x[1]), atol=1e-12)
    # The ledger of the public system: its heat holds that of the integrator's momentum, and the
    # shadow work of finite steps besides.
    path = tj.simulate(
        machine.system(0.5),
        KEY,
        dt=0.01,
        batch=3000,
        integrator=tj.OBABO(),
        save=2,
        observe=position,
    )
    books = path.ledger
    np.testing.assert_allclose(path.position, out.position, atol=1e-12)
    heat = books.heat + (books.kinetic - books.kinetic_start) - books.shadow_work
    np.testing.assert_allclose(out.heat, heat, atol=1e-12)
    # Exact at any step: the free energy of switching on.
    weights = np.exp(-np.asarray(books.total_work) / 0.5)
    grid = np.linspace(-2.5, 2.5, 41)
    mesh = np.stack(np.meshgrid(*[grid] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    exact = np.sum(np.exp(-energy(machine, mesh) / 0.5)) / np.sum(np.exp(-alone(mesh) / 0.5))
    error = weights.std() / np.sqrt(len(weights))
    assert error < 0.1 * exact and abs(weights.mean() - exact) < 4.5 * error


def test_what_a_sample_costs_in_the_units_of_the_field():
    out = run(small())
    heat = np.asarray(out.heat) / 0.5
    assert float(out.mean_heat.value) == pytest.approx(heat.mean())
    assert float(out.mean_heat.error) == pytest.approx(heat.std(ddof=1) / np.sqrt(3000))
    assert float(out.heat_per_bit().value) == pytest.approx(heat.mean() / (2 * np.log(2)))
    assert float(out.heat_per_bit(np.log2(3)).value) == pytest.approx(heat.mean() / np.log(3))
    total = out.switching_on + out.switching_off
    assert float(out.cycle_work.value) == pytest.approx(np.mean(total) / 0.5)
    assert float(out.cycle_work.value) > 4 * float(out.cycle_work.error)
    assert out.visible.shape == out.hidden.shape == (3000, 2) and int(out.diverged) == 0
    # One that diverged is in no mean.
    lost = dataclasses.replace(out, alive=out.alive.at[0].set(0), heat=out.heat.at[0].set(jnp.nan))
    assert float(lost.mean_heat.value) == pytest.approx(heat[1:].mean())
    with pytest.raises(ValueError, match="bits = 0: expected a positive number of bits"):
        out.heat_per_bit(0)


def test_without_couplings_units_stay_in_equilibrium():
    """The moments are those of exp(-V_0 / kT) by quadrature; no heat flows on average."""
    out = run(tj.generate.Computer(2, 2, temperature=0.5, visible_couplings=True))
    weight = lambda x, k: x**k * np.exp(-(x**2 + x**4) / 0.5)
    z, second, fourth = (integrate.quad(weight, -5, 5, (k,))[0] for k in (0, 2, 4))
    x = np.asarray(out.position)
    for power, exact in ((1, 0.0), (2, second / z), (4, fourth / z)):
        off = np.mean(x**power) - exact
        assert abs(off) < 4.5 * np.std(x**power) / np.sqrt(x.size)
    assert abs(float(out.mean_heat.value)) < 4.5 * float(out.mean_heat.error)
    assert not np.any(out.switching_on) and not np.any(out.switching_off)


def test_samples_that_are_lost_and_steps_that_are_too_coarse_are_said():
    out = run(small())
    typical = float(np.sqrt(np.mean(np.asarray(out.position) ** 2)))
    coarse = 1.2 / (2 + 12 * typical**2)
    with pytest.warns(
        UserWarning, match=r"dt is too coarse: .* is 1\.2; take a dt 6 times smaller"
    ):
        warn_of(small(), out, coarse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of(small(), out, 0.8 * coarse)
    lost = dataclasses.replace(out, alive=out.alive.at[:7].set(0))
    with pytest.warns(UserWarning, match="7 of 3000 samples diverged: take a smaller dt"):
        warn_of(small(), lost, 0.01)


def test_all_but_the_couplings_stand_still():
    learns, rest = small().split()
    assert {x.shape for x in jax.tree.leaves(learns)} == {(2, 2), (2,)}
    assert len(jax.tree.leaves(rest)) == 4  # both energies, kT, mobility
    bare = tj.generate.Computer(3, 2)
    assert bare.couplings.visible is None and (bare.visible, bare.hidden) == (3, 2)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(bare.couplings))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(quartic=-1.0), "quartic = -1: the energy has no lowest value"),
        (dict(quartic=0.0, quadratic=0.0), "quartic = 0 and quadratic = 0: the energy has no"),
        (dict(quadratic=jnp.ones(2)), r"quadratic has shape \(2,\): expected one number"),
        (dict(temperature=0.0), "temperature"),
        (dict(mobility=-1.0), "mobility"),
        (dict(visible=0), "visible = 0: expected a positive whole number"),
        (dict(visible_couplings=1), "visible_couplings = 1: expected True or False"),
    ],
)
def test_refused_machines(change, words):
    with pytest.raises(ValueError, match=words):
        tj.generate.Computer(**(dict(visible=2, hidden=1) | change))
