"""The pictures in which a system is run while it trains: paths, exact Gaussian laws, a grid."""

from __future__ import annotations

from functools import cached_property
from typing import Any, TypedDict, Unpack

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import PRNGKeyArray

from .._arguments import instance, whole
from .._component import AbstractComponent
from .._keys import Purpose, check_key, purpose_key
from ..distribution import Densities, FokkerPlanck, Moments, moments
from ..distribution.linear import linear_langevin
from ..distribution.moments import find_template, starting_law
from ..distribution.verdict import require_declared_jumps
from ..dynamics import BAOAB, AbstractSplitting
from ..estimate import Estimate
from ..execution import Execution, check_adjoint, check_sharding, count_steps
from ..sampling import Equilibrium, Result, run_prepared
from ..sampling.initial import Start, checked_start, prepare_start
from ..system import AbstractSystem, reverse
from .objectives import AbstractObjective
from .score import scored

MOMENT_STEPS = 200  # of fourth order


class ExactMoments(AbstractComponent):
    """The exact picture of a quadratic system, for `tj.optimize(..., picture=tj.ExactMoments())`.

    `tj.moments` takes the place of the paths: no sampling error, and a loss that L-BFGS takes down
    to rounding. `time_steps` (or `dt`) of a fourth-order method, 200 when left out.
    """


class RunOptions(TypedDict, total=False):
    """The options of the runs of a training, as `tj.optimize` explains them."""

    dt: float | None
    time_steps: int | None
    batch: int | None
    initial: Any
    integrator: AbstractSplitting
    picture: ExactMoments | FokkerPlanck | None
    sharding: NamedSharding | None
    antithetic: bool
    memory: int | None


class Particles(eqx.Module):
    """A batch of paths; the noise is a function of the key."""

    start: Start
    back: Start | None  # of the reversed system, where its start is an equilibrium
    steps: int = eqx.field(static=True)
    integrator: AbstractSplitting
    adjoint: Any = None
    sharding: NamedSharding | None = eqx.field(static=True, default=None)
    scored: bool = False  # whether counts take their gradient from the density of the path
    antithetic: bool = eqx.field(static=True, default=False)
    memory: int | None = eqx.field(static=True, default=None)

    def __call__(self, system: AbstractSystem, key: PRNGKeyArray, backward=False) -> Result:
        start = self.start
        if backward:
            if self.back is None:
                raise ValueError(
                    "the reverse run starts from the equilibrium at the protocol's end: pass "
                    "initial=tj.Equilibrium(template) instead of positions"
                )
            start = self.back
        save = tuple(range(self.steps + 1)) if self.scored else None
        how = Execution(self.integrator, self.adjoint, sharding=self.sharding, memory=self.memory)
        return run_prepared(system, key, start, self.steps, how, save, states, self.antithetic)

    def counted(self, system: AbstractSystem, result: Result) -> Result:
        """The result for counts, with the score of its paths where their gradient comes from it."""
        if not self.scored:
            return result
        drawn = self.start.template is not None
        return scored(system, result, self.steps, self.integrator, drawn)


def states(time, state, ledger):
    return state


class GaussianLaw(eqx.Module):
    """The law of a quadratic system, by its moment equations."""

    steps: int = eqx.field(static=True)
    initial: Any

    def __call__(self, system: AbstractSystem, key=None, backward=False) -> Moments:
        initial = equilibrium_or_none(self.initial) if backward else self.initial
        return moments(system, 2, initial, time_steps=self.steps)

    def check(self, system: AbstractSystem, value: Estimate) -> None:
        """Run again outside of tracing where the cost is not finite, which says in words why.

        **Raises:** ValueError as `tj.moments`, which traced gives NaN where it fails.
        """
        if not np.all(np.isfinite(np.asarray(value.value))):
            self(system)


class GridLaw(eqx.Module):
    """The law on a grid, by the Fokker-Planck equation."""

    solver: FokkerPlanck
    steps: int = eqx.field(static=True)
    initial: Any

    def __call__(self, system: AbstractSystem, key=None, backward=False) -> Densities:
        initial = equilibrium_or_none(self.initial) if backward else self.initial
        return self.solver.solve(system, 2, time_steps=self.steps, initial=initial)  # pyright: ignore[reportArgumentType]  # checked before

    def check(self, system: AbstractSystem, value: Estimate) -> None:
        """Run again outside of tracing, where checks and warnings work.

        The domain was found for the protocol of the start, and the steps may be too long for the
        trained one.

        **Raises:** ValueError as `tj.FokkerPlanck`.
        """
        self(system)


def equilibrium_or_none(initial):
    """The start of a reverse run: `initial` where it is an equilibrium, else None."""
    return initial if isinstance(initial, Equilibrium) else None


