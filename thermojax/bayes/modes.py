"""The modes of a posterior: where they are, what each holds, and whether samples missed one."""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from .._arguments import instance, real, whole
from .._component import pytree_of_floats, require
from .._keys import check_key
from .._tree import batch_of
from ..estimate import Estimate
from ..protocol import Constant
from ..sampling import Equilibrium, equilibrium_positions
from ..system import Bath, Overdamped
from .descent import FlatEnergy, Minimum, descend, near, settle, unsettled
from .model import Model
from .posterior import Posterior

DENSE = 512  # coordinates up to which the matrix of second derivatives is formed
MOST = 32  # modes that are told apart
ATTEMPTS = 64  # ends of descents that are looked at one by one
PROBES = 2048  # draws from the prior whose energy is looked at
CORE_DRAWS = 2048
LEAST_EFFECTIVE = 100  # of them, below which the Gaussian says nothing
SIGMAS = 4.0


class Modes(eqx.Module):
    r"""The maxima of a posterior density, the heaviest first, and the mass around each.

    With H = root root^T the second derivatives of -ln p(y|x) p(x) at a mode m, the core of the mode
    is the ellipsoid |root^T (x - m)| <= radius, which holds half of the Gaussian of precision H.

    - `position`, a pytree of `(modes, ...)`; `log_density`, `(modes,)`, ln p(y|x) p(x) there.
    - `log_mass`, `(modes,)`: Laplace's, log_density + dim/2 ln 2 pi - ln det root; nan above 512
      coordinates, where no matrix is formed.
    - `core_log_mass`, a `tj.Estimate` `(modes,)`: of the integral of p(y|x) p(x) over the core, by
      draws from the Gaussian: true whatever the shape of the mode. Its error is infinite where the
      Gaussian is too far from the density to say.
    - `root`, `(modes, dim, dim)`, or None above 512 coordinates; `radius`, of the cores.
    - `reached`, `(modes,)`: the descents that ended there. `lost`: those that ended in none.
    - `normalized`: whether the prior's normalizer is known, so that masses compare with p(y).
    """

    model: Model
    position: PyTree[Array]
    log_density: Float[Array, " modes"]
    log_mass: Float[Array, " modes"]
    core_log_mass: Estimate
    root: Float[Array, "modes dim dim"] | None
    reached: Int[Array, " modes"]
    radius: float = eqx.field(static=True)
    lost: int = eqx.field(static=True)
    normalized: bool = eqx.field(static=True)

    @property
    def count(self) -> int:
        """The number of modes."""
        return self.log_density.shape[0]

    def inside(self, position: PyTree[Array]) -> Float[Array, "n modes"]:
        """Whether positions `(n, ...)` lie in the core of each mode, `(n, modes)`."""
        if self.root is None:
            raise ValueError(f"modes of more than {DENSE} coordinates have no cores")
        x, centers = (jax.vmap(lambda y: ravel_pytree(y)[0])(p) for p in (position, self.position))
        return jnp.stack(
            [
                jnp.sum(((x - m) @ root) ** 2, axis=1) <= self.radius**2
                for m, root in zip(centers, self.root, strict=True)
            ],
            axis=1,
        )

    def missed(self, posterior: Posterior, share: float = 0.02) -> tuple[str, ...]:
        r"""What the samples of a posterior miss of these modes, in sentences; empty for nothing.

        The part of the posterior that lies in the core of a mode is exp(core_log_mass) / p(y), and
        as large must be the weight of the samples there. It is told where the two differ by more
        than `share` and by more than four standard errors, those of the evidence, of the samples
        and of the core together. Beside the evidence, and where there is none in its place, stands
        the core that holds most of the samples.

        **Arguments:** `posterior`, of the same model; `share`, a part of the posterior, in (0, 1).

        **Returns:** a tuple of sentences. It is empty above 512 coordinates as well.
        """
        instance("posterior", posterior, Posterior, "a tj.bayes.Posterior, of tj.bayes.infer")
        real("share", share, "a number in (0, 1)", lambda x: (x > 0) & (x < 1))
        if self.root is None or self.count == 0:
            return ()
        core = np.asarray(self.core_log_mass.value, float)
        error = np.asarray(self.core_log_mass.error, float)
        found = np.asarray(posterior.weights, float) @ np.asarray(
            self.inside(posterior.position), float
        )
        effective = float(posterior.effective_samples)
        best = int(np.argmax(np.where(np.isfinite(error), found, -1)))
        scales = []  # ln p(y) and its error: as found, and as the core with most samples has it
        if self.normalized:
            evidence = posterior.log_evidence
            scales.append((float(evidence.value), float(evidence.error)))
        if found[best] > 0:
            counted = math.hypot(float(error[best]), 1 / math.sqrt(effective * found[best]))
            scales.append((float(core[best] - np.log(found[best])), counted))
        told = {}
        for scale, doubt in scales:
            expected = np.exp(np.minimum(core - scale, 700.0))
            for i in range(self.count):
                p = min(max(expected[i], found[i]), 1.0)
                scatter = max(p * (1 - p), found[i] * (1 - found[i])) / effective
                sigma = math.hypot(expected[i] * math.hypot(error[i], doubt), math.sqrt(scatter))
                if not math.isfinite(sigma):
                    continue  # nothing is known of this core, or of the evidence
                if abs(expected[i] - found[i]) > max(share, SIGMAS * sigma):
                    told.setdefault(i, self.sentence(i, float(expected[i]), float(found[i])))
        return tuple(told.values())

    def sentence(self, i, expected: float, found: float) -> str:
        """The words for a core with `expected` of the posterior and `found` of the weight."""
        where = ravel_pytree(jax.tree.map(lambda x: x[i], self.position))[0]
        place = ", ".join(f"{x:.3g}" for x in where[:3]) + (", ..." if where.size > 3 else "")
        head = f"the core of the mode at [{place}] should hold {expected:.2g} of the posterior"
        if expected > 1:
            head = f"the core of the mode at [{place}] alone has {expected:.2g} times the evidence"
        tail = (
            "samples and evidence miss it: start reverse ramps or chains there as well"
            if expected > found
            else "the evidence is too high, or the samples crowd together there"
        )
        return f"{head} and holds {found:.2g} of the samples' weight: {tail}"


