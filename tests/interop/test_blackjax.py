"""BlackJAX's functions as a model, and our chains as an algorithm of BlackJAX's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

import thermojax as tj

CHAINS, DRAWS = 128, 200


def quartic(x):
    """A log density far from Gaussian, on a dict of two leaves, the second with width 3."""
    return -(x["a"] ** 4) / 4 + x["a"] - jnp.sum(x["b"] ** 2) / 18


def moments():
    """Mean and variance of `a` by quadrature, with scipy."""
    weight = lambda a, k: a**k * np.exp(-(a**4) / 4 + a)
    norm, first, second = (quad(weight, -6, 6, args=(k,))[0] for k in range(3))
    mean = first / norm
    return mean, second / norm - mean**2


@pytest.mark.parametrize(("dt", "adjusted"), [(1.2, None), (0.8, True)])
def test_the_law_is_exact_at_a_coarse_step(dt, adjusted):
    """Under scan and vmap, at steps at which chains without a choice of Metropolis diverge."""
    algorithm = tj.bayes.as_blackjax(
        quartic, dt=dt, mass={"a": 1.0, "b": jnp.array(0.3)}, steps=4, adjusted=adjusted
    )
    places = jax.random.normal(jax.random.key(0), (CHAINS,))
    states = jax.vmap(algorithm.init)({"a": places, "b": jnp.zeros((CHAINS, 1))})

    def one(states, key):
        states, info = jax.vmap(algorithm.step)(jax.random.split(key, CHAINS), states)
        return states, (states, info)

    keys = jax.random.split(jax.random.key(1), DRAWS)
    last, (history, info) = jax.jit(lambda s, k: jax.lax.scan(one, s, k))(states, keys)
    np.testing.assert_allclose(last.logdensity, jax.vmap(quartic)(last.position), rtol=1e-9)
    assert 0.3 < info.acceptance_rate.mean() < 0.99 and not info.is_divergent.any()
    np.testing.assert_array_equal(info.is_accepted, info.acceptance_rate > 0.5)
    mean, variance = moments()
    kept = jax.tree.map(lambda x: np.asarray(x)[DRAWS // 10 :], history.position)
    # Errors from the spread between the chains, which are independent.
    for values, exact in (
        (kept["a"], mean),
        ((kept["a"] - mean) ** 2, variance),
        (kept["b"][..., 0] ** 2, 9.0),
    ):
        of_chain = values.mean(0)
        error = of_chain.std(ddof=1) / np.sqrt(CHAINS)
        assert abs(of_chain.mean() - exact) < 4.5 * error and error < 0.05 * max(1, exact)


def test_in_a_loop_of_blackjax():
    util = pytest.importorskip("blackjax.util", reason="BlackJAX is not installed")
    algorithm = tj.bayes.as_blackjax(quartic, dt=0.5, steps=4)
    start = {"a": jnp.zeros(()), "b": jnp.zeros(1)}
    last, (states, info) = util.run_inference_algorithm(
        jax.random.key(0), algorithm, num_steps=20, initial_position=start
    )
    assert states.position["b"].shape == (20, 1) and info.acceptance_rate.shape == (20,)
    np.testing.assert_array_equal(states.position["a"][-1], last.position["a"])
    assert len(np.unique(np.asarray(states.position["a"]))) > 5


def test_the_same_key_takes_the_same_step():
    algorithm = tj.bayes.as_blackjax(lambda x: -jnp.sum(x**2) / 2, dt=0.5, steps=4)
    state = algorithm.init(jnp.ones(2))
    first, _ = algorithm.step(jax.random.key(3), state)
    again, _ = algorithm.step(jax.random.key(3), state)
    other, _ = algorithm.step(jax.random.key(4), state)
    np.testing.assert_array_equal(first.position, again.position)
    assert not np.array_equal(first.position, other.position)
    assert first.position.shape == (2,) and first.logdensity.shape == ()


def test_a_pair_of_functions_is_a_model():
    """`logprior_fn` and `loglikelihood_fn` of tempered sequential Monte Carlo, as they are."""
    logprior, loglikelihood = (lambda x: -jnp.sum(x**2) / 2), (lambda x: -jnp.sum((x - 1) ** 2))
    model = tj.bayes.Model(logprior, loglikelihood, template=jnp.zeros(2))
    x = jnp.array([0.3, -2.0])
    assert model.prior is not None
    assert model.prior.energy(x, None) == -logprior(x)
    assert model.likelihood.energy(x, None) == -loglikelihood(x)
    assert model.shown(x[None])["x"].shape == (1, 2)
    with pytest.raises(ValueError, match="template="):
        tj.bayes.Model(logprior, loglikelihood)
    with pytest.raises(ValueError, match="the class Gaussian itself"):
        tj.bayes.Model(tj.Gaussian, loglikelihood)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(dt=0.0), "dt = 0.0: expected a positive time step"),
        (dict(dt=0.1, steps=0), "steps = 0: expected a positive whole number"),
        (dict(dt=0.1, adjusted=3), "adjusted is a int: expected True, False"),
    ],
)
def test_mistakes_are_said_at_once(arguments, words):
    with pytest.raises(ValueError, match=words):
        tj.bayes.as_blackjax(quartic, **arguments)
    with pytest.raises(ValueError, match="logdensity_fn"):
        tj.bayes.as_blackjax(tj.Gaussian(jnp.zeros(1)), dt=0.1)  # pyright: ignore
