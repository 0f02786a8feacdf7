"""Log evidence by other packages: tempered and persistent SMC, nested sampling, NUTS and a bridge.

Each function takes a `Problem` and returns runs: a seed in, an `Outcome` out, the programs compiled
at the first call. Each is tuned as its documentation says, or better; what was chosen stands there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import thermojax as tj


@dataclass(frozen=True)
class Problem:
    """ln p(x) and ln p(y|x) of one position `(dim,)`."""

    prior: tj.Gaussian
    likelihood: tj.AbstractPotential

    @property
    def dim(self) -> int:
        return self.prior.mean.size

    def log_prior(self, x):
        return -self.prior.energy(x, None)

    def log_likelihood(self, x):
        return -self.likelihood.energy(x, None)

    def draw(self, key, n: int):
        """`(n, dim)` positions of the prior."""
        return self.prior.sample(key, None, 1.0, n, jnp.zeros(self.dim, jnp.float32))


class Outcome(NamedTuple):
    """ln p(y), what is said of its error (nan: nothing), and what it took.

    One evaluation of the likelihood alone is half a gradient: one product with the features, not
    two.
    """

    log_evidence: float
    stated_error: float
    gradients: float


Run = Callable[[int], Outcome]


@dataclass(frozen=True)
class Move:
    """A Metropolis kernel of BlackJAX within SMC, its step adapted from temperature to temperature.

    `gradients`: of one particle at one temperature. `target`: the share of proposals to accept.
    """

    repeats: int
    gradients: int
    target: float
    first_step: float
    kernel: Callable = field(repr=False)
    init: Callable = field(repr=False)
    dense: bool = True  # it takes an inverse mass matrix: the covariance of the particles

    def parameters(self, step, particles):
        """As BlackJAX's SMC takes them: a leading axis of 1 is shared by all particles."""
        if not self.dense:
            return {"step_size": step[None]}
        covariance = jnp.cov(particles, rowvar=False)
        return {"step_size": step[None], "inverse_mass_matrix": covariance[None]}


def hmc(leaps: int = 2, repeats: int = 8) -> Move:
    """Hamiltonian Monte Carlo with the covariance of the particles as its inverse masses.

    The best of eight settings for 16 gradients; most others were 0.8 to 1.1 too low (evidence.md).
    """
    import blackjax

    kernel = blackjax.hmc.build_kernel()
    move = lambda key, state, density, step_size, inverse_mass_matrix: kernel(
        key, state, density, step_size, inverse_mass_matrix, leaps
    )
    return Move(repeats, 1 + repeats * leaps, 0.8, 0.2, move, blackjax.hmc.init)


def mala(repeats: int = 16) -> Move:
    """The Metropolis-adjusted Langevin algorithm; it has no masses."""
    import blackjax

    return Move(
        repeats, 1 + repeats, 0.57, 1e-3, blackjax.mala.build_kernel(), blackjax.mala.init, False
    )


def adapted(step, info, move: Move):
    """The step of the next temperature by the acceptance at this one."""
    rate = jnp.mean(info.update_info.acceptance_rate)
    return step * jnp.exp(2 * (rate - move.target))


def tempered(problem: Problem, particles: int, move: Move) -> Run:
    """Adaptive tempered SMC: half of the particles effective at each temperature."""
    import blackjax
    from blackjax.smc import adaptive_tempered, resampling

    kernel = adaptive_tempered.build_kernel(
        problem.log_prior,
        problem.log_likelihood,
        move.kernel,
        move.init,
        resampling.systematic,
        target_ess=0.5,
    )

    @jax.jit
    def run(key):
        first, key = jax.random.split(key)
        x = problem.draw(first, particles)

        def step(carry):
            state, size, total, count, key = carry
            here, key = jax.random.split(key)
            parameters = move.parameters(size, state.particles)
            state, info = kernel(here, state, move.repeats, parameters)
            total = total + info.log_likelihood_increment
            return state, adapted(size, info, move), total, count + 1, key

        start = (blackjax.smc.tempered.init(x), jnp.float32(move.first_step), 0.0, 0, key)
        *_, total, count, _ = jax.lax.while_loop(
            lambda carry: carry[0].tempering_param < 1, step, start
        )
        return total, count

    def outcome(seed: int) -> Outcome:
        value, count = jax.device_get(run(jax.random.key(seed)))
        return Outcome(float(value), math.nan, float(count) * particles * (move.gradients + 0.5))

    return outcome