def modes(
    model: Model,
    key: PRNGKeyArray,
    *,
    starts: Posterior | PyTree[Array] | None = None,
    n: int = 64,
    steps: int = 200,
) -> Modes:
    r"""Search for the modes of a posterior, and measure the mass of each.

    Minimizes -ln p(y|x) p(x) by L-BFGS from all starts side by side, tells the ends apart by their
    second derivatives, and integrates the density around each. A mode whose pull no start feels, a
    needle in many dimensions, is not found by this, nor by what else begins where these do.

    **Arguments:** `n`, starts from the prior, 0 for none: half of them plain draws, half those of
    2,048 draws where the density is highest; `starts` in addition to them, positions `(k, ...)`, or
    a `tj.bayes.Posterior` of which `n` samples are taken; `steps` of every descent at most.

    **Returns:** a `tj.bayes.Modes`; `.missed(posterior)` says in words what samples miss.

    **Raises:** ValueError where there is nothing to start from. **Cost:** about two gradients for
    each start and step; one matrix of second derivatives and 2,048 energies for each mode.
    """
    model = instance("model", model, Model, "a tj.bayes.Model(prior, likelihood)")
    check_key(key)
    n, steps = whole("n", n, 0), whole("steps", steps)
    prior_key, pick_key, core_key = jax.random.split(key, 3)
    drawn = None
    if model.prior is not None and n > 0:
        system = Overdamped(model.prior, Constant(), Bath())
        start = Equilibrium(model.template)
        drawn = equilibrium_positions(system, prior_key, max(n, PROBES), start)
    if isinstance(starts, Posterior):
        starts = starts.draw(pick_key, max(n, 1))
    if drawn is None and starts is None:
        raise ValueError(
            "starts = None and there is no draw from the prior: pass starts=, positions (k, ...)"
        )
    begin = {"the prior": drawn, "starts": starts}
    rows = {name: flattened(name, x, model) for name, x in begin.items() if x is not None}
    unit = jnp.std(next(iter(rows.values())), axis=0)
    energy = FlatEnergy(model, jnp.where(unit > 0, unit, 1))
    rows = {name: x / energy.unit for name, x in rows.items()}
    if drawn is not None:
        rows["the prior"] = promising(energy, rows["the prior"], n)
    return told_apart(energy, core_key, descend(energy, jnp.concatenate([*rows.values()]), steps))


def flattened(name: str, positions: PyTree[Array], model: Model) -> Float[Array, "n dim"]:
    """Positions `(n, ...)` as rows. **Raises:** ValueError where they are not like the template."""
    positions = pytree_of_floats(positions, name)
    batch_of(positions, name)
    one = jax.tree.map(lambda x: x.shape[1:], positions)
    wanted = jax.tree.map(jnp.shape, model.template)
    if jax.tree.structure(positions) != jax.tree.structure(model.template) or one != wanted:
        raise ValueError(
            f"{name} holds positions of shape {one}: expected {wanted}, that of the model's "
            "template, behind one batch axis"
        )
    rows = jax.vmap(lambda x: ravel_pytree(x)[0])(positions)
    require(name, rows, np.isfinite, "finite numbers")
    return rows


