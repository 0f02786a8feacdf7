"""`tj.bayes.minibatch`: samples of a posterior of very many rows, a few of them at a time."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .._arguments import flag, instance, real, require_untraced, whole
from .._keys import Purpose, check_key, purpose_key
from ..estimate import Estimate, weighted_mean
from ..potential import AbstractLikelihood, AbstractPotential
from .doubts import doubts
from .laplace import around_the_mode
from .model import Model
from .pilot import stiffest
from .row_force import GROUPS, RowForce, row_count

PATHS = 64
FRICTION = 1.0  # of oscillators of mass and stiffness 1
TURN = 0.25  # the angle that the stiffest mode turns in one step
SHARE = 0.25  # of the bath's noise that the minibatches may take the place of
SETTLING = 12.0  # the time before the first sample, of coordinates that forget in about 2
BETWEEN = 3.0  # the time from one sample to the next
MOST = 100_000  # steps
PRECISION = 0.03  # of the temperature, off which by more a warning says so
DOUBTFUL = 4.0  # standard errors


class MinibatchPosterior(eqx.Module):
    r"""Samples of a posterior by forces from minibatches, what they are off, and their price.

    - `position`, a pytree of `(n, ...)`, all of one weight: n / `paths` samples of every path.
    - `temperature`: (x - mode) . grad U / dim along the paths, in units of kT: its mean over the
      posterior is 1, and the variance of near Gaussian samples is that much too large.
    - `noise_temperature`: the temperature that the minibatches' noise would make, in units of kT,
      did the bath not inject as much less: 1 + minibatch_heat / (dim friction).
    - `minibatch_heat`: the power of that noise, h tr C / 2, of the variance C of the force as
      measured along the paths; `heat`: what the bath has taken up, which at rest is as much. Both
      of one path and per unit of time, in which every mode has mass, stiffness and friction of
      about 1. Full batches give off no heat at rest.
    - `dt`, the step; `rows` of a minibatch; `row_gradients` that the steps took, of one row and
      path each.
    - `warnings`: what is to be doubted, in sentences.
    """

    model: Model
    position: PyTree[Array]
    temperature: Estimate
    noise_temperature: Estimate
    minibatch_heat: Estimate
    heat: Estimate
    paths: int = eqx.field(static=True)
    rows: int = eqx.field(static=True)
    dt: float = eqx.field(static=True)
    row_gradients: int = eqx.field(static=True)
    warnings: tuple[str, ...] = eqx.field(static=True)

    @property
    def samples(self) -> dict[str, Array]:
        """The positions by name, each `(n, ...)`: as `tj.bayes.Model.shown` says."""
        return self.model.shown(self.position)

    def mean(self, values) -> Estimate:
        """The posterior mean of `(n, ...)` values, or of a function of one position.

        Its error is that of the means of the paths, which are independent.
        """
        if callable(values):
            values = jax.vmap(values)(self.position)
        values = jnp.asarray(values)
        return over_paths(values.reshape(self.paths, -1, *values.shape[1:]).mean(axis=1))


def minibatch(
    prior: AbstractPotential | Model | None,
    likelihood: Any = None,
    key: Any = None,
    /,
    *,
    rows: int,
    samples: int = 1024,
    dt: float | None = None,
    center: bool = True,
    compensated: bool = True,
) -> MinibatchPosterior:
    r"""Samples of a posterior, the force of every step from a few rows of the data.

    Langevin dynamics in coordinates in which the posterior is about standard normal, after the mode
    and the second derivatives there. Its force is unbiased, and noisy: beside the noise of the bath
    each step gives the momenta the variance h^2 C, of a force of variance C. At a friction gamma
    this makes the temperature

        kT_eff = kT + h C / (2 gamma),

    and a power of h tr C / 2 that the bath takes up as heat. C is measured in every step, and the
    bath injects as much less noise, coordinate by coordinate. What is left is the skewness of the
    noise, its correlations between coordinates, and the error of the step, of second order; the
    `temperature` of the result measures all three together.

    There is no evidence: works of noisy energies average to a wrong exp(-W), and no correction is
    made here. `tj.bayes.infer` has one, of full batches.

    **Arguments:**

    - `minibatch(prior, likelihood, key, rows=256)` or `minibatch(model, key, rows=256)`, the
      likelihood a `tj.AbstractLikelihood`. A prior of None is flat.
    - `rows` of every step and path, drawn with replacement: a multiple of 8, fewer than there are.
    - `samples`: how many, of 64 paths.
    - `dt`: the step, in units of oscillators of mass and stiffness 1; as long as the noise and the
      stiffest mode allow when left out.
    - `center`: take rows by their difference to the slope at the mode, whose sum over all rows is
      known. Twice the cost per row, and near the mode the noise C goes from about N / m to
      dim / m (N rows, m in a minibatch). Without it minibatches save nothing: the step has to be
      as many times shorter as they are smaller.
    - `compensated`: False injects the bath's noise in full, and the samples are too hot.

    **Returns:** a `tj.bayes.MinibatchPosterior`, of the one mode that a descent from the template
    finds: of several, `tj.bayes.modes` tells.

    **Raises:** ValueError for a model that has no right answer, a likelihood without rows, and
    minibatches whose noise is larger than the bath's.

    **Cost:** some hundred passes of all rows for the mode and the stiffness, and a matrix of second
    derivatives (up to 256 dimensions), then two gradients of `rows` per step and path; memory for
    the rows of 64 paths.

    **Source:** M. Welling, Y. W. Teh, ICML 2011; T. Chen, E. B. Fox, C. Guestrin, ICML 2014
    (eq. 13: the bath's noise reduced); B. Leimkuhler, X. Shang, SIAM J. Sci. Comput. 38, A712
    (2016); the center: J. Baker, P. Fearnhead, E. B. Fox, C. Nemeth, Stat. Comput. 29, 599 (2019).
    """
    if isinstance(prior, Model):
        if key is not None:
            raise ValueError(
                "minibatch(model, key) takes two arguments: the model holds both energies"
            )
        model, key = prior, likelihood
    else:
        model = Model(prior, likelihood)
    check_key(key)
    instance(
        "likelihood",
        model.likelihood,
        AbstractLikelihood,
        "a tj.AbstractLikelihood, whose rows are known; tj.bayes.infer takes any potential",
    )
    count = row_count(model)
    rows = whole("rows", rows, GROUPS)
    if rows % GROUPS or rows >= count:
        raise ValueError(
            f"rows = {rows}: expected a multiple of {GROUPS} below {count}, all rows of the "
            "likelihood; for all of them use tj.bayes.infer"
        )
    draws = math.ceil(whole("samples", samples, 2) / PATHS)
    if dt is not None:
        real("dt", dt, "a time step between 0 and 1", lambda h: (h > 0) & (h <= 1))
    require_untraced("minibatch", dt=dt, center=center, compensated=compensated, model=model)
    flag("center", center)
    flag("compensated", compensated)
    found = [*doubts(model)]
    coordinates = around_the_mode(model, "there is no center for minibatches; use tj.bayes.infer")
    force = RowForce.of(model, coordinates, bool(center), rows)
    start_key, noise_key, run_key = jax.random.split(purpose_key(key, Purpose.CHAIN), 3)
    z = jax.random.normal(start_key, (PATHS, coordinates.center.size), coordinates.center.dtype)
    dt = step_of(force, noise_key, z, dt, bool(compensated))
    settling, between = math.ceil(SETTLING / dt), math.ceil(BETWEEN / dt)
    ran = run(force, run_key, z, jnp.asarray(dt, z.dtype), settling, between, draws, compensated)
    spent = PATHS * rows * (1 + center) * (settling + between * draws)
    found += run_doubts(ran, dt, bool(compensated))
    if found:
        warnings.warn("tj.bayes.minibatch: " + "; ".join(found), stacklevel=2)
    x = coordinates.outward(ran.z.reshape(-1, z.shape[1]))
    noise = over_paths(ran.noise)
    scale = z.shape[1] * FRICTION
    return MinibatchPosterior(
        model=model,
        position=jax.vmap(ravel_pytree(model.template)[1])(x),
        temperature=over_paths(ran.virial),
        noise_temperature=Estimate(1 + noise.value / scale, noise.error / scale, noise.count),
        minibatch_heat=noise,
        heat=over_paths(ran.heat),
        paths=PATHS,
        rows=rows,
        dt=dt,
        row_gradients=spent,
        warnings=tuple(found),
    )


def step_of(force: RowForce, key, z: Float[Array, "n dim"], dt, compensated: bool) -> float:
    """The step: as given, or as the stiffest mode and the noise allow.

    **Raises:** ValueError where the noise of minibatches leaves nothing for the bath to inject, or
    the step too short to be of use.
    """
    variance = float(jnp.max(jnp.mean(eqx.filter_jit(force)(key, z).variance, axis=0)))
    if not math.isfinite(variance):
        raise ValueError(
            "the force of the likelihood is not finite where the posterior should lie: standardize "
            "the data, or use tj.bayes.infer"
        )
    share = lambda h: h * variance / (2 * FRICTION)
    if dt is None:
        model, coordinates = force.model, force.coordinates
        whole_energy = model.likelihood
        if model.prior is not None:
            whole_energy = model.prior + model.likelihood
        x = coordinates.outward(z)
        turn = float(stiffest(whole_energy, model.template, x, coordinates, None))
        dt = TURN / max(turn, 1.0)
        dt = min(dt, SHARE / share(1.0)) if variance > 0 else dt
    dt = float(dt)
    if compensated and share(dt) > 2 * SHARE:
        raise ValueError(
            f"dt = {dt:.3g}: at this step the noise of minibatches is {share(dt):.2g} times that "
            "of the bath, and nothing is left to compensate it with; pass "
            f"dt={SHARE / share(1):.2g} or less, or more rows"
        )
    if (SETTLING + BETWEEN) / dt > MOST:
        raise ValueError(
            f"rows = {force.rows}: the noise of minibatches as small as these allows steps of "
            f"{dt:.2g} alone, and more than {MOST:,} of them; pass more rows"
        )
    return dt


class Ran(NamedTuple):
    """Samples `(paths, draws, dim)`, and of every path: means per time, and its temperature."""

    z: Float[Array, "paths draws dim"]
    heat: Float[Array, " paths"]
    noise: Float[Array, " paths"]
    virial: Float[Array, " paths"]


@eqx.filter_jit
def run(force: RowForce, key, z, dt, settling: int, between: int, draws: int, compensated) -> Ran:
    """BAOAB with forces from minibatches; what is booked begins when the paths have settled."""
    damping = jnp.exp(-FRICTION * dt)
    injected = -jnp.expm1(-2 * FRICTION * dt)
    zero = jnp.zeros(len(z), z.dtype)

    def one_step(state, step_key):
        z, p, drawn, sums = state
        noise_key, row_key = jax.random.split(step_key)
        p = p + dt / 2 * drawn.force
        z = z + dt / 2 * p
        # The force of a step is kicked with in two halves, around one grid point.
        left = injected - dt**2 * drawn.variance * compensated
        normals = jax.random.normal(noise_key, z.shape, z.dtype)
        after = damping * p + jnp.sqrt(jnp.maximum(left, 0)) * normals
        heat = 0.5 * jnp.sum(p**2 - after**2, axis=1)
        z = z + dt / 2 * after
        drawn = force(row_key, z)
        power = 0.5 * dt * jnp.sum(drawn.variance, axis=1)
        virial = -jnp.mean(z * drawn.force, axis=1)
        sums = tuple(a + b for a, b in zip(sums, (heat / dt, power, virial), strict=True))
        return (z, after + dt / 2 * drawn.force, drawn, sums), None

    def steps(state, key, count):
        return jax.lax.scan(one_step, state, jax.random.split(key, count))[0]

    first_key, momentum_key, settle_key, run_key = jax.random.split(key, 4)
    p = jax.random.normal(momentum_key, z.shape, z.dtype)
    state = (z, p, force(first_key, z), (zero, zero, zero))
    state = steps(state, settle_key, settling)
    state = (*state[:3], (zero, zero, zero))

    def one_draw(state, key):
        state = steps(state, key, between)
        return state, state[0]

    state, kept = jax.lax.scan(one_draw, state, jax.random.split(run_key, draws))
    heat, noise, virial = (total / (between * draws) for total in state[3])
    return Ran(jnp.swapaxes(kept, 0, 1), heat, noise, virial)


def over_paths(values: Float[Array, "paths ..."]) -> Estimate:
    """The mean over independent paths."""
    return weighted_mean(values, jnp.ones(len(values), values.dtype))


def run_doubts(ran: Ran, dt: float, compensated: bool) -> Iterator[str]:
    """Sentences about a run that was not cold enough, or did not stay finite."""
    lost = int(np.sum(~np.isfinite(np.asarray(ran.virial))))
    if lost:
        yield (
            f"{lost} of {PATHS} paths diverged, and no mean of the samples is finite: pass a "
            f"shorter step than dt={dt:.3g}, or more rows"
        )
        return
    found = over_paths(ran.virial)
    off = float(found.value) - 1
    if abs(off) > max(PRECISION, DOUBTFUL * float(found.error)):
        cure = "a shorter dt or more rows" if compensated else "compensated=True, or a shorter dt"
        yield (
            f"the samples have a temperature of {found} kT, not 1, so that their variances are off "
            f"by about as much: pass {cure}"
        )
