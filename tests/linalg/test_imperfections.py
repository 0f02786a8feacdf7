"""Devices with imperfections against closed forms, quadrature, and what many programs scatter."""

# A floor and copies are there wherever imperfections are given.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false

import itertools
import warnings

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
from scipy import integrate, stats

import thermojax as tj
from thermojax.linalg.imperfect.readout import readout_of

KEY = jax.random.key(26)
A = jnp.array([[3.0, 2.0, 0.0], [2.0, 4.0, 0.5], [0.0, 0.5, 2.0]])
B = jnp.array([1.0, 2.0, -0.3])
X, C = np.linalg.solve(A, B), np.linalg.inv(A)
COLD = tj.Bath(temperature=1e-6)  # so that a short time is enough for a mean position
COPIES = 1200  # the same everywhere: one program for all


def imperfect(**given):
    return tj.linalg.Imperfections(**given)


def squares_of(found, exact):
    """Mean squared errors of the copies, and the standard errors of these."""
    squares = (np.asarray(found.copies) - exact) ** 2
    return squares.mean(0), squares.std(0) / np.sqrt(len(squares))


def assert_floor(found, exact, floor, sigmas=4.5):
    """The copies scatter by their floor and by what their time leaves, entry by entry."""
    expected = np.asarray(floor) ** 2 + np.asarray(found.error) ** 2 * len(found.copies)
    measured, error = squares_of(found, exact)
    np.testing.assert_array_less(np.abs(measured - expected), sigmas * error + 1e-20)


PROGRAMMING = {
    "components": imperfect(component_error=0.02),
    "random rounding": imperfect(input_bits=7, rounding="random"),
    "rounding": imperfect(input_bits=5),
    "rounded components": imperfect(component_error=0.02, input_bits=5),
    "both at random": imperfect(component_error=0.02, input_bits=7, rounding="random"),
}


@pytest.mark.parametrize("name", PROGRAMMING)
def test_floors_of_solutions(name):
    given = PROGRAMMING[name]
    found = tj.linalg.solve(A, B, KEY, time=50.0, bath=COLD, imperfections=given, copies=COPIES)
    floor = tj.linalg.floor(A, B, imperfections=given)
    assert_floor(found, X, floor)
    assert np.all(floor > 10 * found.error)
    of_all = tj.linalg.floor(A, B, imperfections=given, copies=COPIES)
    np.testing.assert_allclose(found.floor, of_all, rtol=0.05)
    np.testing.assert_allclose(jnp.mean(found.copies, axis=0), found.value, rtol=1e-12)


@pytest.mark.parametrize("bits", [7, 8])
def test_random_rounding_is_right_to_second_order(bits):
    """Over all events of rounding up and down, by their weights: what no number of copies changes.

    Nearest rounding is wrong in first order: its floor is its error, and larger.
    """
    matrix, field = np.array([[3.1, 1.37], [1.37, 4.3]]), np.array([1.03, 2.2])
    numbers = np.array([matrix[0, 0], matrix[0, 1], matrix[1, 1], *field])
    tops = np.array([4.3] * 3 + [2.2] * 2)
    apart = tops / (2 ** (bits - 1) - 1)
    below = np.floor(numbers / apart)
    part = numbers / apart - below
    solution, inverse = np.zeros(2), np.zeros((2, 2))
    for event in itertools.product((0, 1), repeat=5):
        up = np.array(event)
        weight = np.prod(np.where(up, part, 1 - part))
        a, c, d, *b = (below + up) * apart
        made = np.linalg.inv([[a, c], [c, d]])
        solution, inverse = solution + weight * made @ b, inverse + weight * made
    many = {"imperfections": imperfect(input_bits=bits, rounding="random"), "copies": 10**12}
    off = np.abs(solution - np.linalg.solve(matrix, field))
    np.testing.assert_allclose(tj.linalg.floor(matrix, field, **many), off, rtol=0.05)
    off = np.abs(inverse - np.linalg.inv(matrix))
    np.testing.assert_allclose(tj.linalg.floor(matrix, **many), off, rtol=0.05)
    nearest = tj.linalg.floor(matrix, imperfections=imperfect(input_bits=bits))
    a, c, d, *_ = np.round(numbers / apart) * apart
    off = np.abs(np.linalg.inv([[a, c], [c, d]]) - np.linalg.inv(matrix))
    np.testing.assert_allclose(nearest, off, rtol=1e-9)
    assert np.max(nearest) > 10 * np.max(tj.linalg.floor(matrix, **many))


