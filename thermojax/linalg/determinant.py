"""Determinants: the free energy between springs that are all alike and those of A, by work."""

from __future__ import annotations

import dataclasses
import math
import warnings
from statistics import NormalDist
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import PRNGKeyArray

from .. import estimators
from .._arguments import choice, instance, real, whole
from .._component import known, positive, shown
from ..protocol import AbstractProtocol
from ..system import Bath
from .device.answer import Answer, DeviceTime, Ramps, energy_of
from .device.device import EQUILIBRATION
from .device.operator import require_known
from .device.problem import Problem, problem_of
from .device.settings import LONGEST, MARGIN, Settings
from .device.spectrum import Spectrum
from .ramp.cycle import BLOCK, Cycle, Steps, by_modes, by_steps
from .ramp.ramp import Ramp, best_reference, infinite_variance, stairs

RAMPS = ("linear", "geodesic", "trained")
FIRST = 4.0  # relaxation times of a first ramp, which finds out how long the device takes
STAIRS = 32  # in a relaxation time, of a ramp in modes
FEWEST = 64  # stairs or steps of a ramp
FINER = 4  # steps of a ramp: their shadow work scatters, however slow it is, as dt^2
ENOUGH = 100  # effective samples, or half of all
DOUBLINGS = 60
NO_WAY = 1e-6  # of the reference: modes that are as near have none to go


def logdet(
    A: Any,
    key: PRNGKeyArray,
    *,
    time: float | None = None,
    atol: float | None = None,
    probability: float = 0.9,
    dynamics: str = "overdamped",
    trajectories: int = 256,
    method: str | None = None,
    bath: Bath | None = None,
    idle_power: float = 0.0,
    max_products: float = 1e9,
    ramp: str | AbstractProtocol = "geodesic",
    reference: float | None = None,
) -> Answer:
    r"""ln det A by the work of turning springs that are all alike, c, into those of A, and back.

    The energy is U = x . ((1 - s) c + s A) x / 2, and s goes from 0 to 1 and, after a wait, back.
    The free energy that lies between, by Bennett's estimator from the work of both ways, is

        Delta F = (kT / 2) (ln det A - dim ln c).

    Slow ramps lose a mean work of kT L^2 / time on either way, L the length of the way in the
    metric of `tj.bounds.thermodynamic_length`, and the squared error of an answer is 4 L^2 / time
    over the number of trajectories. Where a ramp is so fast that exp(-W / kT) has an infinite
    variance, as far as the spectrum is known, or that the works of both ways hardly overlap, a
    ramp of twice the time takes its place, which a warning says.

    **Arguments:**

    - `A`, symmetric positive definite: `(dim, dim)`, or a lineax operator. `key`.
    - `time`: of each ramp, in the unit of friction / stiffness (overdamped).
    - `atol`, `probability`, in its place: |answer - ln det A| <= atol with this probability, found
      by shorter runs. An absolute one: another unit of A adds a number to the answer.
    - `trajectories`: devices side by side, each of which goes there and back once; 2 or more.
    - `method`: "steps", the motion in time steps, which knows A by its products alone (the default
      for operators), or "exact", each mode of A by its exact law on a staircase of many stairs (the
      default for matrices).
    - `ramp`: s through time. "linear"; "geodesic", of constant thermodynamic speed; "trained", of
      the least mean work in this time; or a protocol from 0 to 1, which is stretched to the time.
      The middle two know the density of eigenvalues, of "steps" as the products show it that find
      the ends of the spectrum.
    - `reference`: c, a stiffness; that from which the ways are shortest when left out, by the same
      density. A worse one, or ramp, makes the error larger, and does not move the answer.
    - `dynamics`, `bath`, `idle_power`, `max_products`: as `tj.linalg.solve`.

    **Returns:** a `tj.linalg.Answer`, its value a scalar, its `time.averaging` that of both ramps,
    its `ramps` a `tj.linalg.Ramps`.

    **Raises:** ValueError, with the cure, for a matrix that is not symmetric, not positive, or
    singular, and for what does not fit.

    **Cost:** "steps": for each trajectory twice time / dt products, dt an eighth of the fastest
    mode's time, those of a wait of 7 relaxation times, and 34 to about 1000 for the spectrum.
    "exact": one eigendecomposition, and 64 normal numbers for each mode, relaxation time and
    trajectory. "trained" takes seconds more, and no products.

    **Source:** C. H. Bennett, J. Comput. Phys. 22, 245 (1976); M. Aifer et al., npj
    Unconv. Comput. 1, 13 (2024), for the determinant of a device.
    """
    check_own(time, atol, reference)
    shape = checked_ramp(ramp)
    whole("trajectories", trajectories, 2, "an error needs two of them")
    settings = Settings(
        1.0 if time is None else time,
        *(None, probability, dynamics, trajectories, method, bath, idle_power, max_products),
    )
    problem = problem_of("logdet", A, None, key, settings)
    run = Run(problem, ramp_of(problem, reference), shape)
    if atol is None:
        assert problem.settings.time is not None
        return run.answered(problem.settings.time, key)
    allowed = (float(atol) / NormalDist().inv_cdf(0.5 + 0.5 * problem.settings.probability)) ** 2
    longer, products = FIRST * problem.device.relaxation, problem.spectrum.products
    while True:
        key, own = jax.random.split(key)
        answer = run.answered(longer, own)
        products += answer.products - problem.spectrum.products
        square = float(answer.error) ** 2
        if square <= allowed:
            return dataclasses.replace(answer, products=products)
        longer *= min(max(MARGIN * square / allowed, MARGIN), LONGEST)