def persistent(problem: Problem, particles: int, move: Move, most: int = 64) -> Run:
    """Adaptive persistent sampling: all particles of all temperatures count, three times as many
    effective as there are at one, which is the default."""
    from blackjax.smc import adaptive_persistent_sampling as aps
    from blackjax.smc import resampling

    kernel = aps.build_kernel(
        problem.log_prior,
        problem.log_likelihood,
        move.kernel,
        move.init,
        resampling.systematic,
        target_ess=3.0,
    )

    @jax.jit
    def run(key):
        first, key = jax.random.split(key)
        state = aps.init(problem.draw(first, particles), problem.log_likelihood, most)

        def step(carry):
            state, size, key = carry
            here, key = jax.random.split(key)
            parameters = move.parameters(size, state.particles)
            state, info = kernel(here, state, move.repeats, parameters)
            return state, adapted(size, info, move), key

        going = lambda carry: (carry[0].tempering_param < 1) & (carry[0].iteration < most)
        state, *_ = jax.lax.while_loop(going, step, (state, jnp.float32(move.first_step), key))
        return state.log_Z, state.iteration, state.tempering_param

    def outcome(seed: int) -> Outcome:
        value, count, reached = jax.device_get(run(jax.random.key(seed)))
        assert reached == 1, f"lambda = {reached} after {count} temperatures"
        return Outcome(float(value), math.nan, float(count) * particles * (move.gradients + 0.5))

    return outcome