@pytest.mark.parametrize(
    "given",
    [
        imperfect(component_error=0.03, input_bits=5),
        imperfect(
            input_bits=6,
            rounding="random",
            excess_temperature=0.03,
            white_noise=0.2,
            drift=3e-3,
            output_bits=4,
            output_range=3.0,
        ),
    ],
)
def test_floors_of_inverses(given):
    found = tj.linalg.inv(A, KEY, time=200.0, imperfections=given, copies=400)
    wait = found.time.equilibration * found.time.relaxation
    one = tj.linalg.floor(A, imperfections=given, time=200.0, wait=wait)
    assert_floor(found, C, one)
    together = {"time": 200.0, "wait": wait, "copies": 400}
    np.testing.assert_allclose(
        found.floor, tj.linalg.floor(A, imperfections=given, **together), rtol=1e-6
    )
    # The floor is seen: without it the errors would be others.
    measured, error = squares_of(found, C)
    assert np.any(np.abs(measured - np.asarray(found.error) ** 2 * 400) > 5 * error)


@pytest.mark.parametrize("time", [3.0, 12.0])
def test_errors_of_inverses_know_how_long_the_device_remembers(time):
    """400 copies scatter by the error that is said of one: at most, and by more than half of it.

    Without the memory of groups that follow each other it is 2.6 and 1.5 times too small.
    """
    with warnings.catch_warnings():  # a short average is worth few samples
        warnings.simplefilter("ignore")
        found = tj.linalg.inv(
            A, KEY, time=time, imperfections=imperfect(white_noise=1e-3), copies=400
        )
    measured, error = squares_of(found, C)
    said = np.asarray(found.error) ** 2 * 400
    np.testing.assert_array_less(measured, said + 4.5 * error)
    assert np.mean(measured) > 0.3 * np.mean(said)


def test_steps_are_as_imperfect():
    """The same programs, moved in steps: the same answers, up to what is left of the noise."""
    given = imperfect(component_error=0.05, drift=1e-3, white_noise=1e-3)
    options = {"time": 20.0, "bath": COLD, "imperfections": given, "copies": 4}
    steps, exact = (
        tj.linalg.solve(A, B, KEY, method=method, **options) for method in ("steps", "exact")
    )
    assert exact.decomposed and not steps.decomposed
    error = np.hypot(steps.error, exact.error) * 2  # of one copy of four
    apart = np.abs(np.asarray(steps.copies) - np.asarray(exact.copies))
    np.testing.assert_array_less(apart / error, 6.0)
    # Who knows A by its products alone waits longer, and meters drift meanwhile; and steps are not
    # of one length.
    waits = [x.time.equilibration * x.time.relaxation for x in (steps, exact)]
    later = 1e-3 * (waits[0] - waits[1])  # at the drift above
    assert steps.floor is not None and exact.floor is not None
    assert later > 0 and np.all(steps.floor <= 1.01 * (exact.floor + later))
    assert np.all(steps.floor >= 0.99 * exact.floor)
    assert np.all(np.std(steps.copies, axis=0) > 10 * error)


def test_drift_moves_all_meters():
    given = imperfect(drift=1e-2)
    found = tj.linalg.solve(A, B, KEY, time=30.0, bath=COLD, imperfections=given, copies=COPIES)
    wait = found.time.equilibration * found.time.relaxation
    np.testing.assert_allclose(found.floor, 1e-2 * (wait + 15.0), rtol=1e-6)
    # Samples stand at the ends of their intervals, half of one late.
    np.testing.assert_allclose(found.value - X, found.floor, rtol=2e-2)