def check_own(time: Any, atol: Any, reference: Any) -> None:
    """**Raises:** ValueError."""
    if reference is not None:
        real("reference", reference, "a positive stiffness, or None for the best", positive)
        require_known(reference=reference)
    if (time is None) == (atol is None):
        given = "neither" if time is None else "both"
        raise ValueError(
            f"time and atol: {given} given; expected the time of a ramp, or the error of the "
            "logarithm that it is to reach"
        )
    if atol is not None:
        real("atol", atol, "an error of the logarithm, positive and finite", positive)
        require_known(atol=atol)


def checked_ramp(ramp: Any) -> str | AbstractProtocol:
    """**Raises:** ValueError for what is neither a word nor a protocol from 0 to 1."""
    if isinstance(ramp, str):
        return choice("ramp", ramp, RAMPS)
    kinds = f"one of {', '.join(map(repr, RAMPS))}, or a protocol from 0 to 1"
    instance("ramp", ramp, AbstractProtocol, kinds)
    require_known(ramp=ramp)
    ends = tuple(known(x) for x in (ramp.initial, ramp.final))
    if any(x is None or x.shape for x in ends) or tuple(map(float, ends)) != (0.0, 1.0):  # pyright: ignore[reportArgumentType]
        raise ValueError(
            f"ramp goes from {shown(ramp.initial)} to {shown(ramp.final)}: expected the share of A "
            "in the springs, a scalar from 0 to 1"
        )
    if ramp.impulses() is not None:
        raise ValueError("ramp has kicks: expected a protocol without")
    if not isinstance(getattr(ramp, "duration", None), jax.Array):
        raise ValueError(
            f"ramp: {type(ramp).__name__} has no array `duration` that could become the time; "
            "expected one such as tj.PiecewiseLinear"
        )
    return ramp


def ramp_of(problem: Problem, reference: Any) -> Ramp:
    """The way from the reference to the modes of A, as far as they are known."""
    spectrum, dim = problem.spectrum, len(problem.b)
    if reference is None:
        reference = best_reference(spectrum.values, spectrum.weights)
    dtype = problem.b.dtype
    numbers = (spectrum.values, dim * spectrum.weights, float(reference))
    values, weights, reference = (jnp.asarray(x, dtype) for x in numbers)
    return Ramp(values, weights, reference, problem.device.bath, problem.device.dynamics)


