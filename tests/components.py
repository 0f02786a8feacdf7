"""One dictionary per family: a new class is one entry here, and gets every contract test."""

import jax
import jax.numpy as jnp
import numpy as np

import thermojax as tj
from tests.aboba import ABOBA

FEATURES = np.random.default_rng(0).normal(size=(12, 3))
LABELS = (FEATURES @ np.array([1.0, -2.0, 0.5]) > 0).astype(float)
SPD = np.array([[2.0, 0.3], [0.3, 1.0]])


class Pendulum(tj.AbstractPotential):
    """A potential on a pytree: two angles and an array, with a float field."""

    stiffness: float = 1.5

    def energy(self, x, control):
        a, b = x["angles"], x["rod"]
        return jnp.sum(1 - jnp.cos(a)) + 0.5 * self.stiffness * jnp.sum((b - control) ** 2)


ROWS = np.random.default_rng(4)
INPUTS, TARGETS = ROWS.normal(size=(6, 2)), ROWS.normal(size=6)
COUNTS, TRIALS = np.array([0, 2, 30, 1, 7, 4]), np.array([4, 9, 50, 1, 8, 4])
NOISE = ROWS.normal(size=(6, 6))


def perceptron(x, row):
    return jnp.tanh(row @ x["hidden"]) @ x["output"]


PARAMETERS = {"hidden": jnp.zeros((2, 3)), "output": jnp.zeros((3, 2))}
LIKELIHOODS = {
    "logistic": tj.LogisticRegression(FEATURES, LABELS),
    "linear": tj.LinearRegression(INPUTS, TARGETS, noise=0.7),
    "softmax": tj.SoftmaxRegression(INPUTS, [0, 2, 1, 1, 0, 2]),
    "poisson": tj.PoissonRegression(INPUTS, COUNTS, exposure=np.arange(1.0, 7.0)),
    "gaussian identity": tj.GaussianLikelihood(TARGETS, 0.3),
    "gaussian correlated": tj.GaussianLikelihood(TARGETS, NOISE @ NOISE.T + np.eye(6), INPUTS),
    "random effects": tj.RandomEffects(INPUTS, COUNTS, TRIALS, [0, 0, 1, 2, 1, 2]),
    "network regression": tj.NetworkRegression(
        perceptron, INPUTS, np.stack([TARGETS, TARGETS], 1), 0.5, parameters=PARAMETERS
    ),
    "network classification": tj.NetworkClassification(
        perceptron, INPUTS, [0, 1, 1, 0, 1, 0], parameters=PARAMETERS
    ),
}

# name: (potential, template of one position, control at the start, control at the end)
POTENTIALS = {
    "harmonic center": (tj.Harmonic(2.0, control="center"), jnp.zeros(2), 0.0, 1.0),
    "harmonic stiffness": (tj.Harmonic(control="stiffness"), jnp.zeros(1), 1.0, 2.0),
    "harmonic matrix": (tj.Harmonic(SPD, jnp.array([1.0, -1.0])), jnp.zeros(2), 0.0, 1.0),
    "harmonic vector center": (
        tj.Harmonic(1.0, control="center"),
        jnp.zeros(2),
        jnp.array([0.0, 0.0]),
        jnp.array([1.0, -0.5]),
    ),
    "gaussian": (tj.Gaussian(jnp.array([1.0, 0.5]), SPD), jnp.zeros(2), 0.0, 1.0),
    "gaussian diagonal": (tj.Gaussian(jnp.zeros(2), jnp.array([1.0, 0.5])), jnp.zeros(2), 0.0, 1.0),
    "double well": (tj.DoubleWell(1.5), jnp.zeros(1), 0.0, 1.0),
    "double well pair": (
        tj.DoubleWell(2.0, 1.2),
        jnp.zeros(1),
        jnp.array([1.0, 0.0]),
        jnp.array([0.2, 1.0]),
    ),
    "mixture": (
        tj.GaussianMixture(jnp.array([[1.0, 0.0], [-1.0, 0.5]]), 0.4, jnp.array([1.0, 3.0])),
        jnp.zeros(2),
        0.0,
        1.0,
    ),
    "mixture matrices": (
        tj.GaussianMixture(jnp.array([[1.0, 0.0], [-1.0, 0.5]]), np.stack([SPD, 0.5 * SPD])),
        jnp.zeros(2),
        0.0,
        1.0,
    ),
    "logistic posterior": (
        tj.Interpolation(
            tj.Gaussian(jnp.zeros(3)),
            tj.Gaussian(jnp.zeros(3)) + tj.LogisticRegression(FEATURES, LABELS),
        ),
        jnp.zeros(3),
        0.0,
        1.0,
    ),
    "tempering": (
        tj.Tempering(
            tj.Gaussian(jnp.zeros(3)),
            (tj.Gaussian(jnp.array([1.0, 0.5, -1.0])), tj.LogisticRegression(FEATURES, LABELS)),
        ),
        jnp.zeros(3),
        jnp.zeros(2),
        jnp.ones(2),
    ),
    "log density": (
        tj.LogDensity(lambda x: -jnp.sum(x**4) / 4 - jnp.sum(x**2) / 2),
        jnp.zeros(2),
        0.0,
        1.0,
    ),
    "controlled log density": (
        tj.LogDensity(lambda x, c: -jnp.sum((x - c) ** 2), controlled=True),
        jnp.zeros(2),
        0.0,
        1.0,
    ),
    "scaled sum": (
        0.5 * tj.Harmonic(1.0, control="center") + tj.DoubleWell(1.0),
        jnp.zeros(2),
        0.0,
        0.5,
    ),
    "pytree": (Pendulum(), {"angles": jnp.zeros(2), "rod": jnp.zeros((2, 1))}, 0.0, 1.0),
    "diagonal gaussian": (
        tj.DiagonalGaussian({"a": jnp.ones(2), "b": jnp.zeros(())}, {"a": 0.5, "b": 2.0}),
        {"a": jnp.zeros(2), "b": jnp.zeros(())},
        0.0,
        1.0,
    ),
}

