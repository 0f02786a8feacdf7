"""What a system and a bath refuse when they are made, in words that name the argument."""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOptionalMemberAccess=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj

RAMP = tj.Linear(1.0, 2.0, 2.0)


@pytest.mark.parametrize("kind", [tj.Underdamped, tj.Overdamped])
@pytest.mark.parametrize("name", ["temperature", "friction", "mass"])
def test_bath_schedules_last_as_long_as_the_protocol(kind, name):
    bath = tj.Bath(**{name: RAMP})
    with pytest.raises(ValueError, match=rf"{name} lasts 2.0, the protocol 5.0: .*one duration"):
        kind(tj.Harmonic(20.0), tj.Constant(0.0, 5.0), bath)
    fits = kind(tj.Harmonic(20.0), tj.Constant(0.0, 2.0), bath)
    with pytest.raises(ValueError, match="one duration"):
        fits.replace(protocol=tj.Constant())  # its duration is 1 when left out
    with pytest.raises(ValueError, match="one duration"):
        tj.reverse(fits).replace(protocol=tj.Linear(0.0, 1.0, 3.0))


def test_durations_agree_up_to_rounding_and_traced_ones_pass():
    ramp = lambda duration: tj.Bath(tj.Linear(1.0, 2.0, duration))
    tj.Overdamped(tj.Harmonic(), tj.Linear(0.0, 1.0, np.float32(0.3)), ramp(0.3))
    with pytest.raises(ValueError, match="one duration"):
        tj.Overdamped(tj.Harmonic(), tj.Linear(0.0, 1.0, 0.3), ramp(0.3 + 1e-9))

    @jax.jit
    def built(duration):
        return tj.Overdamped(tj.Harmonic(), tj.Constant(0.0, duration), ramp(duration))

    assert built(3.0).bath.temperature.duration == 3.0


@pytest.mark.slow
def test_a_constant_in_the_bath_may_have_any_duration():
    bath = tj.Bath(tj.Constant(2.0), tj.Constant(0.5, 7.0))
    system = tj.Overdamped(tj.Harmonic(3.0, control="center"), tj.Linear(0.0, 1.0, 2.0), bath)
    plain = system.replace(bath=tj.Bath(2.0, 0.5))
    tj.reverse(system)
    given, scheduled = (
        tj.moments(s, [2.0], initial=tj.Equilibrium(jnp.zeros(1))).ledger for s in (plain, system)
    )
    np.testing.assert_allclose(scheduled.work, given.work, rtol=1e-9)
    np.testing.assert_allclose(scheduled.heat, given.heat, rtol=1e-9)


@pytest.mark.parametrize("name", ["temperature", "friction", "mass"])
@pytest.mark.parametrize(
    "value",
    [None, "1", 1j, True, -1.0, 0.0, np.nan, [1.0, -1.0], {}, {"r": 1j}, [[1.0], [1.0, 2.0]]]
    + [tj.Linear, tj.Linear(1.0, -1.0, 1.0), object(), jnp.zeros(2, bool), abs],
    ids=lambda value: type(value).__name__,
)
def test_a_bath_names_what_it_refuses(name, value):
    with pytest.raises(ValueError, match=name):
        tj.Bath(**{name: value})


@pytest.mark.parametrize("value", [[1.0, 4.0], jnp.ones(1), {"r": 1.0}, tj.Linear([1.0], [2.0], 1)])
def test_the_temperature_is_one_number(value):
    with pytest.raises(ValueError, match=r"temperature .*expected one number"):
        tj.Bath(temperature=value)


def test_parts_of_another_kind_are_named():
    part = tj.Harmonic(), tj.Constant(), tj.Bath()
    for kind in (tj.Underdamped, tj.Overdamped):
        with pytest.raises(ValueError, match=r"potential is a function: .*tj\.LogDensity"):
            kind(lambda x: -x @ x, *part[1:])
        with pytest.raises(ValueError, match="potential is the class Harmonic itself"):
            kind(tj.Harmonic, *part[1:])
        with pytest.raises(ValueError, match="protocol is the class Linear itself"):
            kind(part[0], tj.Linear, part[2])
        with pytest.raises(ValueError, match="bath is the class Bath itself"):
            kind(*part[:2], tj.Bath)
        with pytest.raises(ValueError, match="bath is None"):
            kind(*part[:2], None)
        with pytest.raises(ValueError, match=r"drive = 1.0: expected a function"):
            kind(*part, 1.0)
