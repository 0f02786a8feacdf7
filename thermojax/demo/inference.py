"""A line learned from points that are clicked: machines carried from prior to posterior, and back.

Each point is ramped into the potential on its own, so that the control is a vector of weights.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..potential import LOG_2PI, AbstractPotential, Gaussian, LinearRegression
from ..protocol import Constant
from ..sampling import Chain, advance, start, switch
from ..system import Bath, Underdamped
from .law import (
    GaussianLaw,
    QuadraticEnergy,
    equilibrium_law,
    law_moved,
    law_switched,
    mean_energy,
)
from .messages import Forget, Message, MessageError, Point, Ramp, Restart
from .numbers import covariance_numbers, thousandths

MACHINES = 256
POINTS = 24  # at most
LINES = 24  # of machines that are sent
SEGMENTS, SUBSTEPS = 16, 4
FRAME_TIME = 0.08
FRICTION = 2.0


class WeightedRows(AbstractPotential):
    r"""U = -ln p(x) - sum_i w_i ln p(y_i | x), the control w `(rows,)` of weights."""

    prior: Gaussian
    likelihood: LinearRegression

    def energy(self, x, control):
        return self.prior.energy(x, None) - control @ self.likelihood.log_likelihood(x)


class Data(NamedTuple):
    """The rows, `(points, 2)` and `(points,)`, those not clicked yet at 0, and the noise."""

    features: Any
    targets: Any
    noise: Any


def bath() -> Bath:
    return Bath(1.0, FRICTION, 1.0)


def inference_system(data: Data, weights) -> Underdamped:
    rows = LinearRegression(data.features, data.targets, data.noise)
    potential = WeightedRows(Gaussian(jnp.zeros(2)), rows)
    return Underdamped(potential, Constant(weights), bath())


def inference_energy(data: Data, weights) -> QuadraticEnergy:
    """The same energy by its coefficients."""
    pull = weights / data.noise**2
    stiffness = jnp.eye(2) + data.features.T @ (pull[:, None] * data.features)
    constant = 0.5 * jnp.sum(pull * data.targets**2)
    constant = constant + jnp.sum(weights) * (jnp.log(data.noise) + 0.5 * LOG_2PI) + LOG_2PI
    return QuadraticEnergy(stiffness, data.features.T @ (pull * data.targets), constant)


class Ramping(NamedTuple):
    """The state between two frames: machines, their law, the weights now, and their data."""

    chain: Chain
    law: GaussianLaw
    weights: Float[Array, " points"]
    data: Data


@jax.jit
def inference_frame(state: Ramping, data: Data, wanted, duration, segment) -> Ramping:
    """A frame's time later: in each segment the weights take one step towards those wanted."""

    def of_segment(carried, _):
        chain, law, weights, before = carried
        change = segment / duration
        after = weights + jnp.clip(wanted - weights, -change, change)
        old, new = inference_system(before, weights), inference_system(data, after)
        chain = switch(chain, old, new)
        chain = advance(new, chain, dt=segment / SUBSTEPS, steps=SUBSTEPS)
        energies = inference_energy(before, weights), inference_energy(data, after)
        law = law_switched(law, energies, (new.bath.mass, new.bath.mass))
        law = law_moved(law, energies[1], new.bath, segment)
        return Ramping(chain, law, after, data), None

    return jax.lax.scan(of_segment, state, None, length=SEGMENTS)[0]


@jax.jit
def inference_books(state: Ramping):
    """(rows of mean, error and exact value; effective samples; law of positions; equilibrium).

    The rows: total work, heat, free energy of the law, of equilibrium (by Jarzynski's mean), and
    what the law is above it.
    """
    chain, law = state.chain, state.law
    energy = inference_energy(state.data, state.weights)
    book, kinetic = chain.ledger, 1 + LOG_2PI  # entropy and energy of thermal momenta, for F
    count = len(book.work)
    error = lambda values: jnp.std(values, ddof=1) / math.sqrt(count)
    weight = jnp.exp(chain.log_weight - jnp.max(chain.log_weight))
    jarzynski = -(jnp.max(chain.log_weight) + jnp.log(jnp.mean(weight)))
    equilibrium = energy.free_energy(1.0)
    # F = <H> - S of phase space, less F of the momenta at equilibrium, which is -ln(2 pi).
    of_law = mean_energy(law, energy, 1.0) - law.entropy + kinetic - 1
    rows = [
        (jnp.mean(book.total_work), error(book.total_work), law.work),
        (jnp.mean(book.heat), error(book.heat), law.heat),
        (jarzynski, error(weight) / jnp.mean(weight), equilibrium),
        (jnp.mean(book.total_work) - equilibrium, error(book.total_work), law.work - equilibrium),
        (of_law - equilibrium, jnp.zeros(()), of_law - equilibrium),
    ]
    settled = equilibrium_law(energy, bath())
    return jnp.array(rows), chain.effective_samples, settled