PROTOCOLS = {
    "constant": tj.Constant(0.5, duration=2.0),
    "linear": tj.Linear(0.0, 1.0, duration=2.0),
    "linear vector": tj.Linear(jnp.zeros(2), jnp.array([1.0, 2.0]), duration=2.0),
    "piecewise": tj.PiecewiseLinear([0.2, 0.1, 0.9], 2.0, initial=0.0, final=1.0),
    "piecewise vector": tj.PiecewiseLinear.between(jnp.zeros(2), jnp.ones(2), 2.0, knots=5),
    "piecewise pinned": tj.PiecewiseLinear([0.2, 0.1, 0.9], 2.0, 0.0, 1.0, pinned=True),
    "piecewise constant": tj.PiecewiseConstant([0.2, 0.1, 0.9], 2.0, initial=0.0, final=1.0),
    "piecewise constant vector": tj.PiecewiseConstant.between(jnp.zeros(2), jnp.ones(2), 2.0, 5),
    "monotone": tj.Monotone([0.5, -0.2, 0.1, 0.3], 2.0, initial=0.0, final=1.0),
    "monotone vector": tj.Monotone.between(jnp.zeros(2), jnp.ones(2), 2.0, 5, pinned=True),
    "spline": tj.CubicSpline([0.2, 0.1, 0.9, 0.3], 2.0, initial=0.0, final=1.0),
    "spline vector": tj.CubicSpline.between(jnp.zeros(2), jnp.ones(2), 2.0),
    "Chebyshev": tj.Chebyshev([0.2, 0.1, 0.9], 2.0, initial=0.0, final=1.0),
    "Chebyshev vector": tj.Chebyshev.between(jnp.zeros(2), jnp.ones(2), 2.0, 5),
    "neural": tj.Neural.between(0.0, 1.0, 2.0, key=jax.random.key(0)),
    "neural vector": tj.Neural.between(jnp.zeros(2), jnp.ones(2), 2.0, key=jax.random.key(0)),
    "reversed": tj.reverse(
        tj.Overdamped(tj.DoubleWell(), tj.PiecewiseLinear([0.2, 0.9], 2.0, 0.0, 1.0), tj.Bath())
    ).protocol,
}

INTEGRATORS = {"BAOAB": tj.BAOAB(), "OBABO": tj.OBABO(), "ABOBA": ABOBA()}
SYSTEMS = {"underdamped": tj.Underdamped, "overdamped": tj.Overdamped}


def start_positions(template, batch, seed=1):
    """Random positions of the template's shape."""
    leaves, structure = jax.tree.flatten(template)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    drawn = [
        0.7 * jax.random.normal(k, (batch, *x.shape), x.dtype)
        for k, x in zip(keys, leaves, strict=True)
    ]
    return structure.unflatten(drawn)
