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


def bath(e, l, t):
    return tj.Bath(e, e * t / l**2, 0.3 * e * t / l * t / l)


def trap(kind, e, l, t, constant=0.0):
    potential = Trap(jnp.array([1.0, 3.0]) * (e / l / l), jnp.asarray(constant * e))
    ramp = tj.PiecewiseLinear([[0.2 * l, 0.0], [0.9 * l, 0.0]], 1.5 * t, [0.0, 0.0], [l, 0.0])
    return kind(potential, ramp, bath(e, l, t))


def wells(e, l, t, constant=0.0):
    potential = Wells(jnp.asarray(2.0 * e), jnp.asarray(l), jnp.asarray(constant * e))
    return tj.Overdamped(potential, tj.Linear(0.0, 1.5 * e, 1.5 * t), bath(e, l, t))


def in_dtype(name):
    return jax.enable_x64(False) if name == "float32" else contextlib.nullcontext()


def reduced(ledger, e, log_scale):
    """The ledger in units of kT and of the cell of phase space."""
    energies = {name: getattr(ledger, name) / e for name in ("work", "heat", "energy")}
    rest = {name: getattr(ledger, name) for name in ("divergence", "entropy_production")}
    entropy = ledger.entropy - log_scale
    level = ledger.equilibrium_free_energy / e + log_scale
    return {k: np.asarray(v) for k, v in (energies | rest | dict(s=entropy, f=level)).items()}


def of_moments(kind, e, l, t):
    out = tj.moments(trap(kind, e, l, t), 3)
    scales = [l, l] + ([] if kind is tj.Overdamped else 2 * [np.sqrt(0.3) * e * t / l])
    found = reduced(out.ledger, e, np.sum(np.log(scales)))
    scales = np.array(scales)
    found["mean"] = np.asarray(out.mean, float) / scales
    found["covariance"] = np.asarray(out.covariance, float) / scales / scales[:, None]
    return found


def of_grid(e, l, t):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        system = wells(e, l, t)
        out = tj.FokkerPlanck(-3 * l, 3 * l, 100).solve(system, 3, time_steps=100)
        found = tj.FokkerPlanck().around(system)  # to the next power of two, roughly
    assert 2 < -float(found.lower) / l < 4 and 2 < float(found.upper) / l < 4
    return reduced(out.ledger, e, np.log(l)) | dict(density=np.asarray(out.density) * l)


def of_bounds(e, l, t):
    line, system = wells(e, l, t), trap(tj.Overdamped, e, l, t)
    found = dict(
        free=tj.bounds.free_end(system).work / e,
        fixed=tj.bounds.fixed_end(system).work / e,
        line=tj.bounds.free_end(line).work / e,
        friction=tj.bounds.friction_tensor(system, [0.5 * l, 0.0]) / (e / l * t / l),
        length=tj.bounds.thermodynamic_length(system) / np.sqrt(e) / np.sqrt(t),
        moment=tj.log_work_moment(system, 1.0),
    )
    heavy = trap(tj.Underdamped, e, l, t)
    found["inert"] = tj.bounds.friction_tensor(heavy, [0.5 * l, 0.0]) / (e / l * t / l)
    return {name: np.asarray(value) for name, value in found.items()}


def of_process(e, l, t):
    p = np.sqrt(0.3) * e * t / l
    process = tj.OrnsteinUhlenbeck.underdamped(
        np.array([[2.0, 0.3], [0.3, 1.0]]) * (e / l / l), [l, 0.0], bath(e, l, t)
    )
    scales = np.array([l, l, p, p])
    mean, covariance = process.mean_covariance(0.7 * t, 0.0)
    _, stationary = process.stationary()
    both = (np.asarray(c, float) / scales / scales[:, None] for c in (covariance, stationary))
    return dict(zip("cs", both, strict=True)) | dict(mean=np.asarray(mean, float) / scales)


def of_distances(e, l, t):
    x = np.random.default_rng(0).normal(size=(40, 2)) * l
    y = x[::-1] ** 2 / l + 0.3 * l
    edges = np.linspace(-3, 3, 50)
    both = np.exp(-(edges**2) / 2) / l, np.exp(-((edges - 1) ** 2)) / l
    found = dict(
        line=tj.wasserstein(x[:, 0], y[:, 0]) / l / l,
        many=tj.sinkhorn(x, y) / l / l,
        density=tj.wasserstein_density(edges * l, *both) / l / l,
        gauss=tj.wasserstein2_gaussian(
            [l, 0.0],
            np.eye(2) * l * l,
            [0.0, 0.0],
            [[2 * l * l, 0.3 * l * l], [0.3 * l * l, l * l]],
        )
        / l
        / l,
        kl=tj.kl_gaussian(
            [l, 0.0],
            np.eye(2) * l * l,
            [0.0, 0.0],
            [[2 * l * l, 0.3 * l * l], [0.3 * l * l, l * l]],
        ),
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


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_units_do_not_matter(picture, dtype):
    """Equal to rounding, or refused: nothing else."""
    with in_dtype(dtype):
        wanted, refused = PICTURES[picture](*UNITS["reduced"]), []
        for name, units in UNITS.items():
            try:
                found = PICTURES[picture](*units)
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
        "moments": lambda c: tj.moments(trap(tj.Overdamped, 1.0, 1.0, 1.0, c), 2).ledger,
        "grid": lambda c: (
            tj.FokkerPlanck(-3.0, 3.0, 100).solve(wells(1.0, 1.0, 1.0, c), 2, time_steps=100).ledger
        ),
    }
    with in_dtype(dtype):
        for name, ledger in ledgers.items():
            plain = ledger(0.0)
            for constant in (1e3, 1e6, 1e9):
                loses = constant * float(jnp.finfo(jnp.result_type(float)).eps) > 1e-3
                with pytest.warns(UserWarning) if loses else contextlib.nullcontext() as seen:
                    found = ledger(constant)
                if loses:
                    assert any("take the constant out" in str(w.message) for w in seen), name
                    continue
                for part in ("work", "heat", "divergence", "entropy_production"):
                    got, wanted = getattr(found, part)[-1], getattr(plain, part)[-1]
                    tolerance = 1e-6 if dtype == "float64" else 3e-3
                    assert got == pytest.approx(float(wanted), abs=tolerance), (
                        name,
                        part,
                        constant,
                    )