class Runs:
    """A system, its forward and its reverse run: each made when an objective asks for it."""

    def __init__(self, system: AbstractSystem, picture, key: PRNGKeyArray | None):
        self.system, self.picture, self.key = system, picture, key

    @cached_property
    def forward(self) -> Result | Moments | Densities:
        """The run of the protocol as it is."""
        return self.picture(self.system, self.key)

    @cached_property
    def counted(self) -> Result | Moments | Densities:
        """The forward run for those who count paths, a cost without pathwise derivative."""
        counted = getattr(self.picture, "counted", lambda system, result: result)
        return counted(self.system, self.forward)

    @property
    def reversed_system(self) -> AbstractSystem:
        return reverse(self.system)

    @cached_property
    def reverse(self) -> Result | Moments | Densities:
        """The run of `tj.reverse(system)` from its own equilibrium, with noise of its own."""
        key = None if self.key is None else purpose_key(self.key, Purpose.REVERSE)
        return self.picture(self.reversed_system, key, backward=True)

    @property
    def diverged(self):
        """The number of paths that diverged in the runs so far; zero for a law."""
        made = [vars(self).get(name) for name in ("forward", "reverse")]
        return sum((out.diverged for out in made if isinstance(out, Result)), jnp.asarray(0))


def prepare_picture(
    system: AbstractSystem,
    key: PRNGKeyArray | None,
    *,
    picture: ExactMoments | FokkerPlanck | None = None,
    initial: Any = None,
    batch: int | None = None,
    dt: float | None = None,
    time_steps: int | None = None,
    integrator: AbstractSplitting = BAOAB(),
    sharding: NamedSharding | None = None,
    antithetic: bool = False,
    memory: int | None = None,
):
    """Check a system, and make its picture ready to run under jit: (system, picture).

    **Raises:** ValueError for arguments that the picture does not take, or lacks.
    """
    instance("integrator", integrator, AbstractSplitting, "one such as tj.BAOAB()")
    batch = None if batch is None else whole("batch", batch, cure="the number of paths")
    if picture is None:
        check_key(key)
        check_adjoint(None, memory)
        memory = None if memory is None else int(memory)
        steps = count_steps(system.protocol.duration, dt, time_steps)
        start = prepare_start(system, initial, batch)
        check_sharding(sharding, start.batch)
        if antithetic and start.batch % 2:
            raise ValueError(f"batch = {start.batch}: antithetic paths come in pairs, make it even")
        system = checked_start(system, start)
        back = None
        if initial is None or isinstance(initial, Equilibrium):
            back = prepare_start(reverse(system), Equilibrium(start.template), start.batch)
        options: Any = dict(sharding=sharding, antithetic=antithetic, memory=memory)
        return system, Particles(start, back, steps, integrator, **options)
    of_paths = dict(batch=batch, sharding=sharding, antithetic=antithetic or None, memory=memory)
    if given := [name for name, value in of_paths.items() if value is not None]:
        what = f"batch = {batch}" if given[0] == "batch" else f"{given[0]} is given"
        raise ValueError(f"{what}: a {type(picture).__name__} has a law and no paths; leave it out")
    if isinstance(picture, FokkerPlanck):
        steps = count_steps(system.protocol.duration, dt, time_steps)
        solver = picture.around(system)  # pyright: ignore[reportArgumentType]  # it says so itself
        return system, GridLaw(solver, steps, initial)
    if isinstance(picture, ExactMoments):
        time_steps = MOMENT_STEPS if dt is None and time_steps is None else time_steps
        law = GaussianLaw(count_steps(system.protocol.duration, dt, time_steps), initial)
        # Mistakes in the system are found here, where values are known.
        require_declared_jumps(system.protocol, "tj.ExactMoments")
        starting_law(linear_langevin(system, find_template(system, initial)), initial)
        return system, law
    raise ValueError(
        f"picture is a {type(picture).__name__}: expected tj.ExactMoments(), a tj.FokkerPlanck, or "
        "None for paths"
    )


def fresh_cost(
    system: AbstractSystem,
    objective: AbstractObjective,
    key: PRNGKeyArray | None,
    paths: int | None = None,
    **options: Unpack[RunOptions],
) -> Estimate:
    """The cost of a system on `paths` fresh paths: 4 batches, or as many as `initial` gives."""
    initial, batch = options.get("initial"), options.get("batch")
    if options.get("picture") is None and (initial is None or isinstance(initial, Equilibrium)):
        options["batch"] = 4 * batch if paths is None and batch is not None else paths
    system, ready = prepare_picture(system, key, **options)
    return cost_of(objective, system, ready, key)


@eqx.filter_jit
def cost_of(objective: AbstractObjective, system: AbstractSystem, picture, key) -> Estimate:
    return objective.of(Runs(system, picture, key))
