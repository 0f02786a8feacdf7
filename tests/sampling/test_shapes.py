"""A position, a potential, a bath and a drive that do not fit are refused before anything runs."""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOptionalMemberAccess=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

import thermojax as tj

KEY = jax.random.key(0)
STILL, BATH, START = tj.Constant(), tj.Bath(), tj.Equilibrium(jnp.zeros(1))
TREE = tj.LogDensity(lambda x: -sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(x)))


class Ball(tj.AbstractPotential):
    """A user's potential that says what its positions look like, and would take any."""

    def energy(self, x, control):
        return jnp.sum((x - jnp.ones(3, x.dtype)) ** 2)

    def template(self, control):
        return jnp.zeros(3)


def system(potential, protocol=STILL, bath=BATH, kind=tj.Underdamped, drive=None):
    return kind(potential, protocol, bath, drive)


def runs(system, initial=START, batch=None):
    """Both ways to begin."""
    if batch is None and isinstance(initial, tj.Equilibrium):
        batch = 2
    tj.start(system, KEY, batch=batch, initial=initial)
    tj.simulate(system, KEY, time_steps=2, batch=batch, initial=initial)


@pytest.mark.parametrize("kind", [tj.Underdamped, tj.Overdamped])
@pytest.mark.parametrize("initial", [tj.Equilibrium(jnp.zeros(1)), jnp.zeros((4, 1))], ids=str)
@pytest.mark.parametrize(
    "potential, protocol",
    [
        (tj.Harmonic(1.0, jnp.zeros(3)), tj.Constant()),
        (tj.Harmonic(jnp.ones(3)), tj.Constant()),
        (tj.Harmonic(jnp.eye(3)), tj.Constant()),
        (tj.Harmonic(1.0, control="center"), tj.Linear(jnp.zeros(3), jnp.ones(3), 1.0)),
        (tj.Harmonic(1.0, control="stiffness"), tj.Linear(jnp.ones(3), jnp.ones(3), 1.0)),
        (tj.Gaussian(jnp.zeros(3)), tj.Constant()),
        (tj.GaussianMixture(jnp.zeros((2, 3))), tj.Constant()),
        (tj.LogisticRegression(np.ones((5, 3)), np.ones(5)), tj.Constant()),
        (2.0 * tj.Gaussian(jnp.zeros(3)), tj.Constant()),
        (tj.DoubleWell() + tj.Gaussian(jnp.zeros(3)), tj.Constant()),
        (tj.Interpolation(tj.Harmonic(), tj.Gaussian(jnp.zeros(3))), tj.Linear(0.0, 1.0, 1.0)),
        (tj.Tempering(tj.Harmonic(), [tj.Gaussian(jnp.zeros(3))]), tj.Constant([0.0])),
        (Ball(), tj.Constant()),
    ],
    ids=lambda x: type(x).__name__,
)
def test_positions_have_the_shape_of_the_potential(kind, initial, potential, protocol):
    with pytest.raises(ValueError, match=r"initial holds samples of the shape \(1,\)"):
        runs(system(potential, protocol, kind=kind), initial)


def test_terms_of_a_sum_have_one_shape():
    both = tj.Gaussian(jnp.zeros(1)) + tj.Harmonic(1.0, jnp.zeros(3))
    with pytest.raises(ValueError, match=r"x has shape \(1,\): Harmonic expects .* \(3,\)"):
        runs(system(both))
    with pytest.raises(ValueError, match=r"stiffness has shape \(2,\) and center \(3,\)"):
        tj.Harmonic(jnp.ones(2), jnp.zeros(3))
    with pytest.raises(ValueError, match=r"mean has shape \(3,\) and covariance \(2,\)"):
        tj.Gaussian(jnp.zeros(3), jnp.ones(2))


def test_the_energy_of_a_shipped_potential_refuses_what_it_would_broadcast():
    for potential in (
        tj.Harmonic(1.0, jnp.zeros(3)),
        tj.Gaussian(jnp.zeros(3)),
        tj.GaussianMixture(jnp.zeros((2, 3))),
        tj.LogisticRegression(np.ones((5, 3)), np.ones(5)),
    ):
        with pytest.raises(ValueError, match=r"x has shape \(1,\): .* \(3,\)"):
            jax.grad(potential.energy)(jnp.zeros(1), 0.0)
    for potential in (tj.Harmonic(), tj.DoubleWell()):
        with pytest.raises(ValueError, match=r"x is a dict: .* one array"):
            potential.energy({"r": jnp.zeros(1)}, 0.0)