class Run(NamedTuple):
    """A problem with the way to its matrix, and what was said of the ramp."""

    problem: Problem
    way: Ramp
    ramp: str | AbstractProtocol

    def protocol(self, time: float) -> AbstractProtocol:
        """s through a time. **Raises:** ValueError where a spring would not be positive."""
        way, ramp = self.way, self.ramp
        if isinstance(ramp, str):
            apart = np.abs(np.asarray(way.values / way.reference) - 1)
            return getattr(way, ramp if np.max(apart) > NO_WAY else "linear")(time)
        protocol = eqx.tree_at(lambda p: p.duration, ramp, jnp.asarray(time, ramp.duration.dtype))
        lowest = float(jnp.min(jax.vmap(way.stiffness)(stairs(protocol, 512))))
        if not lowest > 0:
            raise ValueError(
                f"ramp makes a spring of stiffness {lowest:.3g}: expected values, most of them "
                "between 0 and 1, for which (1 - s) c + s A is positive"
            )
        return protocol

    def answered(self, time: float, key: PRNGKeyArray) -> Answer:
        """The answer of ramps of this time, or of twice as long ones until they can be trusted."""
        asked, products, why = time, 0, ""
        for _ in range(DOUBLINGS):
            protocol = self.protocol(time)
            there, back = map(bool, infinite_variance(self.way, protocol))
            if there or back:
                which = "to A" if there else "from A"
                why = f"exp(-W / kT) has an infinite variance on the way {which}"
            else:
                cycle = self.cycle(protocol, time, key)
                products += cycle.products
                found = self.difference(cycle)
                effective = float(found.effective_samples)
                if effective >= min(ENOUGH, self.problem.settings.trajectories):
                    break
                why = f"the works of both ways overlap little ({effective:.3g} effective samples)"
            time *= 2
        else:
            raise ValueError(
                f"time = {asked:.3g}, reference = {float(self.way.reference):.3g}: even in "
                f"{time:.3g}, {why}: expected a longer time, or a reference nearer to A"
            )
        if time > asked:
            warnings.warn(
                f"a ramp of time {asked:.4g} is too fast: {why}; ramps of {time:.4g} were taken",
                stacklevel=3,
            )
        if found.doubt is not None:
            warnings.warn(found.doubt, stacklevel=3)
        return self.billed(protocol, time, cycle, found.log_ratio, products)

    def cycle(self, protocol: AbstractProtocol, time: float, key: PRNGKeyArray) -> Cycle:
        """**Raises:** ValueError where that takes more products than allowed."""
        problem, settings = self.problem, self.problem.settings
        device = problem.device._replace(rest=float(self.way.reference))
        wait = EQUILIBRATION * device.relaxation
        affordable = lambda n: settings.require_affordable(n, time, device.relaxation)
        if problem.modes is not None:
            count = max(FEWEST, math.ceil(STAIRS * time / device.relaxation))
            affordable(2.0 * settings.trajectories * count)
            return by_modes(self.way, protocol, count, wait, settings.trajectories, key)
        dt = device.dt / FINER * min(1.0, problem.spectrum.high / device.rest)
        blocks = max(FEWEST, time / dt) / BLOCK, wait / device.dt / BLOCK
        affordable(settings.trajectories * (BLOCK + 1) * (2 * blocks[0] + blocks[1]))
        up, still = map(math.ceil, blocks)
        lengths = time / (up * BLOCK), wait / (still * BLOCK)
        steps = Steps(up, still, *lengths, settings.trajectories)
        return by_steps(problem.operator, device, protocol, steps, key)

    def difference(self, cycle: Cycle) -> estimators.FreeEnergy:
        """ln(Z of A / Z of the reference) by Bennett's estimator; what it says is read off."""
        beta = 1 / self.way.bath.temperature
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "the (works|average)")
            return estimators.free_energy.bar(-beta * cycle.forward, -beta * cycle.reverse)

    def billed(self, protocol, time: float, cycle: Cycle, ratio, products: int) -> Answer:
        problem, reference = self.problem, float(self.way.reference)
        settings, device, dim = problem.settings, problem.device, len(problem.b)
        taken = DeviceTime(EQUILIBRATION, 2 * time / device.relaxation, device.relaxation)
        error = 2 * ratio.error
        whole_matrix = isinstance(problem.operator, lx.MatrixLinearOperator)
        digital, method = digital_determinant(problem.spectrum, dim, float(error), whole_matrix)
        return Answer(
            dim * math.log(reference) - 2 * ratio.value,
            error,
            2 * settings.trajectories,
            taken,
            energy_of(cycle.forward + cycle.reverse, cycle.heat, taken, settings.idle_power),
            problem.spectrum.products + products,
            digital,
            decomposed=problem.modes is not None,
            digital_method=method,
            ramps=Ramps(protocol, reference, cycle.forward, cycle.reverse),
        )


def digital_determinant(spectrum: Spectrum, dim: int, error: float, whole_matrix: bool):
    r"""Products of A with a vector that a computer needs in place of a device, and for what.

    Stochastic Lanczos quadrature takes the mean of dim v . ln(A) v over random unit vectors v,
    whose variance is 2 dim / (dim + 2) times sum_i (ln a_i - mean)^2, and n products for each. Its
    error is below that of the best polynomial of degree 2n - 1, and so, for
    rho = (sqrt(kappa) + 1) / (sqrt(kappa) - 1), below

        2 dim sum_{k >= 2n} 2 rho^-k / k <= 2 dim rho^-2n / (n (1 - 1/rho)).

    Cholesky's factorization, dim^3 / 3 flops, takes as many as dim / 6 products of 2 dim^2.
    Source: S. Ubaru, J. Chen, Y. Saad, SIAM J. Matrix Anal. Appl. 38, 1075 (2017).
    """
    logs, root = np.log(spectrum.values), math.sqrt(spectrum.condition)
    center = np.average(logs, weights=spectrum.weights)
    scatter = dim * float(np.average((logs - center) ** 2, weights=spectrum.weights))
    each, probes = 1, 1
    if root > 1 + 1e-6 and error > 0:
        rho = (root + 1) / (root - 1)
        probes = max(1, math.ceil(2 * dim / (dim + 2) * scatter / error**2))
        while each < dim and 2 * dim * rho ** (-2 * each) > error * each * (1 - 1 / rho):
            each += 1
    cholesky = math.ceil(dim / 6)
    if whole_matrix and cholesky <= probes * each:
        return cholesky, "Cholesky factors"
    return probes * each, "Lanczos quadratures"
