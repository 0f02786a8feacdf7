"""The general study: any potential under any schedule, as given and trained to waste less."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from annotated_types import Ge, Gt
from jax.sharding import NamedSharding

from ..._calls import Computation
from ..._component import Numbers
from ..._keys import Purpose, purpose_key
from ...estimators import Evaluation
from ...execution import batch_sharding
from ...optimization import Fit, MeanWork
from ...potential import AbstractPotential
from ...protocol import AbstractProtocol, values_at
from ...sampling import Equilibrium, template_of
from ...system import AbstractSystem, Bath, Overdamped, Underdamped, reverse
from ..results.store import Record
from ..run.progress import Progress
from .base import AbstractStudy
from .change import most_reliable, put_known_change, put_measured_change
from .evaluate import counted_steps, evaluation_record, measurement, require_chunks
from .evidence import doubts_of_evidence, evidence, is_bayesian, put_evidence
from .train import trained, training_record
from .work_saved import put_saved, saving_sentence


@dataclass(frozen=True)
class Training:
    """The training of the schedule: `steps` batches of paths, the learning rate falling to zero."""

    steps: Annotated[int, Gt(0)]
    batch: Annotated[int, Ge(2)] = 256
    learning_rate: Annotated[float, Gt(0)] = 0.1  # of Adam: about the change of a value per step
    dt: Annotated[float, Gt(0)] | None = None  # a coarser step than that of the measurement


@dataclass(frozen=True)
class Testing:
    """The measurement of each schedule: once, on fresh paths, `chunk` at a time."""

    batch: Annotated[int, Ge(2)] = 4096
    chunk: Annotated[int, Gt(0)] = 1024


class Driven(AbstractStudy):
    r"""Work, heat and dissipation of a potential under a schedule, and under a better one.

    Paths start in the equilibrium of the potential before the schedule begins. They are measured
    under the schedule as it is given and, where `training` says so, under the one of the least
    mean total work. The dissipated work is the mean total work less one free energy difference for
    all schedules: from closed forms where the potential has them at both ends, else from Bennett's
    estimate of all data (`pooled`), each schedule being run backward as well.

    **Arguments:** `potential`; `protocol`, for example `PiecewiseLinear.between`, which can train;
    `bath`, at temperature 1: energies are in units of kT; `dt`, the time step; `dynamics`,
    overdamped or underdamped; `position`, one position, `(dim,)` or nested lists such as
    `(particles, dim)`, where the potential does not say which shape it takes, also the first guess
    for its equilibrium; `training` and `evaluation`, what to spend; `free_energy_change`, where it
    is known, by symmetry for example; `reverse`, false for no runs backward, which take as long as
    those forward: the difference is then the exponential average of the schedule where it is most
    reliable; `devices`, how many GPUs, or cores of a CPU, share each batch, `all` for all that
    divide it: the numbers are the same. One when left out.
    """

    question = "What does it cost to drive this system, and how much of that can be saved?"
    headline: ClassVar[dict[str, str]] = {
        "total work": "total_work",
        "work saved": "work_saved",
        "dissipated work": "dissipated_work",
        "free energy difference": "free_energy_change",
        "log evidence": "log_evidence",
        "effective samples": "effective_samples",
        "work W": "work",
        "shadow work": "shadow_work",
        "heat": "heat",
    }
    sentences: ClassVar = (evidence, saving_sentence)
    doubts: ClassVar = (doubts_of_evidence,)

    def __init__(
        self,
        potential: AbstractPotential,
        protocol: AbstractProtocol,
        bath: Bath,
        dt: Annotated[float, Gt(0)],
        dynamics: Literal["overdamped", "underdamped"] = "overdamped",
        position: Numbers | None = None,
        training: Training | None = None,
        evaluation: Testing = Testing(),
        free_energy_change: float | None = None,
        reverse: bool = True,
        devices: Annotated[int, Ge(1)] | Literal["all"] | None = None,
    ):
        # Not in arrays: points of a sweep that differ here are no one program.
        self.time_steps = [counted_steps(protocol.duration, dt)]
        if training is not None and training.dt is not None:
            steps = counted_steps(protocol.duration, training.dt, "training.dt")
            self.time_steps.append(steps)
        require_chunks(evaluation.chunk, batch=evaluation.batch)
        if isinstance(bath.temperature, AbstractProtocol) or np.any(bath.temperature != 1):
            raise ValueError(
                f"bath.temperature = {bath.temperature}: expected 1, since energies are in kT here"
            )
        if training is not None and not protocol.trainable():
            raise ValueError(
                f"protocol has nothing to train, being a {type(protocol).__name__}: use "
                "PiecewiseLinear.between, or leave training out"
            )
        if position is not None and np.ndim(position) == 0:
            raise ValueError(f"position = {position}: expected a list of coordinates, as in [0.0]")
        self.initial = None if position is None else Equilibrium(jnp.asarray(position, float))
        kind = Overdamped if dynamics == "overdamped" else Underdamped
        self.system = kind(potential, protocol, bath)
        self.dt, self.training, self.evaluation = dt, training, evaluation
        self.known_change, self.reverse = free_energy_change, reverse
        batches = [evaluation.chunk or evaluation.batch]
        batches += [] if training is None else [training.batch]
        self.sharding = shared_among(devices, *batches)
        template = template_of(self.system, self.initial)
        if template is None:
            raise ValueError(
                f"missing key 'position': a {type(potential).__name__} takes any shape: expected "
                "one position, such as position: [0.0]"
            )
        # A mistake in an energy of one's own shows here, before anything is written.
        jax.eval_shape(potential.energy, template, protocol.initial)
        given = "linear" if is_straight(protocol) else "given"
        self.columns = (given,) if training is None else (given, "optimized")

    def run(self, key, progress: Progress) -> Computation[Record]:
        train_key, *keys = jax.random.split(purpose_key(key, Purpose.STUDY), 5)
        systems: dict[str, AbstractSystem] = {self.columns[0]: self.system}
        fit = None
        if self.training is not None:
            fit = yield from training(
                self.system,
                self.training,
                train_key,
                progress,
                dt=self.dt,
                initial=self.initial,
                sharding=self.sharding,
            )
            systems["optimized"] = fit.system
        change = self.free_energy_change()
        both_ways = self.reverse and change is None
        measured = functools.partial(
            measurement,
            dt=self.dt,
            batch=self.evaluation.batch,
            chunk=self.evaluation.chunk,
            progress=progress,
            initial=self.initial,
            sharding=self.sharding,
        )
        forward: dict[str, Evaluation] = {}
        backward: dict[str, Evaluation] = {}
        for i, (name, system) in enumerate(systems.items()):
            forward[name] = yield from measured(system, keys[i], name=name)
            if both_ways:
                back, own = reverse(system), keys[2 + i]
                backward[name] = yield from measured(back, own, name=f"reversed {name}")
        results = Record()
        best = most_reliable(forward)
        for name, evaluation in forward.items():
            results[name] = evaluation_record(systems[name], evaluation, best)
        if change is not None:
            for record in results.values():
                put_known_change(record, change)
        elif both_ways:
            put_measured_change(results, forward, backward)
        if is_bayesian(self.system):
            put_evidence(results, tuple(forward))
        put_saved(results, self.columns)
        if fit is not None:
            results["training"] = training_record(fit)
        return results

    def free_energy_change(self) -> float | None:
        """F at the end minus F at the start, where given, or known to the potential at both."""
        if self.known_change is not None:
            return self.known_change
        system: AbstractSystem = self.system
        if isinstance(system, Underdamped) and isinstance(system.bath.mass, AbstractProtocol):
            return None  # the potential does not know what the momenta add
        template = template_of(system, self.initial)
        ends = [
            system.potential.free_energy(control, jnp.asarray(1.0), template)
            for control in (system.protocol.initial, system.protocol.final)
        ]
        return None if ends[0] is None or ends[1] is None else float(ends[1] - ends[0])


def training(
    system: AbstractSystem,
    settings: Training,
    key,
    progress: Progress,
    *,
    dt: float,
    initial: Equilibrium | None,
    sharding: NamedSharding | None = None,
) -> Computation[Fit]:
    """The schedule of the least mean total work, in steps of `dt` where the settings have none."""
    return trained(
        system,
        MeanWork(),
        adam(settings.learning_rate, settings.steps),
        key,
        steps=settings.steps,
        progress=progress,
        dt=dt if settings.dt is None else settings.dt,
        batch=settings.batch,
        initial=initial,
        sharding=sharding,
    )


@functools.cache
def adam(rate: float, steps: int) -> optax.GradientTransformation:
    """Adam, its rate falling to zero: one object for equal settings, and so one program."""
    return optax.adam(optax.cosine_decay_schedule(rate, steps))


def shared_among(devices: int | Literal["all"] | None, *batches: int) -> NamedSharding | None:
    """The sharding that `devices:` in a config asks for: of all, as many as divide every batch."""
    if devices == "all":
        common = math.gcd(*batches)
        devices = max(k for k in range(1, jax.device_count() + 1) if common % k == 0)
        devices = None if devices == 1 else devices
    return None if devices is None else batch_sharding(devices)


def is_straight(protocol: AbstractProtocol) -> bool:
    """Whether a schedule is one straight line from its outside value to the other."""
    share = np.linspace(0, 1, 9)
    values = np.asarray(values_at(protocol, jnp.asarray(share) * protocol.duration))
    first, last = np.asarray(protocol.initial), np.asarray(protocol.final)
    line = first + np.multiply.outer(share, last - first)
    return bool(np.allclose(values, line, rtol=1e-4, atol=1e-5 * (1 + np.max(np.abs(line)))))
