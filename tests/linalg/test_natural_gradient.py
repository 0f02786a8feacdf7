"""Natural gradients by a device against dense algebra."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import thermojax as tj

KEY = jax.random.key(26)
DYNAMICS = ["overdamped", "underdamped"]
DAMPING, DIM = 0.1, 5
ROOT = jax.random.normal(KEY, (3, DIM))
F = ROOT.T @ ROOT  # singular: of rank 3
A = F + DAMPING * jnp.eye(DIM)
G = jnp.arange(1.0, DIM + 1)
EXACT = np.linalg.solve(A, G)
LARGEST = float(jnp.linalg.eigvalsh(F)[-1])


def multiply(v):
    return F @ v


def device(steps, temperature=1e-12, **settings) -> tuple[Any, Any]:
    """A transformation, and its jitted update by the curvature F."""
    optimizer = tj.linalg.natural_gradient(
        KEY, damping=DAMPING, steps=steps, temperature=temperature, **settings
    )
    return optimizer, jax.jit(lambda g, state: optimizer.update(g, state, curvature=multiply))


def error(x):
    return float(np.linalg.norm(np.asarray(x) - EXACT) / np.linalg.norm(EXACT))


@pytest.mark.slow
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_an_update_goes_to_the_solution_and_a_warm_start_is_nearer(dynamics):
    optimizer, update = device(40, dynamics=dynamics)
    state, errors = optimizer.init(G), []
    for _ in range(60):
        x, state = update(G, state)
        errors.append(error(x))
    cold = error(update(G, optimizer.init(G))[0])
    assert cold == errors[0] and errors[1] < 0.9 * cold
    assert errors[-1] < 1e-4 < 0.1 < cold  # of noise, sqrt(kT / damping) is left
    assert abs(float(state.largest) / LARGEST - 1) < 1e-6
    assert state.products == 60 * 42 + 15 and state.discarded == 0


def test_the_mean_of_an_update_is_known_at_every_step():
    """Its first step is half of one, as everywhere: a force that sets in acts a time h / 2 late."""
    optimizer, update = device(7, temperature=1e-20, dynamics="overdamped")
    x, state = update(G, optimizer.init(G))
    left = np.eye(DIM) - np.asarray(A) / float(state.largest + DAMPING)
    rest = np.linalg.matrix_power(left, 6) @ (0.5 * (np.eye(DIM) + left)) @ (0 - EXACT)
    np.testing.assert_allclose(x, EXACT + rest, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_mean_and_covariance_at_a_temperature(dynamics):
    count, kt, steps = 2000, 0.3, 1500 if dynamics == "overdamped" else 300
    optimizer, update = device(steps, kt, dynamics=dynamics, trajectories=count)
    mean, state = update(G, optimizer.init(G))
    inverse = np.linalg.inv(A)
    np.testing.assert_array_less(np.abs(mean - EXACT), 4.5 * np.sqrt(kt * np.diag(inverse) / count))
    spread = np.cov(state.chain.position, rowvar=False) / kt
    scale = np.sqrt((np.outer(np.diag(inverse), np.diag(inverse)) + inverse**2) / count)
    np.testing.assert_array_less(np.abs(spread - inverse), 4.5 * scale)
    assert state.products == (steps + 1) * count + 16


@pytest.mark.slow
def test_training_in_a_scan():
    """A pytree of params in float32; the first law holds over all updates."""
    x = jnp.linspace(-1, 1, 32, dtype=jnp.float32)[:, None]
    params = {
        "in": jax.random.normal(KEY, (1, 8), jnp.float32),
        "out": (jnp.zeros((8, 1), jnp.float32), jnp.zeros((), jnp.float32)),
    }
    outputs = lambda p: jnp.tanh(3 * x @ p["in"]) @ p["out"][0] + p["out"][1]
    loss = lambda z: 0.5 * jnp.mean((z - jnp.sin(3 * x)) ** 2)
    optimizer = optax.chain(
        tj.linalg.natural_gradient(KEY, damping=0.02, steps=10, temperature=1e-9),
        optax.scale_by_learning_rate(0.3),
    )

    def step(carry, _):
        p, state = carry
        value, g = jax.value_and_grad(lambda p: loss(outputs(p)))(p)
        curvature = tj.linalg.gauss_newton(outputs, loss, p)
        updates, state = optimizer.update(g, state, p, curvature=curvature)
        return (optax.apply_updates(p, updates), state), value

    begin = params, optimizer.init(params)
    (p, state), values = jax.jit(lambda c: jax.lax.scan(step, c, length=100))(begin)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), p) == jax.tree.map(
        lambda x: (x.shape, x.dtype), params
    )
    assert values[-1] < 0.01 * values[0] and state[0].discarded == 0
    ledger = state[0].chain.ledger
    np.testing.assert_allclose(
        ledger.energy - ledger.energy_start, ledger.total_work - ledger.heat, atol=1e-5
    )


def test_damping_may_change_and_trainings_go_side_by_side():
    """By optax.inject_hyperparams, inside of a vmap over gradients."""
    inject = optax.inject_hyperparams(
        tj.linalg.natural_gradient, static_args=("key", "steps", "dynamics", "trajectories")
    )
    optimizer = inject(key=KEY, damping=DAMPING, steps=200, temperature=1e-12)

    def solved(g, damping):
        state: Any = optimizer.init(g)
        state.hyperparams["damping"] = damping
        return optimizer.update(g, state, curvature=multiply)[0]

    found = jax.jit(jax.vmap(solved))(jnp.stack([G, -2 * G]), jnp.array([DAMPING, 0.5]))
    other = np.linalg.solve(F + 0.5 * jnp.eye(DIM), -2 * G)
    np.testing.assert_allclose(found, np.stack([EXACT, other]), atol=1e-4)


def test_gauss_newton_is_the_fisher_matrix():
    """Of a softmax model, over its classes: sum_c p_c (d ln p_c)(d ln p_c)^T."""
    x = jax.random.normal(KEY, (6, 3))
    params = {"w": jax.random.normal(KEY, (3, 4)), "b": jnp.zeros(4)}
    outputs = lambda p: jnp.tanh(x @ p["w"]) + p["b"]
    labels = jnp.arange(6) % 4
    loss = lambda z: jnp.mean(optax.softmax_cross_entropy_with_integer_labels(z, labels))
    flat, unravel = ravel_pytree(params)
    product = tj.linalg.gauss_newton(outputs, loss, params)
    found = jax.vmap(lambda v: ravel_pytree(product(unravel(v)))[0])(jnp.eye(flat.size))
    log_p = lambda v: jax.nn.log_softmax(outputs(unravel(v)))
    scores = jax.jacobian(log_p)(flat)
    fisher = jnp.einsum("nc,nci,ncj->ij", jnp.exp(log_p(flat)), scores, scores) / 6
    np.testing.assert_allclose(found, fisher, atol=1e-12)


def test_the_temperature_of_the_parameters():
    """With loss theta . A theta / 2 and curvature A - damping, theta is kept at kT r / (2 - r)."""
    rate, kt, count = 0.5, 0.2, 4000
    optimizer = tj.linalg.natural_gradient(
        KEY, damping=DAMPING, steps=60, temperature=kt, dynamics="overdamped"
    )
    matrix = jnp.diag(jnp.array([0.2, 0.5, 1.0, 1.1]))
    hessian = matrix + DAMPING * jnp.eye(4)

    def step(carry, _):
        theta, state = carry
        x, state = optimizer.update(hessian @ theta, state, curvature=lambda v: matrix @ v)
        theta = theta - rate * jnp.asarray(x)
        return (theta, state), theta @ hessian @ theta / 4

    begin = jnp.zeros(4), optimizer.init(jnp.zeros(4))
    _, temperatures = jax.jit(lambda c: jax.lax.scan(step, c, length=count))(begin)
    kept = float(jnp.mean(temperatures[20:]))
    # theta . A theta / 4 has the variance T^2 / 2, and its memory is 0.5^2 per update.
    error = kt * rate / (2 - rate) * np.sqrt(0.5 / count * (1 + 0.25) / (1 - 0.25))
    assert abs(kept - kt * rate / (2 - rate)) < 4.5 * error


@pytest.mark.slow
@pytest.mark.parametrize(("share", "stable"), [(0.8, True), (1.25, False)])
def test_how_large_a_learning_rate_an_inert_device_allows(share, stable):
    """Below half of friction times the time of an update, for the mode that this one excites most.

    By the criterion of Routh it is friction times time where updates are many to a period; a mode
    that has half a period from one to the next feels twice as much of them.
    """
    damping, steps = 1e-4, 3
    optimizer = tj.linalg.natural_gradient(KEY, damping=damping, steps=steps, temperature=1e-20)
    rate = share * steps * np.sqrt(damping)

    def step(carry, _):
        theta, state = carry
        x, state = optimizer.update(theta, state, curvature=lambda v: v)
        return (theta - rate * jnp.asarray(x), state), jnp.linalg.norm(theta)

    begin = jnp.ones(2), optimizer.init(jnp.ones(2))
    _, sizes = jax.jit(lambda c: jax.lax.scan(step, c, length=2000))(begin)
    assert (float(jnp.max(sizes[-100:])) < 1) == stable


def test_what_is_not_finite_and_steps_that_are_too_long():
    optimizer, _ = device(40)
    update = jax.jit(lambda g, s, scale: optimizer.update(g, s, curvature=lambda v: scale * F @ v))
    _, state = update(G, optimizer.init(G), 1.0)
    x, state = update(G.at[0].set(jnp.nan), state, 1.0)
    assert np.all(np.isnan(x)) and np.all(state.chain.position == 0) and state.discarded == 0
    x, state = update(G, state, 1.0)
    assert np.all(np.isfinite(x)) and np.any(x != 0)
    # Nothing of the direction that is known is in what has become stiff: the steps are too long.
    state = state._replace(direction=jnp.linalg.svd(ROOT)[2][-1])
    x, state = update(G, state, 1e4)
    assert np.all(x == 0) and state.discarded == 1
    ledger = state.chain.ledger
    np.testing.assert_allclose(
        ledger.energy - ledger.energy_start, ledger.total_work - ledger.heat, atol=1e-9
    )
    for _ in range(12):
        x, state = update(G, state, 1e4)
    assert state.discarded <= 3 and np.any(x != 0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"damping": 0.0}, "damping = 0.0: expected a positive"),
        ({"temperature": -1.0}, "temperature = -1.0: expected a positive"),
        ({"steps": 2.5}, "steps = 2.5: expected a positive whole number"),
        ({"dynamics": "fast"}, "dynamics = 'fast'"),
        ({"key": 1}, "typed key"),
    ],
)
def test_refusals(settings, words):
    given = {"key": KEY, "damping": 0.1, "steps": 3, "temperature": 1.0} | settings
    with pytest.raises(ValueError, match=words):
        tj.linalg.natural_gradient(given.pop("key"), **given)


def test_refusals_of_an_update():
    optimizer, _ = device(3)
    state = optimizer.init(G)
    for curvature, words in (
        (None, "curvature is missing"),
        (F, "expected a function v -> F v"),
        (lambda v: v[:2], "expected the shapes of the gradient"),
    ):
        with pytest.raises(ValueError, match=words):
            optimizer.update(G, state, curvature=curvature)
    with pytest.raises(ValueError, match="2 numbers: expected 5"):
        optimizer.update(jnp.ones(2), state, curvature=lambda v: v)
    with pytest.raises(
        ValueError, match=r"loss\(outputs\) is an array of shape .*expected a scalar"
    ):
        tj.linalg.gauss_newton(lambda p: p, lambda z: z, G)
