"""The probability of a noising path, beside that of its reverse by a machine."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import whole
from .._keys import check_key
from .computer import Computer
from .noising import NoisedPaths, Noising, check_fits, noised


def step_log_ratios(
    computer: Computer, paths: NoisedPaths, first: Array, second: Array, strength: Array
) -> Float[Array, "..."]:
    r"""ln P(x -> x') - ln P_machine(x' -> x) of steps of the noising, summed over units.

    With g = grad V(x') of the machine and F the force of the noising at x, the difference of the
    squares (-(x' - x) + mu g dt)^2 and (x' - x - mu F dt)^2, over 4 mu kT dt, is

        (-2 (x' - x) + mu dt (g + F)) . (g - F) / 4 kT,

    in which the noise, far larger than either, has canceled.
    """
    g = computer.on_site.slope(second) + computer.couplings.slope(second)
    force = strength * paths.fields - computer.on_site.slope(first)
    step = computer.mobility * paths.dt
    both = -2 * (second - first) + step * (g + force)
    return jnp.sum(both * (g - force), axis=-1) / (4 * computer.temperature)


def end_log_ratios(computer: Computer, paths: NoisedPaths) -> Float[Array, " batch"]:
    """ln p(x_0) of the noising's start less ln p(x_T) of the machine's; no couplings enter."""
    unit, kt = computer.on_site, computer.temperature
    first, last = paths.position[0], paths.position[-1]
    force = paths.strength[0] * paths.fields
    begin = -(unit.energy(first) - force * first) / kt - unit.log_partition(force, kt)
    end = -unit.energy(last) / kt - unit.log_partition(jnp.zeros_like(kt), kt)
    return jnp.sum(begin - end, axis=-1)


def log_ratios(computer: Computer, paths: NoisedPaths) -> Float[Array, " batch"]:
    """ln [P(path) / P_machine(reversed path)] of each noising path, starts included."""
    x, strength = paths.position, paths.strength[:-1, None, None]
    steps = step_log_ratios(computer, paths, x[:-1], x[1:], strength)
    return jnp.sum(steps, axis=0) + jax.lax.stop_gradient(end_log_ratios(computer, paths))


def path_log_ratios(
    computer: Computer, noising: Noising, key: PRNGKeyArray, *, batch: int, dt: float
) -> Float[Array, " batch"]:
    r"""ln [P(path) / P_machine(reversed path)] of fresh noising paths: entropy production, in k_B.

    Both are normalized laws of whole paths with their starts: that of the noising, which begins in
    equilibrium with the forces, and that of the machine, which begins in the equilibrium of its
    uncoupled units. So <exp(-ratio)> = 1, and the mean is a divergence of Kullback and Leibler.

    **Arguments:** as `tj.generate.loss`. **Returns:** `(batch,)`.
    **Raises:** ValueError for parts that do not fit.
    """
    check_key(key)
    batch, steps = whole("batch", batch), check_fits(computer, noising, dt)
    return ratios_of(computer, noised(computer, noising, key, batch, steps))


def loss(
    computer: Computer, noising: Noising, key: PRNGKeyArray, *, batch: int, dt: float
) -> Float[Array, ""]:
    r"""The mean of `path_log_ratios`: minus ln of the probability of the reverse, up to a constant.

    Pure, and differentiable in `computer.couplings`, for a training loop of one's own:

        params, rest = computer.split()
        cost = lambda p: tj.generate.loss(eqx.combine(p, rest), noising, key, batch=8, dt=5e-3)
        value, slope = jax.value_and_grad(cost)(params)

    Its gradient is the local rule: with r = (-dx + mu grad V(x') dt) / 2 kT of each step, it is
    r_i x'_j + r_j x'_i for a coupling and r_a for a bias. The loss is quadratic in them.

    **Arguments:** `noising`, a `tj.generate.Noising`; `batch`, paths; `dt`, their time step.
    **Returns:** a scalar. **Raises:** ValueError for parts that do not fit.
    **Cost:** two products of all positions with the couplings, and as many again for the gradient.
    """
    return jnp.mean(path_log_ratios(computer, noising, key, batch=batch, dt=dt))


@eqx.filter_jit
def ratios_of(computer: Computer, paths: NoisedPaths) -> Float[Array, " batch"]:
    """The compiled `log_ratios`; paths do not depend on the couplings."""
    return log_ratios(computer, paths)
