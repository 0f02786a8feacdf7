"""The same physics in any units: to rounding, or a refusal or a warning that names the cure."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj

KEY = jax.random.key(24)

# (energy, length, time) in the units of each system; all else follows.
UNITS = {
    "SI, an optical trap": (4.11e-21, 6.4e-8, 1.88e-2),
    "SI, an atom": (4.11e-21, 1e-10, 1e-12),
    "energies of 1e19": (1e19, 1.0, 1.0),
    "energies of 1e-19": (1e-19, 1.0, 1.0),
    "lengths of 1e9": (1.0, 1e9, 1.0),
    "times of 1e-19": (1.0, 1.0, 1e-19),
}


KINDS_AND_DTYPES = pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (tj.Overdamped, jnp.float32),
        (tj.Underdamped, jnp.float32),
        (tj.Overdamped, jnp.float64),
        pytest.param(tj.Underdamped, jnp.float64, marks=pytest.mark.slow),
    ],
)


class Anharmonic(tj.AbstractPotential):
    """A quartic well that the protocol drags; it cannot draw its own equilibrium."""

    energy_scale: float = 1.0
    length: float = 1.0
    constant: float = 0.0

    def energy(self, x, control):
        z = (x - control) / self.length
        return self.energy_scale * jnp.sum(0.5 * z**2 + 0.25 * z**4) + self.constant


def trap(kind, energy=1.0, length=1.0, time=1.0):
    mass = energy / length * time / length * time
    bath = tj.Bath(energy, energy / length * time / length, 0.7 * mass)
    potential = tj.Harmonic(3 * energy / length / length, control="center")
    return kind(potential, tj.Linear(0.0, 2 * length, time), bath)


def run(system, start):
    return tj.simulate(system, KEY, time_steps=40, batch=64, initial=start)


def in_reduced_units(out, energy, length):
    """Numbers of a result that no unit is left in."""
    names = ("work", "heat", "shadow_work", "kinetic", "total_work", "energy", "energy_start")
    rows = {name: getattr(out.ledger, name) / energy for name in names}
    return rows | {"log_weight": out.log_weight, "position": out.position / length}


def agree(found, expected, dtype, many=200):
    eps = float(jnp.finfo(dtype).eps)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=many * eps, err_msg=name)


@KINDS_AND_DTYPES
def test_a_run_is_the_same_in_any_units_or_refused(kind, dtype):
    """Before, float32 gave 0 or NaN for works, or froze every path, wherever p^2 left its range."""
    start = tj.Equilibrium(jnp.zeros(2, dtype))
    expected = in_reduced_units(run(trap(kind), start), 1.0, 1.0)
    refused = []
    for name, (energy, length, time) in UNITS.items():
        system = trap(kind, energy, length, time)
        try:
            out = run(system, start)
        except ValueError as error:
            assert "squares of momenta" in str(error) and "float64" in str(error)
            refused.append(name)
            continue
        assert int(out.diverged) == 0
        agree(in_reduced_units(out, energy, length), expected, dtype)
    inertial = kind is tj.Underdamped and dtype == jnp.float32
    # m kT of 1e-46, 1e38, and twice 1e-38
    held = ("SI, an optical trap", "lengths of 1e9")
    assert refused == ([name for name in UNITS if name not in held] if inertial else [])


@pytest.mark.parametrize("kind", [tj.Overdamped, tj.Underdamped])
def test_a_chain_is_the_same_in_any_units(kind):
    def advanced(energy, length, time):
        system = trap(kind, energy, length, time)
        initial = tj.Equilibrium(jnp.zeros(2, jnp.float32))
        chain = tj.start(system, KEY, batch=64, initial=initial)
        steps = [tj.advance(system, chain, dt=0.025 * time, steps=20)]
        steps.append(tj.advance(system, steps[0], dt=0.025 * time, steps=20))
        ledger = steps[-1].ledger
        return {
            "position": steps[-1].position / length,
            "work": ledger.work / energy,
            "heat": ledger.heat / energy,
        }

    units = (1e-9, 1e-4, 1e-2) if kind is tj.Underdamped else UNITS["SI, an optical trap"]
    agree(advanced(*units), advanced(1.0, 1.0, 1.0), jnp.float32)


def test_a_path_that_diverges_is_noticed_in_any_units():
    """The limit goes with kT where that is large, and a run at almost no temperature has one."""
    for energy in (1e-19, 1e-6, 1.0, 1e6, 1e19):
        system = trap(tj.Overdamped, energy)
        stiff = system.replace(potential=tj.Harmonic(1e4 * energy, control="center"))
        out = tj.simulate(stiff, KEY, time_steps=40, batch=8, initial=jnp.ones((8, 1), jnp.float32))
        assert int(out.diverged) == 8, energy
        assert np.all(np.isfinite(out.ledger.energy))
    cold = tj.Overdamped(
        tj.Harmonic(1.0, control="center"), tj.Linear(0.0, 1.0, 1.0), tj.Bath(1e-9)
    )
    with pytest.warns(UserWarning, match="rounded to"):
        out = tj.simulate(cold, KEY, time_steps=10, initial=jnp.full((8, 1), 1e2, jnp.float32))
    assert int(out.diverged) == 0


CONSTANTS = (0.0, 1e3, 1e6, 1e9, -5e9)


@pytest.mark.slow
@KINDS_AND_DTYPES
def test_a_constant_in_the_energy_changes_nothing_or_is_said(kind, dtype):
    """Before, float32 gave works of 0 +- 0 at 1e9, and diverged paths at -5e9, without a word."""
    x = jax.random.normal(KEY, (64, 2), dtype)
    eps, rows, said = float(jnp.finfo(dtype).eps), [], []
    for constant in CONSTANTS:
        potential = Anharmonic(constant=jnp.asarray(constant, dtype))  # pyright: ignore[reportArgumentType]
        system = kind(potential, tj.Linear(0.0, 2.0, 1.0), tj.Bath())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            out = run(system, x)
        said.append([str(w.message) for w in caught])
        rows.append(in_reduced_units(out, 1.0, 1.0))
        for name in ("energy", "energy_start"):
            rows[-1].pop(name)
    for constant, row, words in zip(CONSTANTS, rows, said, strict=True):
        if words:
            assert dtype == jnp.float32 and abs(constant) >= 1e6
            assert len(words) == 1 and "subtract a constant" in words[0] and "float64" in words[0]
            assert ("diverged" in words[0]) == (constant == -5e9)
        else:
            # Each of 41 grid points rounds the energy by as much.
            rounding = 2 * eps * (abs(constant) + 100)
            for name, value in rows[0].items():
                err = np.max(np.abs(row[name] - value))
                assert err < rounding * 20, (constant, name, err)
    assert [bool(words) for words in said] == (
        [False, False, True, True, True] if dtype == jnp.float32 else [False] * 5
    )


def test_a_chain_says_that_its_energies_are_too_large():
    potential = Anharmonic(constant=jnp.float32(1e8))
    system = tj.Underdamped(potential, tj.Constant(), tj.Bath())
    with pytest.warns(UserWarning, match="rounded to 12 kT in float32"):
        tj.start(system, KEY, initial=jnp.zeros((8, 1), jnp.float32))
