"""Doubts about a model before anything is run: each that is meant, and none beside it."""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

import thermojax as tj
from thermojax.bayes.input.separation import Cone, open_directions

RNG = np.random.default_rng(7)
ROWS, DIM = 60, 4
A = np.concatenate([np.ones((ROWS, 1)), RNG.normal(size=(ROWS, DIM - 1))], axis=1)
TRUTH = np.array([0.3, 1.0, -0.7, 0.4])
LABELS = (RNG.random(ROWS) < 1 / (1 + np.exp(-A @ TRUTH))).astype(float)
TARGETS = A @ TRUTH + 0.5 * RNG.normal(size=ROWS)
COUNTS = RNG.poisson(np.exp(0.5 * A @ TRUTH))
PRIOR = tj.Gaussian(jnp.zeros(DIM))


def doubts(likelihood, prior=PRIOR):
    return tj.bayes.doubts(tj.bayes.Model(prior, likelihood))


def logistic(features, labels=LABELS):
    features = np.asarray(features)
    return doubts(tj.LogisticRegression(features, labels), tj.Gaussian(np.zeros(features.shape[1])))


def with_column(values):
    return np.column_stack([A, values])


FINE = {
    "logistic": tj.LogisticRegression(A, LABELS),
    "linear": tj.LinearRegression(A, TARGETS, noise=0.5),
    "poisson": tj.PoissonRegression(A, COUNTS),
    "gaussian": tj.GaussianLikelihood(TARGETS, 0.25, A),
    "two": tj.LogisticRegression(A, LABELS) + 2.0 * tj.LinearRegression(A, TARGETS, noise=0.5),
}


@pytest.mark.parametrize("name", FINE)
@pytest.mark.parametrize("prior", [PRIOR, None], ids=["proper", "flat"])
def test_nothing_is_said_of_good_data(name, prior):
    assert doubts(FINE[name], prior) == ()


def test_nothing_is_said_of_other_good_models():
    softmax = tj.SoftmaxRegression(A, RNG.integers(0, 3, ROWS))
    assert doubts(softmax, tj.DiagonalGaussian(jnp.zeros((DIM, 3)))) == ()
    seeds = tj.RandomEffects(A, COUNTS, COUNTS + 3)
    assert doubts(seeds, seeds.prior()) == ()