def test_errors_of_noisy_readouts():
    """The standard error knows white noise, levels, and an excess of temperature."""
    given = imperfect(white_noise=0.8, output_bits=5, output_range=6.0, excess_temperature=0.5)
    found = tj.linalg.solve(A, B, KEY, time=20.0, imperfections=given, copies=COPIES)
    perfect = tj.linalg.solve(A, B, KEY, time=20.0, imperfections=imperfect(), copies=COPIES)
    for answer in (found, perfect):
        assert_floor(answer, X, 0.0)
    assert np.all(found.error > np.sqrt(1.5) * perfect.error)  # of the temperature alone


FLICKER = {"flicker_noise": 0.3, "flicker_band": (1e-3, 10.0)}


def test_flicker_noise_is_one_over_f():
    """Slope and height of a periodogram well between the corners; ripples are 2 %."""
    readout, apart, count = readout_of(imperfect(**FLICKER), float), 0.2, 2**14
    keys = jax.random.split(KEY, count)
    begin = readout.offsets((48,), jax.random.key(1))
    step = lambda o, key: (readout.moved(o, apart, key), jnp.sum(o, axis=0))
    _, seen = jax.lax.scan(step, begin, keys)
    power = np.mean(np.abs(np.fft.rfft(seen, axis=0)) ** 2, axis=1)[1:] * 2 * apart / count
    frequency = np.fft.rfftfreq(count, apart)[1:]
    inside = (frequency > 3e-3) & (frequency < 0.15)  # rates / 2 pi, well between 1.6e-4 and 1.6
    expected = 0.3**2 / (frequency * np.log(1e4))
    # In 12 bands each, of which every one averages many frequencies of 48 meters.
    bands = np.array_split(np.flatnonzero(inside), 12)
    slope = np.polyfit(
        [np.log(frequency[b].mean()) for b in bands],
        [np.log((power * frequency)[b].mean()) for b in bands], 1,
    )[0]  # fmt: skip
    assert abs(slope) < 0.04
    np.testing.assert_allclose(np.mean((power / expected)[inside]), 1, atol=0.04)


def test_averages_of_flicker_noise():
    """Against quadrature of the correlation of a 1/f spectrum, and against read-outs."""
    time = 40.0
    given = imperfect(**FLICKER)
    found = tj.linalg.solve(A, B, KEY, time=time, bath=COLD, imperfections=given, copies=1000)
    one = tj.linalg.floor(A, B, imperfections=given, time=time)
    assert_floor(found, X, one)

    def correlation(s):  # rates spread evenly over the logarithm
        of = lambda u: np.exp(-np.exp(u) * s)
        return integrate.quad(of, np.log(1e-3), np.log(10.0))[0] / np.log(1e4)

    kernel = lambda s: (time - s) * correlation(s)
    variance = 0.3**2 * 2 / time**2 * integrate.quad(kernel, 0, time, limit=200)[0]
    np.testing.assert_allclose(one**2, variance, rtol=0.02)
    assert variance > 0.3 * 0.3**2  # forty relaxation times do not average it out


def test_quantized_readouts_are_dithered_by_heat():
    given = imperfect(output_bits=4, output_range=1.75)  # levels a quarter apart
    for temperature, off in ((1e-5, True), (0.2, False)):
        bath = tj.Bath(temperature=temperature)
        found = tj.linalg.solve(A, B, KEY, time=50.0, bath=bath, imperfections=given,
                                copies=COPIES)  # fmt: skip
        sigma = np.sqrt(temperature * np.diag(C))
        levels = np.arange(-7, 8) * 0.25
        edges = np.concatenate([[-np.inf], (levels[1:] + levels[:-1]) / 2, [np.inf]])
        mass = np.diff(stats.norm.cdf((edges[:, None] - X) / sigma), axis=0)
        bias = levels @ mass - X
        np.testing.assert_allclose(found.floor, np.abs(bias), rtol=1e-4, atol=1e-6)
        np.testing.assert_array_less(np.abs(found.value - X - bias), 4.5 * found.error)
        assert (np.max(np.abs(bias)) > 0.05) == off