def nested(problem: Problem, live: int) -> Run:
    """Nested slice sampling: 2 dim slices for a new point, a tenth of the points at a time, until
    the live points hold e^-3 of the evidence; its error is the spread over simulated volumes."""
    import blackjax
    from blackjax.ns.utils import finalise, log_weights

    sampler = blackjax.nss(
        problem.log_prior,
        problem.log_likelihood,
        num_inner_steps=2 * problem.dim,
        num_delete=max(1, live // 10),
    )
    init, step = jax.jit(sampler.init), jax.jit(sampler.step)

    def outcome(seed: int) -> Outcome:
        key = jax.random.key(seed)
        of_start, of_volumes, key = jax.random.split(key, 3)
        state = init(problem.draw(of_start, live), of_start)
        dead, evaluations = [], float(live)
        while not state.integrator.logZ_live - state.integrator.logZ < -3:
            here, key = jax.random.split(key)
            state, info = step(here, state)
            slices = info.update_info
            evaluations += float(jnp.sum(slices.num_expansions + slices.num_shrink + 2))
            dead.append(info)
        weights = log_weights(of_volumes, finalise(state, dead, update_info=False), 100)
        values = np.asarray(jax.nn.logsumexp(weights, axis=0), float)
        return Outcome(float(values.mean()), float(values.std()), evaluations / 2)

    return outcome


def nuts(problem: Problem, draws: int, chains: int = 4, warmup: int = 500) -> Run:
    """NumPyro's NUTS with a full mass matrix, and a bridge from its draws to a Gaussian.

    The kernel in a scan of our own, so that one compiled program serves all repeats.
    """
    from numpyro.infer import NUTS

    energy = lambda x: -problem.log_prior(x) - problem.log_likelihood(x)
    kernel = NUTS(potential_fn=energy, dense_mass=True)
    energies = jax.jit(jax.vmap(energy))
    each = draws // chains

    @jax.jit
    @jax.vmap
    def chain(key, x):
        def step(state, _):
            state = kernel.sample(state, (), {})
            return state, (state.z, state.num_steps)

        start = kernel.init(key, warmup, x, (), {})
        _, (positions, leaps) = jax.lax.scan(step, start, None, length=warmup + each)
        return positions[warmup:], jnp.sum(leaps)

    def outcome(seed: int) -> Outcome:
        of_start, of_chains, of_bridge = jax.random.split(jax.random.key(seed), 3)
        keys = jax.random.split(of_chains, chains)
        positions, leaps = chain(keys, problem.draw(of_start, chains))
        value, error, evaluations = bridge(
            lambda x: -np.asarray(energies(jnp.asarray(x, jnp.float32)), float),
            np.asarray(positions, float),
            np.random.default_rng(np.asarray(jax.random.key_data(of_bridge))),
        )
        return Outcome(value, error, float(jnp.sum(leaps)) + evaluations / 2)

    return outcome


def bridge(log_density: Callable, chains: np.ndarray, random: np.random.Generator):
    r"""ln int exp(log_density) by the iterative bridge estimator, and its error.

    The proposal g is the Gaussian with the mean and the covariance of the first half of each chain
    (warp-I); the second half, n_1 draws worth n_eff, and n_2 = n_1 draws of g give the root of

        r = mean_g[l / (s_1 l + s_2 r)] / mean_p[1 / (s_1 l + s_2 r)],    l = exp(log_density) / g,

    s_1 = n_eff / (n_eff + n_2). The error is the approximate relative one,
    sqrt(var_g(f_2) / (n_2 <f_2>^2) + tau var_p(f_1) / (n_1 <f_1>^2)).

    **Arguments:** `log_density` of `(n, dim)`; `chains`, `(chains, draws, dim)`.

    **Returns:** the logarithm, its error, and the evaluations of log_density.

    **Source:** X.-L. Meng, W. H. Wong, Statistica Sinica 6, 831 (1996), eq. (4.1); Q. F. Gronau et
    al., J. Math. Psychol. 81, 80 (2017), eqs. (15) and (A.1), after S. Fruehwirth-Schnatter (2004).
    """
    half = chains.shape[1] // 2
    fitted = chains[:, :half].reshape(-1, chains.shape[2])
    kept = chains[:, half:]
    mean, root = fitted.mean(0), np.linalg.cholesky(np.cov(fitted, rowvar=False))
    log_volume = np.log(np.diag(root)).sum() + 0.5 * len(mean) * math.log(2 * math.pi)

    def log_ratio(x):
        white = np.linalg.solve(root, (x - mean).T)
        return log_density(x) + 0.5 * (white**2).sum(0) + log_volume

    draws = kept.reshape(-1, len(mean))
    at_draws = log_ratio(draws)
    proposed = mean + random.normal(size=draws.shape) @ root.T
    at_proposed = log_ratio(proposed)
    shift = float(np.median(at_draws))
    l1, l2 = np.exp(at_draws - shift), np.exp(at_proposed - shift)
    n1, n2 = len(l1), len(l2)
    tau = correlation_time(np.log(l1).reshape(kept.shape[:2]))
    s1 = (n1 / tau) / (n1 / tau + n2)
    s2, ratio = 1 - s1, 1.0
    for _ in range(1000):
        before = ratio
        ratio = np.mean(l2 / (s1 * l2 + s2 * ratio)) / np.mean(1 / (s1 * l1 + s2 * ratio))
        if abs(ratio - before) < 1e-10 * ratio:
            break
    f2, f1 = l2 / (s1 * l2 + s2 * ratio), 1 / (s1 * l1 + s2 * ratio)
    tau = correlation_time(f1.reshape(kept.shape[:2]))
    error = np.var(f2) / np.mean(f2) ** 2 / n2 + tau * np.var(f1) / np.mean(f1) ** 2 / n1
    return math.log(ratio) + shift, math.sqrt(error), n1 + n2


def correlation_time(values: np.ndarray) -> float:
    """Of `(chains, draws)` numbers, in draws; at least 1."""
    found = tj.diagnostics.autocorrelation_time(jnp.asarray(values.T[..., None]))
    return max(1.0, float(np.ravel(np.asarray(found.value))[0]))
