"""One training of an annealer in a process of its own, whose seconds count from where it began.

    python -m benchmarks.annealing_training '{"target": "sonar", "steps": 8, "training": 500}'

The last line that it prints is what came out, as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

BOUND = 50.0  # of the gradient's norm
FIT_STEPS, FIT_BATCH = 2000, 64  # of the diagonal base
PILOT, WARM = 100, 25  # training steps that are timed before a training, the first few left out
BUDGET = 1e5  # gradients of one estimate of ln Z
WIDE = {"forty_modes": 25.0, "many_wells": 1.5, "five_wells": 1.5}  # scale of a wide base
FINE = {"forty_modes": 0.05, "many_wells": 0.1, "five_wells": 0.1}  # its time step at first
REVERSE = 3  # gradients that a gradient and its derivative cost: a product with the Hessian is two


@dataclass(frozen=True)
class Plan:
    """What is trained, how long, and how it is judged.

    - `method`: "annealer", or "autodais" (of NumPyro). `target`: a name of `TARGETS`; `steps`: K.
    - `drive`: "none", "linear", "network", or "two-sided": a network with forces of its own before
      and after each grid point. `base`: "diagonal" or "dense", the first fitted by its own bound,
      the second Laplace's; or "wide", around 0. `objective`: as of `Annealer.loss`.
    - `training`: optimizer steps. `paths`: of the ELBO; `repeats`: estimates of ln Z, each of
      `BUDGET` gradients.
    """

    target: str
    steps: int
    drive: str = "linear"
    base: str = "diagonal"
    method: str = "annealer"
    seed: int = 0
    training: int = PILOT
    paths: int = 16384
    repeats: int = 0
    objective: str = "elbo"

    @property
    def batch(self) -> int:
        """Paths of one training step."""
        return 64 if self.steps <= 8 or self.drive == "two-sided" else 32

    @property
    def learning_rate(self) -> float:
        """Of Adam at first."""
        if self.drive == "two-sided":
            return 0.008
        if self.drive == "network":
            return 0.01
        return 0.006 if self.drive == "linear" and self.steps <= 8 else 0.02

    @property
    def dt(self) -> float:
        """The time step where training begins."""
        if self.base == "wide":
            return FINE[self.target]
        return 0.2 if self.drive == "two-sided" and self.steps > 8 else 0.3

    @property
    def friction(self) -> float:
        """Friction / mass where training begins: high where volume has to change."""
        return (5.0 if self.steps <= 8 else 8.0) if self.drive == "two-sided" else 0.05

    @property
    def name(self) -> str:
        aim = "" if self.objective == "elbo" else f", {self.objective}"
        return f"{self.target} K = {self.steps}, {self.method}, {self.drive}, {self.base}{aim}"


@dataclass
class Clock:
    """Seconds from where the process began to the ends of the first and of all training steps."""

    begun: float
    ends: list[float]

    @classmethod
    def start(cls, begun: float) -> Clock:
        return cls(begun, [])

    def __call__(self, progress: Any = None) -> bool:
        self.ends.append(time.time() - self.begun)
        return False

    def pace(self) -> float:
        """Seconds of a training step."""
        steady = self.ends[min(WARM, len(self.ends) - 2) :]
        return (steady[-1] - steady[0]) / (len(steady) - 1)


def optimizer(training: int, rate: float):
    """Adam, its rate falling to zero along a cosine, on gradients of bounded norm."""
    import optax

    falling = optax.cosine_decay_schedule(rate, training)
    return optax.chain(optax.clip_by_global_norm(BOUND), optax.adam(falling))


def beginning(plan: Plan):
    """The annealer where training starts: its base fitted, all else as it is by default."""
    import jax

    import thermojax as tj
    from experiments.annealing_targets import TARGETS

    target, key = TARGETS[plan.target](), jax.random.key(plan.seed)
    dim = target.template.size
    if plan.base == "dense":
        base = tj.anneal.laplace(target.energy, target.template)
    elif plan.base == "wide":
        base = tj.anneal.DiagonalBase(dim, WIDE[plan.target])
    else:
        fitting = dict(batch=FIT_BATCH, steps=FIT_STEPS)
        base = tj.anneal.variational(None, target.energy, key, template=target.template, **fitting)
    weights = jax.random.key(plan.seed + 100)
    drives: dict[str, Callable] = {
        "none": lambda: None,
        "linear": lambda: tj.anneal.LinearDrive(dim),
        "network": lambda: tj.anneal.NetworkDrive(dim, weights, width=32, knots=5),
        "two-sided": lambda: tj.anneal.NetworkDrive(dim, weights, two_sided=True),
    }
    return tj.anneal.Annealer(
        base,
        target.energy,
        steps=plan.steps,
        template=target.template,
        dt=plan.dt,
        rate=plan.friction,
        drive=drives[plan.drive](),
    )


def trained(plan: Plan, begun: float, timed: bool) -> dict:
    """Train an annealer and judge it on keys of its own."""
    import jax

    import thermojax as tj
    from experiments.annealing_targets import TARGETS

    from .annealing_modes import judged

    annealer, clock, target = beginning(plan), Clock.start(begun), TARGETS[plan.target]()
    fit = tj.anneal.fit(
        annealer,
        optimizer(plan.training, plan.learning_rate),
        jax.random.key(plan.seed),
        batch=plan.batch,
        steps=plan.training,
        objective=plan.objective,
        callback=clock if timed else None,
    )
    seconds, busy = time.time() - begun, time.process_time()
    if timed:
        return pilot(clock, seconds)
    found = fit.annealer
    each = plan.steps + 1
    fitted = FIT_STEPS * FIT_BATCH if plan.base == "diagonal" else 0
    out = found.run(jax.random.key(99), plan.paths)
    some = max(2, round(BUDGET / each))
    sides = judged(found, target, plan.paths) if target.sample is not None else {}
    estimates, times = repeated(lambda key: found.run(key, some).log_z.value, plan.repeats)
    return {
        "seconds": seconds,
        "CPU seconds": busy,
        "training": plan.training,
        "training gradients": fitted + float(REVERSE * plan.training * plan.batch * each),
        "gradients": some * each,
        "elbo": [float(out.elbo.value), float(out.elbo.error)],
        "log_z": [float(out.log_z.value), float(out.log_z.error)],
        "estimates": estimates,
        "each seconds": times,
        "chosen": fit.chosen,
        "stopped": fit.stopped,
        "diverged": int(out.diverged),
        **sides,
    }


def repeated(estimate: Callable, repeats: int) -> tuple[list[float], float]:
    """Estimates of as many keys after one that compiles, and the median seconds of one."""
    import statistics

    import jax

    values, times = [], []
    for i in range(repeats + 1 if repeats else 0):
        begun = time.perf_counter()
        values.append(float(estimate(jax.random.key(1000 + i))))
        times.append(time.perf_counter() - begun)
    return values[1:], statistics.median(times[1:]) if repeats else 0.0


def pilot(clock: Clock, seconds: float) -> dict:
    """What a pilot says: seconds of a training step, and of all that is not one."""
    pace = clock.pace()
    return {"pace": pace, "around": seconds - pace * len(clock.ends)}


def in_a_process(plan: Plan, timed: bool = False, core: int | None = None) -> dict:
    """Run a plan in a new process, on one core if it is named.

    **Raises:** RuntimeError, with the end of what it wrote, where it fails.
    """
    words = json.dumps(asdict(plan) | {"begun": time.time(), "timed": timed})
    command = [sys.executable, "-m", "benchmarks.annealing_training", words]
    if core is not None:
        command = ["taskset", "--cpu-list", str(core), *command]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{plan.name} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def steps_within(plan: Plan, seconds: float, core: int | None = None) -> int:
    """How many training steps fit into so many seconds from the start of a process, by a pilot."""
    found = in_a_process(plan, timed=True, core=core)
    return max(PILOT, int((seconds - found["around"]) / found["pace"]))


def main() -> None:
    begun = time.time()
    given = json.loads(sys.argv[1])
    begun, timed = given.pop("begun", begun), given.pop("timed", False)
    plan = Plan(**given)
    if plan.method == "autodais":
        from .annealing_peers import autodais

        print(json.dumps(autodais(plan, begun, timed)))
    else:
        print(json.dumps(trained(plan, begun, timed)))


if __name__ == "__main__":
    main()