@eqx.filter_jit
def promising(energy: FlatEnergy, z: Float[Array, "probes dim"], n: int) -> Float[Array, "n dim"]:
    """`n` of many draws: half of them as they come, half those of the lowest energy."""
    values = jax.lax.map(energy, z[n // 2 :], batch_size=64)
    order = jnp.argsort(jnp.where(jnp.isnan(values), jnp.inf, values))
    return jnp.concatenate([z[: n // 2], z[n // 2 :][order[: n - n // 2]]])


def told_apart(energy: FlatEnergy, key: PRNGKeyArray, ends: Float[Array, "n dim"]) -> Modes:
    """The modes that the ends of descents belong to, the deepest end taken first."""
    dim = ends.shape[1]
    values = np.array(jax.vmap(energy)(ends), float)
    left = np.isfinite(values)
    found: list[Minimum] = []
    reached: list[int] = []
    for _ in range(ATTEMPTS):
        if not left.any() or len(found) == MOST:
            break
        lowest = int(np.argmin(np.where(left, values, np.inf)))
        left[lowest] = False
        end = ends[lowest]
        minimum = settle(energy, end) if dim <= DENSE else unsettled(energy, end)
        if not bool(minimum.found):
            continue
        mine = left & np.asarray(near(energy, minimum.z, ends))
        left &= ~mine
        same = [bool(near(energy, other.z, minimum.z[None])[0]) for other in found]
        if any(same):  # a shoulder of the descent, whose end slid into a mode that is known
            reached[same.index(True)] += 1 + int(mine.sum())
        else:
            found.append(minimum)
            reached.append(1 + int(mine.sum()))
    return measured(energy, key, found, np.array(reached, int), len(values) - sum(reached))


def measured(
    energy: FlatEnergy, key: PRNGKeyArray, found: list[Minimum], reached: np.ndarray, lost: int
) -> Modes:
    """The masses of minima, and the heaviest first."""
    model, unit = energy.model, energy.unit
    dim, dtype = unit.size, unit.dtype
    z = jnp.stack([m.z for m in found]) if found else jnp.zeros((0, dim), dtype)
    depth = jnp.asarray([m.energy for m in found], dtype)
    free_energy = None
    if model.prior is not None:
        free_energy = model.prior.free_energy(None, 1.0, model.template)
    log_density = -depth + (0.0 if free_energy is None else free_energy)
    radius = math.sqrt(dim) * (1 - 2 / (9 * dim)) ** 1.5  # the median of chi, Wilson and Hilferty
    unknown = jnp.full(depth.shape, jnp.nan, dtype)
    log_mass, core, root = unknown, Estimate(unknown, unknown, 0), None
    if dim <= DENSE:
        roots = jnp.stack([m.root for m in found]) if found else jnp.zeros((0, dim, dim), dtype)
        log_det = jnp.sum(jnp.log(jnp.diagonal(roots, axis1=1, axis2=2)), axis=1)
        log_mass = log_density + jnp.sum(jnp.log(unit)) - log_det + dim / 2 * math.log(2 * math.pi)
        ratio = [core_ratio(energy, key, m, radius) for m in found]
        value, error = jnp.asarray(ratio, dtype).reshape(-1, 2).T
        core = Estimate(log_mass + value, error, CORE_DRAWS)
        root = roots / unit[:, None]
    order = jnp.argsort(-jnp.where(jnp.isnan(log_mass), log_density, log_mass))
    taken = lambda tree: jax.tree.map(lambda x: x[order] if jnp.ndim(x) else x, tree)
    position = jax.vmap(energy.position)(z)
    return Modes(
        model=model,
        position=taken(position),
        log_density=taken(log_density),
        log_mass=taken(log_mass),
        core_log_mass=taken(core),
        root=taken(root),
        reached=taken(jnp.asarray(reached)),
        radius=radius,
        lost=lost,
        normalized=free_energy is not None,
    )


@eqx.filter_jit
def core_ratio(energy: FlatEnergy, key: PRNGKeyArray, minimum: Minimum, radius: float):
    """ln of the mass of the core over the mass of the whole Gaussian, and its error, `(2,)`.

    The mean of w = exp(energy(m) - energy(x) + |y|^2 / 2) over the draws y of the Gaussian, zero
    outside of the core.
    """
    y = jax.random.normal(key, (CORE_DRAWS, minimum.z.size), minimum.z.dtype)
    solve = jax.scipy.linalg.solve_triangular
    z = minimum.z + solve(minimum.root, y.T, lower=True, trans=1).T
    square = jnp.sum(y**2, axis=1)
    log_w = minimum.energy - jax.lax.map(energy, z, batch_size=64) + square / 2
    log_w = jnp.where((square <= radius**2) & jnp.isfinite(log_w), log_w, -jnp.inf)
    top = jnp.max(log_w)
    w = jnp.exp(log_w - top)
    mean = jnp.mean(w)
    error = jnp.std(w) / mean / math.sqrt(CORE_DRAWS)
    trusted = CORE_DRAWS * mean**2 / jnp.mean(w**2) > LEAST_EFFECTIVE
    return jnp.stack([top + jnp.log(mean), jnp.where(trusted, error, jnp.inf)])