@jax.jit
def prior_law() -> GaussianLaw:
    nobody = Data(jnp.zeros((POINTS, 2)), jnp.zeros(POINTS), jnp.ones(()))
    law = equilibrium_law(inference_energy(nobody, jnp.zeros(POINTS)), bath())
    return jax.tree.map(lambda x: jnp.asarray(x, float), law)


class InferenceScene:
    """Points are clicked in and ramped out; the books go on until the prior is drawn anew."""

    def __init__(self, key: PRNGKeyArray):
        self.key, self.starts = key, 0
        self.duration, self.noise = 3.0, 0.3
        self.restart()

    def restart(self) -> None:
        """Draw the machines from the prior, without data, with empty books."""
        self.starts += 1
        self.points: list[tuple[float, float]] = []
        self.wanted = np.zeros(POINTS)
        weights = jnp.zeros(POINTS)
        chain = start(
            inference_system(self.data(), weights),
            jax.random.fold_in(self.key, 2 * self.starts),
            initial=jax.random.normal(  # the prior
                jax.random.fold_in(self.key, 2 * self.starts + 1), (MACHINES, 2)
            ),
        )
        self.state = Ramping(chain, prior_law(), weights, self.data())

    def data(self) -> Data:
        u, y = np.zeros(POINTS), np.zeros(POINTS)
        for i, (place, value) in enumerate(self.points):
            u[i], y[i] = place, value
        used = np.arange(POINTS) < len(self.points)
        features = np.stack([np.ones(POINTS), u], axis=1) * used[:, None]
        return jax.tree.map(jnp.asarray, Data(features, y, np.asarray(self.noise)))

    def take(self, message: Message) -> None:
        if isinstance(message, Point):
            self.add(message.u, message.y)
        elif isinstance(message, Forget):
            self.wanted[:] = 0
        elif isinstance(message, Restart):
            self.restart()
        elif isinstance(message, Ramp):
            self.duration = message.duration or self.duration
            self.noise = message.noise or self.noise
        else:
            raise MessageError(f"do = {message.do}: not of the inference, whose tab is open")

    def add(self, u: float, y: float) -> None:
        """Ramp a point in. **Raises:** MessageError where there are as many as there may be."""
        gone = (np.asarray(self.state.weights) == 0) & (self.wanted == 0)
        if len(self.points) and np.all(gone):  # all have been forgotten: their rows are free
            self.points, self.wanted = [], np.zeros(POINTS)
        if len(self.points) >= POINTS:
            raise MessageError(f"{POINTS} points are there already: ramp the data out first")
        self.wanted[len(self.points)] = 1
        self.points.append((u, y))

    def segment(self) -> float:
        """The time of a segment, its steps fine beside the fastest oscillation that may come."""
        rows = 2 * len(self.points)  # of features (1, u), no longer than sqrt 2
        frequency = math.sqrt(1 + rows / self.noise**2)
        return min(FRAME_TIME / SEGMENTS, SUBSTEPS * 0.2 / frequency)

    def frame(self) -> dict[str, Any]:
        self.state = inference_frame(
            self.state, self.data(), self.wanted.copy(), self.duration, self.segment()
        )
        rows, effective, settled = inference_books(self.state)
        weights, law = np.asarray(self.state.weights), self.state.law
        position = np.asarray(self.state.chain.position)
        return {
            "kind": "inference",
            "time": round(float(self.state.chain.time), 3),
            "points": [
                [u, y, round(float(w), 3)]
                for (u, y), w in zip(self.points, weights, strict=False)
                if w > 0 or self.wanted.any()
            ],
            "noise": self.noise,
            "machines": thousandths(position),
            "lines": LINES,
            "law": [thousandths(law.mean[:2]), covariance_numbers(law.covariance)],
            "posterior": [thousandths(settled.mean[:2]), covariance_numbers(settled.covariance)],
            "books": np.round(np.asarray(rows), 4).tolist(),
            "effective": round(float(effective), 1),
            "diverged": int(self.state.chain.diverged),
        }
