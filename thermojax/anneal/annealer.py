"""The annealer: a short driven run from a base to a target, every number of which can train."""

from __future__ import annotations

import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._arguments import choice, exceeds, instance, real, whole
from .._component import (
    Positive,
    floating,
    known,
    positive,
    pytree_of_floats,
    require,
)
from .._keys import Purpose, check_key, purpose_key
from .._tree import batch_of, cast, dtype_of, leaf_shapes
from ..dynamics import OBABO, AbstractSplitting
from ..potential import AbstractPotential
from ..sampling import State, simulate
from ..sampling.burn_in import COARSE
from ..sampling.resolution import typical
from ..system import reverse
from .annealed import Annealed, AnnealedBack
from .base import AbstractBase, base_of
from .drive import AbstractDrive
from .energy import batched_position, check_target, terms_and_template
from .objectives import LOSSES
from .process import AbstractAnnealer, forward_paths, kinetic_energy, log_weights, momenta
from .resampling import run_resampled
from .schedule import Schedule


class Annealer(AbstractAnnealer):
    r"""K steps of underdamped Langevin dynamics from a base to a target, as a loss.

    The mean of the log weights log w = -(W + W_shadow + W_drive) is a lower bound of ln Z, which
    falls short of it by the dissipated work: to train an annealer is to waste less.

        annealer = tj.anneal.Annealer(None, logdensity_fn, steps=8, template=jnp.zeros(10))
        loss, slopes = eqx.filter_value_and_grad(lambda a: a.loss(key, 64))(annealer)

    Paths start in the base, with momenta of their own, and see at the grid points k = 0..K the
    forces of `Schedule`; weights are exact at any step. Temperature is 1.

    **Arguments:**

    - `base`: None for a standard normal, a `tj.anneal.DiagonalBase`, a `DenseBase`, or a
      distribution with `log_prob` and `sample`.
    - `target`: a potential, a log density `fn(x)`, a `tj.bayes.Model` (of NumPyro, too), or a
      distribution with `log_prob`; unnormalized. A list of them is their product, and each has a
      schedule of its own.
    - `steps`: K. `template`: ONE position, where the target does not know its shape.
    - `dt`, `rate`: time step and friction / mass where training starts, a number or `(steps,)`, in
      the base's coordinates, whose standard deviations are 1. Friction begins low, so that paths
      learn to move by their momenta: begun at 1 they stay in a worse optimum.
    - `mass`: a number or `(dim,)`. `drive`: a `tj.anneal.LinearDrive`, a `NetworkDrive`, or None.
    - `integrator`: `tj.OBABO()` or `tj.BAOAB()`.

    Trained are the base, couplings, sizes, friction, masses and the drive (`split`).

    **Raises:** ValueError, in one sentence with the cure, for parts that do not fit.
    **Cost:** K + 1 gradients of the target per path, and its energy at the end once more; with the
    derivative about three times that, memory O(sqrt(K)).

    **Source:** C. Jarzynski, PRL 78, 2690 (1997); R. M. Neal, Stat. Comput. 11, 125 (2001);
    T. Geffner, J. Domke, NeurIPS 2021, arXiv:2107.04150; F. Vargas et al., ICLR 2024,
    arXiv:2307.01050.
    """

    base: AbstractBase
    terms: tuple[AbstractPotential, ...]
    schedule: Schedule
    log_mass: Float[Array, " dim"]
    drive: AbstractDrive | None
    template: PyTree[Array]
    integrator: AbstractSplitting

    def __init__(
        self,
        base: Any,
        target: Any,
        *,
        steps: int,
        template: PyTree[Array] | None = None,
        dt: Positive = 0.3,
        rate: Positive = 0.05,
        mass: Positive = 1.0,
        drive: AbstractDrive | None = None,
        integrator: AbstractSplitting = OBABO(),
    ):
        fallback = jnp.zeros(base.dim) if isinstance(base, AbstractBase) else None
        terms, self.template = terms_and_template(target, template, fallback)
        dtype = dtype_of(self.template, "template")
        dim = sum(leaf.size for leaf in jax.tree.leaves(self.template))
        self.terms, self.base = cast((terms, base_of(base, dim)), dtype)
        self.schedule = cast(Schedule(steps, len(terms), dt, rate), dtype)
        mass = floating(mass, "mass")
        require("mass", mass, positive, "positive numbers")
        if mass.shape not in ((), (dim,)):
            raise ValueError(f"mass has shape {mass.shape}: expected one number, or ({dim},)")
        self.log_mass = jnp.log(jnp.broadcast_to(mass, (dim,))).astype(dtype)
        if drive is not None:
            instance("drive", drive, AbstractDrive, "a tj.anneal.LinearDrive(dim), or None")
        self.drive = cast(drive, dtype)
        kinds = "tj.OBABO() or tj.BAOAB()"
        self.integrator = instance("integrator", integrator, AbstractSplitting, kinds)
        check_shapes(self)

    def run(self, key: PRNGKeyArray, batch: int, *, resample: float | None = None) -> Annealed:
        """A batch of paths from the base to the target; warns of any that diverge.

        **Arguments:** `key`, a typed key; `batch`, paths; `resample`, in (0, 1]: three times on the
        way, paths are drawn anew by their weights where fewer than this share of them carry the
        average. Their mean weight stays right, their parts of work are those of their ancestors,
        and paths are then no longer independent, so that errors are nan.

        **Returns:** an `Annealed`. **Raises:** ValueError for arguments of another kind.
        """
        check_key(key)
        batch = whole("batch", batch)
        if resample is None:
            out = run_forward(self, key, batch)
        else:
            share = "a share in (0, 1], or None"
            real("resample", resample, share, lambda x: (x > 0) & (x <= 1))
            out = run_resampled(self, key, batch, resample)
        warn_of(out)
        return out

    def reverse(self, key: PRNGKeyArray, samples: PyTree[Array]) -> AnnealedBack:
        """Paths from samples of the target back to the base: the upper bound of ln Z.

        **Arguments:** `samples`, positions of the target `(batch, ...)`, drawn independently of the
        training. **Returns:** an `AnnealedBack`. **Raises:** ValueError for other shapes than the
        target's.
        """
        check_key(key)
        samples = pytree_of_floats(samples, "samples")
        batch_of(samples, "samples")
        found = leaf_shapes(jax.tree.map(lambda x: x[0], samples))
        if found != leaf_shapes(self.template):
            raise ValueError(
                f"samples have the shape {found} each: expected {leaf_shapes(self.template)}, that "
                "of the target's positions, behind a batch axis"
            )
        out = run_backward(self, key, samples)
        warn_of(out)
        return out

    def loss(self, key: PRNGKeyArray, batch: int, objective: str = "elbo") -> Float[Array, ""]:
        r"""A scalar to minimize, for a training loop of one's own.

        - `"elbo"`: -<log w>, differentiated along the paths.
        - `"detached"`: the same value and the same mean gradient, without the part of it whose mean
          is zero (the score of the forward path's density): less noise near the optimum.
        - `"log_variance"`: the variance of log w on paths that are held fixed; zero where the paths
          there and back have one law. No gradient runs along the path.

        Diverged paths are left out. **Raises:** ValueError for another objective, or the last two
        with another integrator than `tj.OBABO()`, whose step has a density.

        **Source:** G. Roeder, Y. Wu, D. Duvenaud, NeurIPS 2017; L. Richter, J. Berner,
        ICLR 2024, arXiv:2307.01198.
        """
        check_key(key)
        choice("objective", objective, tuple(LOSSES))
        check_density(self, objective)
        return loss_of(self, key, whole("batch", batch), objective)[0]

    def split(self) -> tuple[Any, Any]:
        """(what trains, the rest), as `eqx.partition` returns them; `eqx.combine` joins them."""
        mask = jax.tree.map(lambda _: False, self)
        whole_parts = lambda a: [a.schedule, a.log_mass, a.drive]
        fields = lambda a: [getattr(a.base, name) for name in a.base.trainable()]
        floats = jax.tree.map(eqx.is_inexact_array, self)
        for parts in (whole_parts, fields):
            mask = eqx.tree_at(parts, mask, replace=parts(floats), is_leaf=lambda x: x is None)
        return eqx.partition(self, mask)

    def replace(self, *, base: Any = None, target: Any = None) -> Annealer:
        """This annealer with another base or target of the same shape: that of a datum, say.

        **Raises:** ValueError for other shapes.
        """
        new, dtype = self, self.log_mass.dtype
        if base is not None:
            new = with_fields(new, base=cast(base_of(base, self.base.dim), dtype))
        if target is not None:
            terms = terms_and_template(target, self.template)[0]
            new = with_fields(new, terms=cast(terms, dtype))
        check_shapes(new)
        return new


