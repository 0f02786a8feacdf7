"""A drive with forces of its own before and after each grid point."""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj

KEY = jax.random.key(0)
BATCH = 8192


def swirl(x, control):
    return control * jnp.array([-x[1], x[0]])


def pull(x, control):
    return -(0.3 + control) * x


def both(x, control):
    """(closing, opening)."""
    return swirl(x, control), pull(x, control)


def system(kind, drive, friction=3.0):
    potential = tj.Harmonic(2.0, control="stiffness")
    return kind(potential, tj.Linear(1.0, 3.0, 1.0), tj.Bath(1.0, friction, 1.0), drive)


KINDS = {"underdamped": tj.Underdamped, "overdamped": tj.Overdamped}
INTEGRATORS = {"BAOAB": tj.BAOAB(), "OBABO": tj.OBABO()}


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("kind", KINDS)
def test_first_law_and_work_theorem_hold(kind, integrator):
    run = system(KINDS[kind], tj.TwoSidedDrive(both))
    start = tj.Equilibrium(jnp.zeros(2))
    how = dict(time_steps=5, batch=BATCH, initial=start, integrator=INTEGRATORS[integrator])
    out = tj.simulate(run, KEY, **how)
    ledger = out.ledger
    change = ledger.energy - ledger.energy_start
    np.testing.assert_allclose(change, ledger.total_work - ledger.heat, rtol=0, atol=1e-11)
    assert np.abs(ledger.drive_work).max() > 0.1
    weights = np.exp(np.asarray(out.log_weight))
    error = weights.std() / np.sqrt(BATCH)
    assert abs(weights.mean() - 1 / 3) < 4.5 * error < 0.03  # Z_1 / Z_0 = k_0 / k_1 in the plane
    # Without its second side another path: the test would see a drive that is one of the two.
    one = tj.simulate(run.replace(drive=swirl), KEY, **how)
    assert np.abs(one.position - out.position).max() > 0.05


def test_two_equal_sides_are_one_drive():
    twice = tj.TwoSidedDrive(lambda x, control: (swirl(x, control), swirl(x, control)))
    how = dict(time_steps=6, initial=jnp.ones((8, 2)))
    a, b = (tj.simulate(system(tj.Underdamped, d), KEY, **how) for d in (swirl, twice))
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-13)


def test_run_backward_its_sides_change_places():
    there = system(tj.Underdamped, tj.TwoSidedDrive(both), friction=1e-30)
    start = tj.State(jnp.ones((4, 2)) * jnp.arange(1.0, 5.0)[:, None], jnp.ones((4, 2)))
    out = tj.simulate(there, KEY, time_steps=6, initial=start, integrator=tj.OBABO())
    turned = tj.State(out.position, -out.momentum)
    back = tj.simulate(tj.reverse(there), KEY, time_steps=6, initial=turned, integrator=tj.OBABO())
    np.testing.assert_allclose(back.position, start.position, rtol=0, atol=1e-10)
    np.testing.assert_allclose(back.log_weight, -out.log_weight, rtol=0, atol=1e-10)
    twice = tj.reverse(tj.reverse(there)).drive
    assert isinstance(twice, tj.TwoSidedDrive) and not twice.turned


def test_what_has_no_half_kicks_refuses_it():
    run = system(tj.Underdamped, tj.TwoSidedDrive(both))
    with pytest.raises(ValueError, match="QUICSORT has no half kicks"):
        tj.simulate(run, KEY, time_steps=4, initial=jnp.ones((4, 2)), integrator=tj.QUICSORT())
    with pytest.raises(ValueError, match=r"forces = 1\.0: expected a function"):
        tj.TwoSidedDrive(1.0)


PAIRS = {
    "one force": (swirl, "expected a pair"),
    "three": (lambda x, control: (x, x, x), "expected a pair"),
    "two shapes": (lambda x, control: (x, x[:1]), "expected closing and opening forces of one"),
    "another shape": (lambda x, control: (x[:1], x[:1]), "returned the shape"),
}


@pytest.mark.parametrize("case", PAIRS)
def test_what_is_no_pair_of_forces_is_refused(case):
    forces, words = PAIRS[case]
    run = system(tj.Underdamped, tj.TwoSidedDrive(forces))
    with pytest.raises(ValueError, match=words):
        tj.simulate(run, KEY, time_steps=4, initial=jnp.ones((4, 2)))