COLUMNS = {
    "zero": (with_column(np.zeros(ROWS)), ["0 in every row of column 4"]),
    "constant beside the bias": (with_column(np.full(ROWS, 3.0)), ["constant in columns 0 and 4"]),
    "repeated": (with_column(A[:, 2]), [r"repeat a column, .* in column 4 \(of 2\)"]),
    "repeated in float32": (
        with_column(np.float32(-3.3) * A[:, 2].astype(np.float32)),
        [r"in column 4 \(of 2\)"],
    ),
    "repeated beside the bias": (
        with_column(7 - 2 * A[:, 2]),
        [r"up to a factor and a constant, in column 4 \(of 2\)"],
    ),
    "very far from zero": (
        with_column(3e6 + RNG.normal(size=ROWS)),
        ["not centered: column 4", ""],
    ),
    "sum": (
        with_column(A[:, 1] - 2 * A[:, 3]),
        [r"linearly dependent columns \(columns 1, 3 and 4\): in 1 direction of"],
    ),
    "one of three beside the bias": (
        with_column(np.eye(3)[np.arange(ROWS) % 3]),
        [r"linearly dependent columns \(columns 0, 4, 5 and 6\): in 1 direction of"],
    ),
    "few rows": (np.ones((3, 1)) + RNG.normal(size=(3, 5)), ["3 rows for 5 columns: in 2 direct"]),
    "wide": (
        with_column(1e6 * RNG.normal(size=ROWS)),
        ["not standardized: column 4", "everything"],
    ),
    "far from zero": (
        with_column(2000 + 3 * RNG.normal(size=ROWS)),
        ["not centered: column 4", ""],
    ),
    "outlier": (
        np.where(np.arange(ROWS)[:, None] == 5, A + 1e3 * np.eye(DIM)[2], A),
        [r"an outlier in row 5, .* features\[5, 2\] = 998\.7"],
    ),
    "rare": (
        with_column((np.arange(ROWS) == 8) * 1.0),
        [r"row 8, .* features\[8, 4\] = 1 is the only number that differs"],
    ),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns(name):
    features, words = COLUMNS[name]
    labels = LABELS[: len(features)]
    found = [said for said in logistic(features, labels) if not said.startswith("labels")]
    assert len(found) == len(words), found
    for said, pattern in zip(found, words, strict=True):
        assert re.search(pattern, said), said


def test_data():
    assert "labels are all 1: one class alone" in logistic(A, np.ones(ROWS))[0]
    missing = tj.SoftmaxRegression(A, LABELS, classes=3)
    (said,) = doubts(missing, tj.DiagonalGaussian(jnp.zeros((DIM, 3))))[:1]
    assert "labels never are 2" in said
    assert "counts are all 0" in doubts(tj.PoissonRegression(A, np.zeros(ROWS)))[0]
    seeds = tj.RandomEffects(A, np.full(ROWS, 3), 3)
    assert "successes are all of the trials" in doubts(seeds, seeds.prior())[0]
    (small,) = doubts(tj.LinearRegression(A, TARGETS, noise=0.05))
    (large,) = doubts(tj.LinearRegression(A, TARGETS, noise=5.0))
    assert "noise is stated too small" in small and "noise is stated too large" in large
    off = np.where(np.arange(ROWS) == 11, 100.0, TARGETS)
    (said,) = doubts(tj.LinearRegression(A, off, noise=0.5))
    assert "targets[11] = 100 lies" in said


# Separation.


def separated_by_the_dual(signs):
    """No v has G v >= 0 and not 0 exactly where some p >= 1 has p G = 0 (Stiemke's lemma)."""
    rows, dim = signs.shape
    found = linprog(np.ones(rows), A_eq=signs.T, b_eq=np.zeros(dim), bounds=[(1, None)] * rows)
    return found.status == 2  # infeasible


def separated_strictly(signs):
    """G v >= 1 has a solution."""
    rows, dim = signs.shape
    bounds = [(None, None)] * dim
    found = linprog(np.zeros(dim), -signs, -np.ones(rows), bounds=bounds)
    return found.status == 0


def test_separation_agrees_with_the_dual_program():
    """On small tables of small integers, where all three cases come up often."""
    draw, seen = np.random.default_rng(1), {"all": 0, "some": 0, "none": 0}
    for _ in range(250):
        rows, dim = draw.integers(3, 9), draw.integers(1, 4)
        signs = draw.integers(-2, 3, size=(rows, dim)).astype(float)
        signs = signs[np.any(signs != 0, axis=1)]
        if not len(signs):
            continue
        found = open_directions(Cone(signs, np.zeros((0, dim))))
        assert found.flat == dim - np.linalg.matrix_rank(signs)
        assert (found.rising != "none") == separated_by_the_dual(signs)
        assert (found.rising == "all") == separated_strictly(signs)
        seen[found.rising] += 1
    assert min(seen.values()) > 15, seen


LINE = np.array([[1.0, -2.0], [1.0, -1.0], [1.0, 1.0], [1.0, 2.0]])


@pytest.mark.parametrize(
    ("labels", "how"),
    [([0, 0, 1, 1], "perfectly"), ([0, 1, 1, 1], "perfectly"), ([0, 1, 0, 1], "")],
)
def test_separated_labels_are_harmless_with_a_prior_and_refused_without(labels, how):
    likelihood = tj.LogisticRegression(LINE, labels)
    found = doubts(likelihood, tj.Gaussian(jnp.zeros(2)))
    if not how:
        assert found == () and doubts(likelihood, None) == ()
        return
    assert len(found) == 1 and f"separated by a hyperplane ({how})" in found[0]
    with pytest.raises(ValueError, match=r"the classes are separated.*give a prior"):
        doubts(likelihood, None)


def test_rows_on_the_hyperplane():
    features = np.array([[1.0, -1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    (said,) = doubts(tj.LogisticRegression(features, [0, 0, 1, 1]), tj.Gaussian(jnp.zeros(2)))
    assert "but for rows that lie on it" in said


def test_three_classes():
    three = np.array([[1.0, -2.0], [1.0, 0.0], [1.0, 2.0]])
    prior = tj.DiagonalGaussian(jnp.zeros((2, 3)))
    (said,) = doubts(tj.SoftmaxRegression(three, [0, 1, 2]), prior)
    assert "separated by a hyperplane (perfectly)" in said
    mixed = tj.SoftmaxRegression(np.tile(three, (3, 1)), [0, 1, 2, 1, 2, 0, 2, 0, 1])
    assert doubts(mixed, prior) == ()
    with pytest.raises(ValueError, match="added to the weights of all classes"):
        doubts(mixed, None)


def test_flat_priors_of_counts_and_numbers():
    """A count of zero alone has exp(-exp(x)) as its likelihood, which does not fall to the left."""
    with pytest.raises(ValueError, match="no datum becomes less probable"):
        doubts(tj.PoissonRegression([[1.0]], [0]), None)
    assert doubts(tj.PoissonRegression([[1.0]], [1]), None) == ()
    with pytest.raises(ValueError, match="in 1 direction of the weights the data say nothing"):
        doubts(tj.LinearRegression(np.ones((5, 2)), np.ones(5), 1.0), None)
    with pytest.raises(ValueError, match="in 2 directions"):
        doubts(tj.GaussianLikelihood([1.0], 1.0, [[1.0, 2.0, 3.0]]), None)
    identity = tj.GaussianLikelihood(np.ones(4096), 1.0)
    assert doubts(identity, None) == ()
    both = tj.LinearRegression([[1.0, 0.0]], [1.0], 1.0) + tj.PoissonRegression([[0.0, 1.0]], [2])
    assert not any("flat" in x for x in doubts(both, None))
    seeds = tj.RandomEffects(A, COUNTS, COUNTS + 3)
    with pytest.raises(ValueError, match="no posterior of a RandomEffects"):
        doubts(seeds, None)


def test_breast_cancer_is_separable():
    """All 30 columns together; known, and harmless with the prior of the main job."""
    file = Path(__file__).parents[2] / "data" / "breast_cancer.csv"
    table = np.genfromtxt(file, delimiter=",", skip_header=1)
    raw, labels = table[:, :-1], table[:, -1]
    features = (raw - raw.mean(axis=0)) / raw.std(axis=0)
    features = np.column_stack([np.ones(len(raw)), features])
    signs = (2 * labels - 1)[:, None] * features
    assert separated_strictly(signs)
    (said,) = logistic(features, labels)
    assert "separated by a hyperplane (perfectly)" in said
    found = logistic(np.column_stack([np.ones(len(raw)), raw]), labels)
    assert any("not standardized" in x for x in found)


# The prior.


def log_likelihood(x):
    return -jnp.sum(jnp.logaddexp(0.0, -(2 * LABELS - 1) * (A @ x)))


def log_prior(x):
    return -0.5 * jnp.sum(x**2)


def gaussian_data(x):
    return -0.5 * jnp.sum((x - jnp.array([0.5, -0.2, 1.3, 0.9])) ** 2)


FEW = jnp.asarray(RNG.normal(size=(2, DIM)))
POSTERIORS = {
    "data that saturate": lambda x: log_likelihood(x) + log_prior(x),
    "few data": lambda x: log_prior(x) - 3.0 * jnp.sum((FEW @ x - 1.0) ** 2),
}
LIKELIHOODS = {
    "logistic": log_likelihood,
    "few": lambda x: -3.0 * jnp.sum((FEW @ x - 1.0) ** 2),
    "as wide as the prior": gaussian_data,
}


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
@pytest.mark.parametrize("name", POSTERIORS)
def test_a_posterior_in_place_of_a_likelihood_is_noticed(name, dtype):
    prior = tj.Gaussian(jnp.zeros(DIM, dtype))
    (said,) = doubts(tj.LogDensity(POSTERIORS[name]), prior)
    assert "count twice" in said
    assert ("4 of 4" if name == "data that saturate" else "in 2 of 4") in said


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_likelihood_is_not_taken_for_a_posterior(name, dtype):
    assert doubts(tj.LogDensity(LIKELIHOODS[name]), tj.Gaussian(jnp.zeros(DIM, dtype))) == ()


def test_the_prior_as_a_term_of_the_likelihood_is_refused():
    likelihood = FINE["logistic"]
    for held in (
        PRIOR + likelihood,
        tj.Gaussian(np.zeros(DIM)) + likelihood,  # an equal one
        likelihood + 1.0 * PRIOR,
        tj.Interpolation(PRIOR, PRIOR + likelihood),
        PRIOR,
    ):
        with pytest.raises(ValueError, match="holds the Gaussian that is the prior: it would"):
            doubts(held)
    other = tj.Gaussian(jnp.zeros(DIM), 2.0) + likelihood  # another one is a datum
    assert not doubts(other)
    own = tj.LogDensity(log_prior)
    model = tj.bayes.Model(own, own + likelihood)
    with pytest.raises(ValueError, match="holds the LogDensity"):
        tj.bayes.doubts(model)


def student(x):
    return -1.0 * jnp.sum(jnp.log1p(x**2))


PROPER = {
    "gaussian": log_prior,
    "wide gaussian": lambda x: -0.5e-20 * jnp.sum(x**2),
    "cauchy": student,
    "spherical cauchy": lambda x: -0.5 * (DIM + 1) * jnp.log1p(jnp.sum(x**2)),
    "half": lambda x: jnp.sum(jnp.where(x > -3, -x, -jnp.inf)),
    "log normal": lambda x: jnp.sum(x - jnp.exp(x)),
    "quartic": lambda x: -jnp.sum(x**4),
}
IMPROPER = {
    "flat": lambda x: 0.0 * x[0],
    "flat in one": lambda x: -0.5 * jnp.sum(x[1:] ** 2),
    "half flat": lambda x: jnp.sum(jnp.where(x > 0, 0.0, -(x**2))),
    "one over r": lambda x: -0.5 * jnp.log1p(jnp.sum(x**2)),
    "rising": lambda x: jnp.sum(x),
    "to the left of one": lambda x: -0.5 * jnp.sum(x[1:] ** 2) - jnp.exp(x[0]),
}


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
@pytest.mark.parametrize("name", PROPER)
def test_a_prior_that_can_be_normalized_passes(name, dtype):
    prior = tj.LogDensity(PROPER[name])
    model = tj.bayes.Model(prior, FINE["logistic"], template=jnp.zeros(DIM, dtype))
    assert tj.bayes.doubts(model) == ()


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
@pytest.mark.parametrize("name", IMPROPER)
def test_a_prior_that_cannot_is_refused(name, dtype):
    prior = tj.LogDensity(IMPROPER[name])
    template = jnp.zeros(DIM, dtype)
    with pytest.raises(ValueError, match=r"prior cannot be normalized: .*pass None as the prior"):
        tj.bayes.doubts(tj.bayes.Model(prior, FINE["logistic"], template=template))


def test_the_posterior_of_an_improper_prior_is_allowed():
    """As the likelihood of a flat prior; refused where it is no posterior."""
    prior = tj.LogDensity(IMPROPER["flat in one"])
    assert doubts(prior + FINE["logistic"], None) == ()
    with pytest.raises(ValueError, match=r"flat prior cannot be normalized: .* along coordinate 0"):
        tj.bayes.doubts(tj.bayes.Model(None, prior, template=jnp.zeros(DIM)))


def test_a_likelihood_of_the_wrong_sign_is_refused_where_it_outgrows_the_prior():
    energy = lambda x: 0.5 * jnp.sum((A @ x - TARGETS) ** 2)  # and not ln p
    with pytest.raises(ValueError, match=r"posterior cannot be normalized: .* takes ln p\(y\|x\)"):
        doubts(tj.LogDensity(energy))


def test_prior_and_likelihood_have_one_shape():
    softmax = tj.SoftmaxRegression(A, LABELS, classes=3)
    with pytest.raises(ValueError, match=r"prior has positions of the shape \(4,\), .* \(4, 3\)"):
        doubts(softmax)


def test_what_is_no_model_or_has_no_numbers():
    with pytest.raises(ValueError, match=r"model is a Gaussian: expected a tj\.bayes\.Model"):
        tj.bayes.doubts(PRIOR)
    with pytest.raises(ValueError, match="model is traced"):
        jax.eval_shape(lambda y: doubts(FINE["gaussian"].with_data(y)) or 0.0, jnp.ones(ROWS))
