"""The same physics in other units, and with a constant in the energy: the same numbers."""

import contextlib
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj

# What one kT, one length and one time of the problem are in the user's units.
UNITS = {
    "reduced": (1.0, 1.0, 1.0),
    "SI": (4.11e-21, 6.4e-8, 0.0188),
    "large": (1e19, 1e-5, 1e-19),
    "small": (1e-19, 1e9, 1e6),
}
DTYPES = {"float64": 1e-8, "float32": 2e-3}


class Trap(tj.AbstractPotential):
    """A trap that is driven, and a coordinate that is not, of another stiffness."""

    stiffness: jax.Array
    constant: jax.Array

    def energy(self, x, control):
        return 0.5 * jnp.sum(self.stiffness * (x - control) ** 2) + self.constant

    def template(self, control):
        return jnp.zeros(2)


class Wells(tj.AbstractPotential):
    """Two wells at +- length, tilted by the control."""

    barrier: jax.Array
    length: jax.Array
    constant: jax.Array

    def energy(self, x, control):
        y = x[0] / self.length
        return self.barrier * (y**2 - 1) ** 2 - control * y + self.constant

    def template(self, control):
        return jnp.zeros(1)


def bath(e, a, t):
    return tj.Bath(e, e * t / a**2, 0.3 * e * t / a * t / a)


def trap(kind, e, a, t, constant=0.0):
    potential = Trap(jnp.array([1.0, 3.0]) * (e / a / a), jnp.asarray(constant * e))
    ramp = tj.PiecewiseLinear([[0.2 * a, 0.0], [0.9 * a, 0.0]], 1.5 * t, [0.0, 0.0], [a, 0.0])
    return kind(potential, ramp, bath(e, a, t))


def wells(e, a, t, constant=0.0):
    potential = Wells(jnp.asarray(2.0 * e), jnp.asarray(a), jnp.asarray(constant * e))
    return tj.Overdamped(potential, tj.Linear(0.0, 1.5 * e, 1.5 * t), bath(e, a, t))


def in_dtype(name):
    return jax.enable_x64(False) if name == "float32" else contextlib.nullcontext()


def reduced(ledger, e, log_scale):
    """The ledger in units of kT and of the cell of phase space."""
    energies = {name: getattr(ledger, name) / e for name in ("work", "heat", "energy")}
    rest = {name: getattr(ledger, name) for name in ("divergence", "entropy_production")}
    entropy = ledger.entropy - log_scale
    level = ledger.equilibrium_free_energy / e + log_scale
    return {k: np.asarray(v) for k, v in (energies | rest | dict(s=entropy, f=level)).items()}


def of_moments(kind, e, a, t):
    out = tj.moments(trap(kind, e, a, t), 3)
    scales = [a, a] + ([] if kind is tj.Overdamped else 2 * [np.sqrt(0.3) * e * t / a])
    found = reduced(out.ledger, e, np.sum(np.log(scales)))
    scales = np.array(scales)
    found["mean"] = np.asarray(out.mean, float) / scales
    found["covariance"] = np.asarray(out.covariance, float) / scales / scales[:, None]
    return found


def of_grid(e, a, t):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        system = wells(e, a, t)
        out = tj.FokkerPlanck(-3 * a, 3 * a, 100).solve(system, 3, time_steps=100)
        found = tj.FokkerPlanck().grid(system)  # to the next power of two, roughly
    assert 2 < -float(found.lower[0]) / a < 4 and 2 < float(found.upper[0]) / a < 4
    return reduced(out.ledger, e, np.log(a)) | dict(density=np.asarray(out.density) * a)


def of_bounds(e, a, t):
    line, system = wells(e, a, t), trap(tj.Overdamped, e, a, t)
    found = dict(
        free=tj.bounds.free_end(system).work / e,
        fixed=tj.bounds.fixed_end(system).work / e,
        line=tj.bounds.free_end(line).work / e,
        friction=tj.bounds.friction_tensor(system, [0.5 * a, 0.0]) / (e / a * t / a),
        length=tj.bounds.thermodynamic_length(system) / np.sqrt(e) / np.sqrt(t),
        moment=tj.log_work_moment(system, 1.0),
    )
    heavy = trap(tj.Underdamped, e, a, t)
    found["inert"] = tj.bounds.friction_tensor(heavy, [0.5 * a, 0.0]) / (e / a * t / a)
    return {name: np.asarray(value) for name, value in found.items()}