def test_what_is_out_of_range_is_said():
    with pytest.warns(UserWarning, match="output_range = 0.3: .* of all read-outs"):
        given = imperfect(output_bits=8, output_range=0.3)
        tj.linalg.solve(A, B, KEY, time=5.0, imperfections=given, copies=COPIES)


@pytest.mark.filterwarnings("ignore:imperfections change A")
def test_extrapolation_takes_away_what_copies_cannot():
    """A bias of second order stays, as predicted; extrapolated, none that is seen."""
    given = imperfect(component_error=0.09)
    plain, found = (
        tj.linalg.solve(A, B, KEY, time=50.0, bath=COLD, imperfections=given,
                        extrapolate=extrapolate, copies=COPIES // (1 + 2 * extrapolate))
        for extrapolate in (False, True)
    )  # fmt: skip
    many = np.asarray(tj.linalg.floor(A, B, imperfections=given, copies=10**12))
    for answer, bias in ((plain, many), (found, np.zeros(3))):
        error = np.std(answer.copies, axis=0) / np.sqrt(len(answer.copies))
        off = np.asarray(answer.value - X)
        np.testing.assert_array_less(np.abs(np.abs(off) - bias) - 0.05 * bias, 4.5 * error)
        if answer is plain:
            assert np.max(bias / error) > 4.5
        # It costs three times as much, and is not paid for with a larger random part.
        assert_floor(answer, X, tj.linalg.floor(A, B, imperfections=given), sigmas=12)
    assert found.energy.work.count == plain.energy.work.count == COPIES
    assert found.samples == plain.samples


def test_an_answer_says_its_floor():
    given = imperfect(component_error=0.01)
    text = str(tj.linalg.solve(A, B, KEY, time=5.0, imperfections=given, copies=COPIES))
    assert "as its imperfections have it" in text
    assert "imperfections" not in str(tj.linalg.solve(A, B, KEY, time=5.0))


def test_single_precision():
    """The same numbers to rounding, those of a run of the same noise included."""
    given = imperfect(component_error=0.02, drift=1e-3)
    narrow = tj.linalg.solve(
        A.astype(jnp.float32), B.astype(jnp.float32), KEY, time=20.0, imperfections=given,
        copies=COPIES, bath=tj.Bath(jnp.asarray(1e-6, jnp.float32)),
    )  # fmt: skip
    assert narrow.value.dtype == narrow.floor.dtype == narrow.error.dtype == jnp.float32
    assert_floor(narrow, X, tj.linalg.floor(A, B, imperfections=given, time=20.0, wait=6.5))
    given = imperfect(component_error=0.02, input_bits=6, white_noise=0.1, **FLICKER)
    wide = tj.linalg.floor(A, B, imperfections=given, time=10.0)
    slim = tj.linalg.floor(A.astype(jnp.float32), B.astype(jnp.float32), imperfections=given,
                           time=10.0)  # fmt: skip
    assert slim.dtype == jnp.float32
    np.testing.assert_allclose(slim, wide, rtol=1e-5)


def test_units():
    """Length and energy of another size: the same device."""
    given = imperfect(component_error=0.02, white_noise=0.1, drift=1e-3)
    other = imperfect(component_error=0.02, white_noise=0.1 * 1e-3, drift=1e-3 * 1e-3 / 1e2)
    one = tj.linalg.solve(A, B, KEY, time=20.0, imperfections=given, copies=COPIES)
    # Lengths of 1e-3 and energies of 1e-4 make stiffnesses of 1e2 and fields of 1e-1; a friction
    # of 1e4, times of 1e2.
    options = {"bath": tj.Bath(temperature=1e-4, friction=1e4), "imperfections": other}
    two = tj.linalg.solve(1e2 * A, 0.1 * B, KEY, time=2e3, copies=COPIES, **options)
    for name in ("copies", "floor", "error"):
        small, large = (np.asarray(getattr(x, name)) for x in (two, one))
        np.testing.assert_allclose(1e3 * small, large, rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"component_error": -0.1}, "component_error = -0.1: expected a relative error"),
        ({"component_error": jnp.nan}, "component_error"),
        ({"input_bits": 1}, "input_bits = 1: expected a whole number of at least 2"),
        ({"input_bits": 80}, "input_bits = 80: expected at most 52"),
        ({"rounding": "up"}, "rounding = 'up': expected 'nearest' or 'random'"),
        ({"output_bits": 8}, "output_bits = 8, output_range = None: expected both"),
        ({"output_bits": 8, "output_range": 0.0}, "output_range = 0.0: expected a positive"),
        ({"flicker_noise": 0.1}, "flicker_band is None"),
        ({"flicker_noise": 0.1, "flicker_band": (1.0, 0.1)}, "0 < low < high"),
        ({"drift": jnp.inf}, "drift = inf"),
    ],
)
def test_refused_imperfections(given, words):
    with pytest.raises(ValueError, match=words):
        imperfect(**given)