def with_fields(annealer: Annealer, **fields) -> Annealer:
    """A copy with other fields: the constructor takes other arguments than there are fields."""
    names = list(fields)
    where = lambda a: [getattr(a, name) for name in names]
    return eqx.tree_at(where, annealer, [fields[name] for name in names])


def check_shapes(annealer: Annealer) -> None:
    """**Raises:** ValueError where target or drive do not take the base's positions."""
    z = check_target(annealer.ramp, annealer.log_mass.dtype)
    if annealer.drive is None:
        return
    try:
        forces = jax.eval_shape(annealer.drive, z, jax.ShapeDtypeStruct((), z.dtype))
    except TypeError as error:
        raise ValueError(
            f"the drive does not take the {z.shape[0]} coordinates of the template ({error}): make "
            "both of one number"
        ) from error
    shapes = [getattr(force, "shape", None) for force in jax.tree.leaves(forces)]
    if shapes != [z.shape, z.shape]:
        raise ValueError(
            f"the drive returns the shapes {shapes}: expected two forces, closing and opening, of "
            f"the shape {z.shape}"
        )


def check_density(annealer: Annealer, objective: str) -> None:
    """**Raises:** ValueError for a loss that asks for the density of a step that has none."""
    if objective != "elbo" and not isinstance(annealer.integrator, OBABO):
        raise ValueError(
            f"objective = {objective!r} needs the density of a step, which "
            f"{type(annealer.integrator).__name__} does not have: pass integrator=tj.OBABO()"
        )


