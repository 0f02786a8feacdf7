"""Two masses on springs, coupled by a third, in a bath: machines in parallel, and their exact law.

The sliders are the system: what of it moves while the machines run is a protocol, and is booked.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .. import diagnostics
from ..linear import OrnsteinUhlenbeck
from ..potential import Harmonic
from ..protocol import Constant
from ..sampling import Chain, Equilibrium, advance, start, switch
from ..system import Bath, Underdamped
from .law import (
    GaussianLaw,
    QuadraticEnergy,
    divergence_from,
    equilibrium_law,
    law_moved,
    law_switched,
    mean_energy,
)
from .messages import Message, MessageError, Restart, Turn
from .numbers import covariance_numbers, estimate_of, thousandths

MACHINES = 128
SEGMENTS = 16  # of a frame: positions of a machine that are drawn
SUBSTEPS = 4  # of a segment
FRAME_TIME = 0.3  # simulated time of a frame, at speed 1
WINDOW, SHORTEST = 256, 32  # samples of each machine that the autocorrelation is taken of
LAGS = 32
BINS = 48
SHOWN = 192  # new samples of a frame that are sent
RELAXED = 0.01  # kT by which the free energy is above its equilibrium when sampling begins
SLOWLY = 8  # frames between two autocorrelations


class Knobs(NamedTuple):
    """The system as the sliders say it: kT, gamma, m, and the coupling spring."""

    temperature: Any = 1.0
    friction: Any = 1.0
    mass: Any = 1.0
    coupling: Any = 0.0


def stiffness_of(coupling) -> Float[Array, "2 2"]:
    """A = [[1 + c, -c], [-c, 1 + c]]: each mass on a spring of its own, and one between them."""
    return jnp.eye(2) + coupling * jnp.array([[1.0, -1.0], [-1.0, 1.0]])


def bath_of(knobs: Knobs) -> Bath:
    return Bath(knobs.temperature, knobs.friction, knobs.mass)


def oscillator_system(knobs: Knobs) -> Underdamped:
    return Underdamped(Harmonic(stiffness_of(knobs.coupling)), Constant(), bath_of(knobs))


def oscillator_energy(knobs: Knobs) -> QuadraticEnergy:
    return QuadraticEnergy(stiffness_of(knobs.coupling), jnp.zeros(2), jnp.zeros(()))


@jax.jit
def oscillator_frame(chain: Chain, law: GaussianLaw, before: Knobs, after: Knobs, segment):
    """The machines and their law after the knobs have been turned, and a frame's time has passed.

    **Returns:** the chain, the law, and the positions `(segments, machines, 2)` after each segment
    of the time `segment`.
    """
    old, new = oscillator_system(before), oscillator_system(after)
    chain = switch(chain, old, new)

    def of_segment(chain, _):
        chain = advance(new, chain, dt=segment / SUBSTEPS, steps=SUBSTEPS)
        return chain, chain.position

    chain, path = jax.lax.scan(of_segment, chain, None, length=SEGMENTS)
    energies = oscillator_energy(before), oscillator_energy(after)
    law = law_switched(law, energies, (before.mass, after.mass))
    return chain, law_moved(law, energies[1], new.bath, SEGMENTS * segment), path


@jax.jit
def oscillator_truth(knobs: Knobs, interval):
    """The exact answers of the knobs, and of samples taken at this interval of time.

    **Returns:** A^-1, the stationary covariance of the positions, the autocorrelation of x_1 at
    the lags 0, 1, ... in samples, and its integral tau = 1 + 2 sum rho.
    """
    bath = bath_of(knobs)
    energy = oscillator_energy(knobs)
    process = OrnsteinUhlenbeck.underdamped(energy.stiffness, 0.0, bath)
    decay, _ = process.transition(interval)
    covariance = equilibrium_law(energy, bath).covariance

    def next_lag(lagged, _):
        return decay @ lagged, lagged[0, 0] / covariance[0, 0]

    _, correlation = jax.lax.scan(next_lag, covariance, None, length=LAGS)
    summed = jnp.linalg.solve(jnp.eye(4) - decay, decay @ covariance)  # of all lags above 0
    tau = 1 + 2 * summed[0, 0] / covariance[0, 0]
    return jnp.linalg.inv(energy.stiffness), covariance[:2, :2], correlation, tau


@jax.jit
def oscillator_account(chain: Chain, law: GaussianLaw, start: GaussianLaw, knobs, first):
    """Mean and error of work, heat, energy change and entropy production, with the exact means.

    `start` and `first`: the law and the knobs when the books were opened. **Returns:** `(4, 3)`.
    """
    book = chain.ledger
    change = law.entropy - start.entropy
    exact = jnp.stack(
        [
            law.work,
            law.heat,
            mean_energy(law, oscillator_energy(knobs), knobs.mass)
            - mean_energy(start, oscillator_energy(first), first.mass),
            law.bath_entropy + change,
        ]
    )
    # The entropy of the system is that of the exact law: of paths alone nobody can tell it.
    of_paths = (
        book.total_work,
        book.heat,
        book.energy - book.energy_start,
        book.bath_entropy + change,
    )
    paths = jnp.stack(of_paths)
    error = jnp.std(paths, axis=1, ddof=1) / math.sqrt(MACHINES)
    kl = divergence_from(law, equilibrium_law(oscillator_energy(knobs), bath_of(knobs)))
    return jnp.stack([jnp.mean(paths, axis=1), error, exact], axis=1), kl


@jax.jit
def settled(knobs: Knobs) -> GaussianLaw:
    """The equilibrium of the knobs, with empty books."""
    law = equilibrium_law(oscillator_energy(knobs), bath_of(knobs))
    return jax.tree.map(lambda x: jnp.asarray(x, float), law)


def longest_segment(knobs: Knobs) -> float:
    """The time of a segment whose steps are fine beside oscillation and friction."""
    frequency = math.sqrt((1 + 2 * max(knobs.coupling, 0.0)) / knobs.mass)
    return SUBSTEPS * min(0.2 / frequency, 0.2 * knobs.mass / knobs.friction)


class OscillatorScene:
    """The stream of one page: `turn` the knobs, and take `frame` after frame.

    Histories are bounded: the last samples of each machine, and sums.
    """

    def __init__(self, key: PRNGKeyArray):
        self.key, self.starts = key, 0
        self.knobs = self.wanted = Knobs()
        self.interval, self.speed = 0.5, 1.0
        self.restart()

    def take(self, message: Message) -> None:
        if isinstance(message, Restart):
            self.restart()
        elif isinstance(message, Turn):
            self.turn(**message.model_dump(exclude={"do"}, exclude_none=True))
        else:
            raise MessageError(f"do = {message.do}: not of the oscillators, whose tab is open")

    def turn(self, *, interval: float | None = None, speed: float | None = None, **knobs: float):
        """Take new values of the sliders, to be felt by the next frame."""
        self.wanted = self.wanted._replace(**{name: float(x) for name, x in knobs.items()})
        self.speed = self.speed if speed is None else speed
        self.interval = self.interval if interval is None else interval
        if interval is not None or speed is not None:
            self.sample_at_interval()

    def restart(self) -> None:
        """Draw the machines from the equilibrium of the knobs, with empty books."""
        self.knobs = self.wanted
        self.starts += 1
        self.chain = start(
            oscillator_system(self.knobs),
            jax.random.fold_in(self.key, self.starts),
            batch=MACHINES,
            initial=Equilibrium(jnp.zeros(2)),
        )
        self.law = self.first_law = settled(self.knobs)
        self.first_knobs = self.knobs
        self.frames = 0
        self.forget_samples()
        self.sample_at_interval()

    def forget_samples(self) -> None:
        """The law has changed: what was seen of the last one is no sample of this."""
        self.relaxed = False
        self.count = 0
        self.products = np.zeros((MACHINES, 3))
        stiffness = 1 + min(0.0, 2 * self.knobs.coupling)  # of the softest direction
        widest = 3.5 * math.sqrt(self.knobs.temperature / stiffness)
        self.half = next(h for h in (0.5, 1, 2, 4, 8, 16, 32) if h >= widest)
        self.counts = np.zeros((2, BINS), int)

    def sample_at_interval(self) -> None:
        """Begin a series of samples at the interval of the slider, a whole number of segments."""
        longest = min(self.speed * FRAME_TIME / SEGMENTS, longest_segment(self.knobs))
        self.stride = math.ceil(self.interval / longest - 1e-9)
        self.segment = self.interval / self.stride
        self.segments_done = 0
        self.series = np.zeros((WINDOW, MACHINES, 2))
        self.in_series = 0
        self.correlation, self.tau = [], None
        self.truth_is_new = True

    def frame(self) -> dict[str, Any]:
        """The next frame, ready for JSON: lengths are whole thousandths."""
        before = self.knobs
        if self.wanted != before:
            self.knobs = self.wanted
            self.forget_samples()
            self.sample_at_interval()
        self.chain, self.law, path = oscillator_frame(
            self.chain, self.law, before, self.knobs, self.segment
        )
        account, divergence = oscillator_account(
            self.chain, self.law, self.first_law, self.knobs, self.first_knobs
        )
        path, account, divergence = np.asarray(path), np.asarray(account), float(divergence)
        new = self.collect(path, divergence)
        self.frames += 1
        if self.frames % SLOWLY == 0:
            self.correlate()
        now = path[-1]
        counts = self.counts if self.relaxed else histogram(now, self.half)
        frame = {
            "kind": "oscillators",
            "time": round(float(self.chain.time), 3),
            "half": self.half,
            "trail": thousandths(path[:, 0]),
            "now": thousandths(now),
            "new": thousandths(new.reshape(-1, 2)[:SHOWN]),
            "counts": counts.tolist(),
            "law": covariance_numbers(self.law.covariance),
            "divergence": round(divergence, 5),
            "relaxed": self.relaxed,
            "samples": self.count * MACHINES,
            "estimate": self.estimate(),
            "correlation": self.correlation,
            "tau": self.tau,
            "account": np.round(account, 4).tolist(),
            "diverged": int(self.chain.diverged),
        }
        if self.truth_is_new:
            frame["truth"] = self.truth()
            self.truth_is_new = False
        return frame

    def collect(self, path: np.ndarray, divergence: float) -> np.ndarray:
        """Keep what is a sample, once the law has relaxed: `(samples, machines, 2)`."""
        places = self.segments_done + 1 + np.arange(SEGMENTS)
        self.segments_done += SEGMENTS
        new = path[places % self.stride == 0]
        self.relaxed = self.relaxed or divergence < RELAXED
        if not self.relaxed:
            return new[:0]
        for sample in new:
            self.series[self.in_series % WINDOW] = sample
            self.in_series += 1
        x, y = new[..., 0], new[..., 1]
        self.products += np.stack([(x * x).sum(0), (x * y).sum(0), (y * y).sum(0)], 1)
        self.count += len(new)
        self.counts = self.counts + histogram(new.reshape(-1, 2), self.half)
        return new

    def correlate(self) -> None:
        """The autocorrelation of x_1 and its time, over a window of 32, 64, ... samples."""
        if self.in_series < SHORTEST:
            return
        length = min(WINDOW, 2 ** int(math.log2(self.in_series)))
        last = (self.in_series - length + np.arange(length)) % WINDOW
        values = self.series[last, :, 0]
        self.correlation = thousandths(diagnostics.autocorrelation(values, lags=LAGS))
        self.tau = estimate_of(diagnostics.autocorrelation_time(values))

    def estimate(self) -> list[list[float]] | None:
        """Mean and error of the entries 11, 12, 22 of <x x^T> / kT, which is A^-1.

        The error is that of the spread between machines, which know nothing of each other.
        """
        if self.count == 0:
            return None
        each = self.products / (self.count * self.knobs.temperature)
        error = each.std(0, ddof=1) / math.sqrt(MACHINES)
        return np.round([each.mean(0), error], 5).tolist()

    def truth(self) -> dict[str, Any]:
        inverse, covariance, correlation, tau = oscillator_truth(self.knobs, self.interval)
        return {
            "inverse": covariance_numbers(inverse),
            "covariance": covariance_numbers(covariance),
            "correlation": thousandths(correlation),
            "tau": round(float(tau), 4),
            "knobs": [float(x) for x in self.knobs],
            "interval": self.interval,
        }


def histogram(points: np.ndarray, half: float) -> np.ndarray:
    """Counts of the points `(n, 2)` in each bin of both axes, `(2, bins)`."""
    places = np.floor((points + half) * (BINS / (2 * half))).astype(int)
    places = np.clip(places, 0, BINS - 1)
    return np.stack([np.bincount(places[:, i], minlength=BINS) for i in (0, 1)])