def test_what_is_lost_beyond_the_range_is_in_the_floor():
    given = imperfect(output_bits=10, output_range=0.5)
    sigma, top = np.sqrt(np.diag(C)), 0.5

    def clipped(law, power=1):
        moment = integrate.quad(lambda y: y**power * law.pdf(y), -top, top)[0]
        return moment + top**power * (law.sf(top) + (-1) ** power * law.cdf(-top))

    means = np.array([clipped(stats.norm(x, s)) for x, s in zip(X, sigma, strict=True)])
    floor = tj.linalg.floor(A, B, imperfections=given)
    np.testing.assert_allclose(floor, np.abs(means - X), rtol=1e-3, atol=1e-5)

    squares = np.array([clipped(stats.norm(0, s), 2) for s in sigma])
    floor = np.asarray(tj.linalg.floor(A, imperfections=given))
    np.testing.assert_allclose(np.diag(floor), np.diag(C) - squares, rtol=1e-3)
    # To first order in the correlation: of 0 exactly 0, and never more than all of it.
    beside = ~np.eye(3, dtype=bool)
    assert np.all(floor[beside] > 0) and np.all(floor[beside] < np.abs(C[beside]))


def test_an_error_that_averages_out_leaves_no_floor():
    for b in (B, None):
        assert np.all(tj.linalg.floor(A, b, imperfections=imperfect()) == 0)
    assert np.all(tj.linalg.floor(A, B, imperfections=imperfect(white_noise=0.1)) == 0)


def test_refusals():
    solve = lambda **more: tj.linalg.solve(A, B, KEY, time=1.0, **more)
    with pytest.raises(ValueError, match="imperfections is None, and copies"):
        solve(copies=3)
    with pytest.raises(ValueError, match=r"expected a tj.linalg.Imperfections"):
        solve(imperfections=0.1)
    with pytest.raises(ValueError, match=r"cannot tell apart.*rounding='random'"):
        solve(imperfections=imperfect(input_bits=4), extrapolate=True)
    operator = lx.FunctionLinearOperator(lambda x: A @ x, jax.ShapeDtypeStruct((3,), B.dtype))
    with pytest.raises(ValueError, match="known by its products alone"):
        tj.linalg.solve(operator, B, KEY, time=1.0, imperfections=imperfect(white_noise=0.1))
    stiff = jnp.array([[1.0, 0.995], [0.995, 1.0]])
    for call in (
        lambda given: tj.linalg.inv(stiff, KEY, time=1.0, imperfections=given),
        lambda given: tj.linalg.floor(stiff, imperfections=given),
    ):
        with pytest.raises(ValueError, match="input_bits = 4: A is no longer positive definite"):
            call(imperfect(input_bits=4))


def test_how_much_error_a_matrix_bears():
    """The error that is named as the most is that at which the same program is singular."""
    run = lambda e: tj.linalg.solve(A, B, KEY, time=1.0, imperfections=imperfect(component_error=e))
    with pytest.raises(ValueError, match=r"program 1 of 1 has an eigenvalue.*expected less") as got:
        run(0.9)
    most = float(str(got.value).split("less than ")[1].split(",")[0])
    with pytest.raises(ValueError, match="has an eigenvalue"):
        run(1.02 * most)
    with pytest.warns(UserWarning, match="a rough one"):
        run(0.98 * most)