@pytest.mark.parametrize("name", ["friction", "mass"])
def test_the_bath_fits_the_position(name):
    one = lambda value: system(tj.Harmonic(), bath=tj.Bath(**{name: value}))
    with pytest.raises(ValueError, match=rf"{name} has shape \(3,\), .* position of shape \(1,\)"):
        runs(one(jnp.ones(3)))
    with pytest.raises(ValueError, match=rf"{name} has shape \(2, 1\)"):  # would add an axis
        runs(one(jnp.ones((2, 1))), tj.Equilibrium(jnp.zeros(1)))
    with pytest.raises(ValueError, match=rf"{name} has shape \(3,\)"):
        runs(one(tj.Linear(jnp.ones(3), jnp.ones(3), 1.0)))
    with pytest.raises(ValueError, match=rf"{name} has the leaves \['a'\].* one array"):
        runs(one({"a": 1.0}))
    tree = {"a": jnp.zeros(1), "b": jnp.zeros(2)}
    for wrong, words in (({"a": 1.0, "c": 1.0}, "leaves"), ({"a": 1.0, "b": [1.0] * 3}, "shape")):
        with pytest.raises(ValueError, match=rf"{name} has .*{words}"):
            runs(system(TREE, bath=tj.Bath(**{name: wrong})), tj.Equilibrium(tree))


def test_a_drive_is_like_the_position():
    drive = lambda x, control: jnp.zeros(3)
    with pytest.raises(ValueError, match=r"drive.* \(3,\) for one sample of the shape \(1,\)"):
        runs(system(tj.Harmonic(), drive=drive))
    wide = lambda x, control: np.zeros(1)
    narrow = tj.Equilibrium(jnp.zeros(1, jnp.float32))
    with pytest.raises(ValueError, match=r"drive.* returned float64 for positions of float32"):
        runs(system(tj.Harmonic(), drive=wide), narrow)


def test_energies_are_floats_no_wider_than_the_position():
    data = np.ones(3)
    wide = tj.LogDensity(lambda x: -jnp.sum((x - data) ** 2))
    narrow = tj.Equilibrium(jnp.zeros(3, jnp.float32))
    with pytest.raises(ValueError, match=r"LogDensity.energy returned float64 .* float32"):
        runs(system(wide), narrow)
    with pytest.raises(ValueError, match=r"LogDensity.energy returned int"):
        runs(system(tj.LogDensity(lambda x: jnp.sum(x > 0))))


@pytest.mark.parametrize("dtype", [bool, int, complex])
def test_positions_are_floats_throughout(dtype):
    mixed = lambda *shape: {"r": jnp.zeros(shape), "free": jnp.zeros(shape, dtype)}
    with pytest.raises(ValueError, match=r"initial\['free'\]"):
        runs(system(TREE), mixed(4, 2))
    with pytest.raises(ValueError, match=r"template\['free'\]"):
        tj.Equilibrium(mixed(2))
    with pytest.raises(ValueError, match=r"template\['free'\]"):
        tj.check(TREE, mixed(2))
    if dtype is not int:
        with pytest.raises(ValueError, match="template has dtype"):
            tj.Equilibrium(jnp.zeros(2, dtype))


def test_lists_of_numbers_are_one_array_and_whole_numbers_floats():
    for template in ([0.0, 0.0], [0, 0], (0.0, 0), np.zeros(2, int)):
        template = tj.Equilibrium(template).template
        assert template.shape == (2,) and template.dtype == jnp.float64
    chain = tj.start(system(tj.Harmonic()), KEY, initial=[[0.0, 1.0], [1.0, 0.0], [2, 3]])
    assert chain.position.shape == (3, 2)
    assert isinstance(tj.Equilibrium([jnp.zeros(2), jnp.zeros(3)]).template, list)


@pytest.mark.parametrize(
    "initial, words",
    [
        (jnp.zeros((4, 0)), r"initial has shape \(4, 0\)"),
        (jnp.zeros((0, 2)), r"initial has shape \(0, 2\)"),
        (jnp.zeros(()), "initial"),
        ({}, "initial is an empty dict"),
        ("zero", "initial = 'zero'"),
        (tj.Equilibrium, "initial is the class Equilibrium itself"),
        (
            tj.State(jnp.zeros((2, 1)), jnp.zeros((2, 2))),
            r"initial.momentum has the shape \(2, 2\)",
        ),
        (tj.State(jnp.zeros((2, 1), int), jnp.zeros((3, 1))), "initial.momentum"),
    ],
    ids=str,
)
def test_what_is_no_batch_of_positions_is_named(initial, words):
    with pytest.raises(ValueError, match=words):
        runs(system(tj.Harmonic()), initial)


def test_an_explicit_mesh_is_refused_in_words():
    mesh = Mesh(np.asarray(jax.devices()[:1]), ("batch",), axis_types=(AxisType.Explicit,))
    where = NamedSharding(mesh, PartitionSpec("batch"))
    given = dict(batch=2, initial=tj.Equilibrium(jnp.zeros(1)), sharding=where)
    with pytest.raises(ValueError, match=r"sharding .*Explicit.* tj\.batch_sharding"):
        tj.simulate(system(tj.Harmonic()), KEY, time_steps=2, **given)
    with jax.set_mesh(mesh):
        laid_out = jax.device_put(jnp.zeros((2, 1)), PartitionSpec("batch"))
        with pytest.raises(ValueError, match="initial is laid out over the Explicit mesh"):
            tj.start(system(tj.Harmonic()), KEY, initial=laid_out)