def warn_of(out: Annealed | AnnealedBack) -> None:
    """Say in words which paths are lost, and where energies are too large for their dtype."""
    alive, weights = known(out.alive), known(out.log_weights)
    if alive is None or weights is None or alive.ndim != 1:
        return
    if lost := int(np.sum(alive == 0)):
        warnings.warn(
            f"{lost} of {alive.size} paths diverged and weigh nothing: take a smaller dt, or look "
            "whether the target is bounded below",
            stacklevel=3,
        )
    size, unit = typical(weights), float(np.finfo(weights.dtype).eps)
    if exceeds(size * unit, COARSE):
        warnings.warn(
            f"log weights of {size:.1e} are rounded to {size * unit:.2g} in {weights.dtype}, and "
            "so is all that follows from them: subtract a constant from the target, or use float64 "
            "(jax.config.update('jax_enable_x64', True), and a template of that dtype)",
            stacklevel=3,
        )


@eqx.filter_jit
def run_forward(annealer: Annealer, key: PRNGKeyArray, batch: int) -> Annealed:
    start, out = forward_paths(annealer, key, batch)
    alive = out.ledger.alive
    weights = jnp.where(alive > 0, log_weights(annealer, start, out), -jnp.inf)
    ledger = out.ledger
    samples = batched_position(annealer.ramp, out.position)
    return Annealed(samples, weights, ledger.work, ledger.shadow_work, ledger.drive_work, alive)


@eqx.filter_jit
def run_backward(annealer: Annealer, key: PRNGKeyArray, samples) -> AnnealedBack:
    key = purpose_key(key, Purpose.REVERSE)  # for a call with the key of the way there
    z = jax.vmap(annealer.ramp.coordinates)(samples).astype(annealer.log_mass.dtype)
    start = State(z, momenta(annealer, key, len(z)), "underdamped")
    dt = annealer.schedule.values().dt[::-1]
    system = reverse(annealer.system())
    out = simulate(system, key, dt=dt, initial=start, integrator=annealer.integrator)
    begin = jax.vmap(annealer.ramp.target)(z) + kinetic_energy(annealer, start.momentum)
    end = jax.vmap(annealer.base.energy)(out.position) + kinetic_energy(annealer, out.momentum)
    weights = end - begin + out.ledger.bath_entropy
    alive = out.ledger.alive
    return AnnealedBack(jnp.where(alive > 0, weights, -jnp.inf), alive)


@eqx.filter_jit
def loss_of(annealer: Annealer, key: PRNGKeyArray, batch: int, objective: str):
    """(the loss, (log weights, alive)), the last two without a derivative."""
    return LOSSES[objective](annealer, key, batch)