def of_process(e, a, t):
    p = np.sqrt(0.3) * e * t / a
    process = tj.OrnsteinUhlenbeck.underdamped(
        np.array([[2.0, 0.3], [0.3, 1.0]]) * (e / a / a), [a, 0.0], bath(e, a, t)
    )
    scales = np.array([a, a, p, p])
    mean, covariance = process.mean_covariance(0.7 * t, 0.0)
    _, stationary = process.stationary()
    both = (np.asarray(c, float) / scales / scales[:, None] for c in (covariance, stationary))
    return dict(zip("cs", both, strict=True)) | dict(mean=np.asarray(mean, float) / scales)


def of_distances(e, a, t):
    x = np.random.default_rng(0).normal(size=(40, 2)) * a
    y = x[::-1] ** 2 / a + 0.3 * a
    edges = np.linspace(-3, 3, 50)
    both = np.exp(-(edges**2) / 2) / a, np.exp(-((edges - 1) ** 2)) / a
    pair = [a, 0.0], np.eye(2) * a * a, [0.0, 0.0], np.array([[2, 0.3], [0.3, 1]]) * a * a
    found = dict(
        line=tj.distances.transport_cost(x[:, 0], y[:, 0]) / a / a,
        many=tj.distances.sinkhorn_divergence(x, y) / a / a,
        density=tj.distances.transport_cost_density(edges * a, *both) / a / a,
        gauss=tj.distances.transport_cost_gaussian(*pair) / a / a,
        kl=tj.distances.kl_gaussian(*pair),
        line_distance=tj.distances.wasserstein(x[:, 0], y[:, 0]) / a,
        density_distance=tj.distances.wasserstein_density(edges * a, *both) / a,
        gauss_distance=tj.distances.wasserstein_gaussian(*pair) / a,
    )
    return {name: np.asarray(value) for name, value in found.items()}


PICTURES = {
    "moments": lambda *units: of_moments(tj.Overdamped, *units),
    "moments of phase space": lambda *units: of_moments(tj.Underdamped, *units),
    "grid": of_grid,
    "bounds": of_bounds,
    "process": of_process,
    "distances": of_distances,
}


# An absolute threshold shows in float32, whose numbers end first; one of them in float64 as well.
CASES = [pytest.param("float32", picture) for picture in PICTURES]
CASES += [pytest.param("float64", "moments")]
CASES += [
    pytest.param("float64", picture, marks=pytest.mark.slow)
    for picture in PICTURES
    if picture != "moments"
]


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "picture"), CASES)
def test_units_do_not_matter(picture, dtype):
    """Equal to rounding, or refused: nothing else."""
    with in_dtype(dtype):
        wanted, refused = PICTURES[picture](*UNITS["reduced"]), []
        for name in ("SI", "large", "small"):
            try:
                found = PICTURES[picture](*UNITS[name])
            except ValueError as error:
                assert "other units" in str(error) or "float64" in str(error), (name, error)
                refused.append(name)
                continue
            for part, value in wanted.items():
                # On the line the cells are those of a domain that is found, to a few percent.
                off = max(DTYPES[dtype], 1e-6 if part == "line" else 0)
                np.testing.assert_allclose(
                    found[part], value, rtol=off, atol=off, err_msg=str((name, part))
                )
    assert "SI" not in refused and (dtype == "float32" or not refused)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_constant_in_the_energy_does_not_matter(dtype):
    """Work, heat and entropies are as without it, or the loss of digits is said."""
    ledgers = {
        "moments": lambda c: tj.moments(trap(tj.Overdamped, 1.0, 1.0, 1.0, c), 3).ledger,
        "grid": lambda c: (
            tj.FokkerPlanck(-3.0, 3.0, 100).solve(wells(1.0, 1.0, 1.0, c), 3, time_steps=100).ledger
        ),
    }
    with in_dtype(dtype):
        for name, ledger in ledgers.items():
            plain = ledger(0.0)
            for constant in (1e3, 1e6, 1e9):
                loses = constant * float(jnp.finfo(jnp.result_type(float)).eps) > 1e-3
                if loses:
                    with pytest.warns(UserWarning, match="take the constant out"):
                        ledger(constant)
                    continue
                found = ledger(constant)
                for part in ("work", "heat", "divergence", "entropy_production"):
                    got, wanted = getattr(found, part)[-1], getattr(plain, part)[-1]
                    tolerance = 1e-6 if dtype == "float64" else 3e-3
                    assert got == pytest.approx(float(wanted), abs=tolerance), (
                        name,
                        part,
                        constant,
                    )
