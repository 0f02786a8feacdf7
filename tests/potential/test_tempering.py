"""A schedule for each likelihood term: REFERENCE section 6, R13, and what it saves."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import minimize

import thermojax as tj

# Prior N(0, 1), unit noise; -ln p(y) = 5.2504730890 after four observations.
TERMS = tuple(tj.Gaussian([y]) for y in (0.5, -0.2, 1.3, 0.9))
PRIOR = tj.Gaussian([0.0])


def trained(potential, protocol):
    return tj.optimize(
        tj.Overdamped(potential, protocol, tj.Bath()),
        tj.Dissipation(),
        optax.lbfgs(),
        picture=tj.ExactMoments(),
        time_steps=50,
        steps=30,
    )


@pytest.mark.slow
def test_the_ends_and_the_evidence():
    temper = tj.Tempering(PRIOR, TERMS)
    x = jnp.array([0.3])
    alone, whole = temper.energy(x, jnp.zeros(4)), temper.energy(x, jnp.ones(4))
    np.testing.assert_allclose(alone, PRIOR.energy(x, None))
    np.testing.assert_allclose(whole, alone + sum(t.energy(x, None) for t in TERMS))
    assert temper.sampled_by(jnp.zeros(4), 1.0) is temper.prior
    assert temper.sampled_by(jnp.ones(4), 1.0) is None
    order = jnp.array([[1.0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]])  # one after the other
    system = tj.Overdamped(
        temper, tj.PiecewiseLinear(order, 2.0, jnp.zeros(4), jnp.ones(4)), tj.Bath()
    )
    law = tj.moments(system, 2)
    before = law.ledger.free_energy[0] - law.ledger.work[0]
    np.testing.assert_allclose(
        law.ledger.equilibrium_free_energy[-1] - before, 5.2504730890, rtol=1e-9
    )
    # Jarzynski's average from paths, whatever the order: the start is drawn exactly.
    out = tj.simulate(system, jax.random.key(1), time_steps=80, batch=4000)
    found = out.mean(jnp.exp(out.log_weight))
    assert abs(found.value - np.exp(-5.2504730890)) < 4.5 * found.error


def least_dissipation(mean, variance, duration):
    """min over p of W2(p0, p)^2 / duration + KL(p | posterior), both Gaussian: REFERENCE section 1.

    No protocol dissipates less, and with stiffness and center both free one reaches it.
    """

    def dissipated(law):
        m, s = law
        kl = 0.5 * ((s**2 + (m - mean) ** 2) / variance - 1 - np.log(s**2 / variance))
        return (m**2 + (1 - s) ** 2) / duration + kl

    return minimize(dissipated, [mean / 2, 0.7]).fun


@pytest.mark.slow
def test_schedules_of_their_own_reach_the_least_dissipation_where_one_for_all_does_not():
    """Terms that differ in their data steer stiffness and center; one schedule steers a line."""
    bound = least_dissipation(mean=0.5, variance=0.2, duration=0.5)
    ramp = jnp.linspace(0.2, 0.8, 3)[:, None] * jnp.ones(4)
    own = trained(
        tj.Tempering(PRIOR, TERMS),
        tj.PiecewiseLinear(ramp, 0.5, jnp.zeros(4), jnp.ones(4), lower=0.0, upper=1.0),
    )
    values = np.asarray(own.system.protocol.values)  # pyright: ignore[reportAttributeAccessIssue]
    assert np.max(np.ptp(values, axis=1)) > 0.1 and np.all((values >= 0) & (values <= 1))
    shared = trained(
        tj.Interpolation(PRIOR, PRIOR + TERMS[0] + TERMS[1] + TERMS[2] + TERMS[3]),
        tj.PiecewiseLinear.between(0.0, 1.0, 0.5, knots=3, lower=0.0, upper=1.0),
    )
    assert bound < own.value.value < 1.001 * bound
    assert 1.002 * bound < shared.value.value < 1.003 * bound


def test_mistakes():
    with pytest.raises(ValueError, match="likelihoods is empty"):
        tj.Tempering(PRIOR, ())
    with pytest.raises(ValueError, match=r"shape \(\): expected \(4,\)"):
        tj.Tempering(PRIOR, TERMS).energy(jnp.zeros(1), jnp.array(0.5))
