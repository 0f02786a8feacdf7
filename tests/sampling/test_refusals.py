"""Arguments of a run that were taken for something else, or answered in the words of a library."""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOptionalMemberAccess=false

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj

KEY = jax.random.key(0)
START = tj.Equilibrium(jnp.zeros(1))
TRAP = tj.Overdamped(tj.Harmonic(1.0, control="center"), tj.Linear(0.0, 1.0, 1.0), tj.Bath())


def run(system=TRAP, **given):
    return tj.simulate(system, KEY, **({"time_steps": 4, "batch": 2, "initial": START} | given))


@pytest.mark.parametrize(
    "given, words",
    [
        (dict(save=[]), "save has shape"),
        (dict(save=[np.nan]), "save = .*finite"),
        (dict(save=[[0.0, 0.5]]), r"save has shape \(1, 2\)"),
        (dict(save=True), "save = True"),
        (dict(save="all"), "save = 'all'"),
        (dict(save=1), "save = 1"),
        (dict(dt=jnp.array(-0.1), time_steps=None), "dt = -0.1: expected a positive"),
        (dict(dt=np.nan, time_steps=None), "dt = nan"),
        (dict(dt="1", time_steps=None), "dt = '1'"),
        (dict(time_steps=True), "time_steps = True"),
        (dict(time_steps=4.0), "time_steps = 4.0"),
        (dict(batch=2.0), "batch = 2.0"),
        (dict(batch=True), "batch = True"),
        (dict(integrator=tj.BAOAB), "integrator is the class BAOAB itself"),
        (dict(observe=3), "observe = 3"),
        (dict(noise_dtype=int), "noise_dtype"),
        (dict(noise_dtype="x"), "noise_dtype = 'x'"),
        (dict(memory=True), "memory = True"),
    ],
    ids=str,
)
def test_arguments_are_named(given, words):
    with pytest.raises(ValueError, match=words):
        run(**given)


def test_numbers_of_numpy_are_numbers():
    assert run(time_steps=np.int64(4), batch=np.int32(2), save=np.int64(2)).saved.times.shape == (
        2,
    )


def test_what_is_observed_is_kept_exactly():
    big = 2**24 + 1  # which float32 does not have

    def observe(time, state, ledger):
        number = jnp.asarray(-big, jnp.int32) + (time > 0.6)
        many = jnp.asarray([1, 255, 2**40 + 1])
        return dict(python=1.5, whole=big, number=number, many=many, late=time > 0.6)

    start = tj.Equilibrium(jnp.zeros(1, jnp.float32))
    for save in (3, [0.0, 0.25, 1.0]):  # evenly spaced, and not
        seen = run(initial=start, save=save, observe=observe).saved.values
        assert seen["python"].tolist() == [1.5] * 3
        assert seen["whole"].tolist() == [big] * 3
        assert seen["number"].dtype == jnp.int32 and seen["number"].tolist() == [-big] * 2 + [
            1 - big
        ]
        assert seen["many"].tolist() == [[1, 255, 2**40 + 1]] * 3
        assert seen["late"].dtype == bool and seen["late"].tolist() == [False, False, True]
    with pytest.raises(ValueError, match="observe returned 'x'"):
        run(save=2, observe=lambda *_: "x")


def test_forward_mode_names_the_adjoints():
    def heat(stiffness):
        system = TRAP.replace(potential=tj.Harmonic(stiffness, control="center"))
        return jnp.mean(run(system).ledger.heat)

    for differentiate in (jax.jacfwd, jax.hessian):
        with pytest.raises(ValueError, match=r"forward mode .*ForwardMode.*DirectAdjoint"):
            differentiate(heat)(1.0)


class Ramp(tj.AbstractProtocol):
    """A user's protocol with numbers of Python."""

    duration: float = 2
    initial: float = 0
    size: int = 1

    @property
    def final(self):
        return 1.0

    def __call__(self, t):
        return self.size * t / self.duration


def test_a_protocol_may_hold_numbers_of_python():
    given, meant = (
        run(TRAP.replace(protocol=p)).ledger.work for p in (Ramp(), tj.Linear(0.0, 1.0, 2.0))
    )
    np.testing.assert_allclose(given, meant, rtol=1e-12)
    with pytest.raises(ValueError, match=r"duration = -1.0"):
        Ramp(duration=-1.0)
    with pytest.raises(ValueError, match=r"different shapes \(initial \(2,\), final \(\)\)"):
        Ramp(initial=jnp.zeros(2))


@pytest.mark.parametrize(
    "build, name",
    [
        (lambda: tj.Linear(0.0, np.nan, 1.0), "end"),
        (lambda: tj.Constant(np.inf), "value"),
        (lambda: tj.PiecewiseLinear([0.0, 1.0], 1.0, initial=np.nan), "initial"),
        (lambda: tj.Monotone.between(0.0, np.nan, 1.0), "final"),
        (lambda: tj.Neural.between(np.inf, 0.0, 1.0, key=KEY), "initial"),
        (lambda: tj.Chebyshev.between(0.0, 1.0, 1.0, knots=2.5), "knots"),
        (lambda: tj.CubicSpline([0.0, 1.0], 1.0, kicks=[1.0]), "kicks"),
        (lambda: tj.Linear(0.0, 1.0, [1.0, 2.0]), "duration"),
    ],
)
def test_schedules_are_finite(build, name):
    with pytest.raises(ValueError, match=name):
        build()


def test_a_neural_protocol_pickles():
    protocol = tj.Neural.between(0.0, 1.0, 2.0, key=KEY)
    copy = pickle.loads(pickle.dumps(protocol))
    assert copy(0.5) == protocol(0.5)
    assert jax.tree.structure(copy) == jax.tree.structure(protocol)
