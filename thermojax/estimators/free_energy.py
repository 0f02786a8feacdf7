"""Free energy differences: from work (Jarzynski, Bennett) and from equilibrium (integration)."""

from __future__ import annotations

import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import logsumexp
from jax.typing import ArrayLike
from jaxtyping import Float, PRNGKeyArray, Shaped

from .._arguments import whole
from .._component import floating, known
from .._keys import Purpose, check_key, part_key
from .._scale import floored
from ..distribution import log_work_moment
from ..estimate import Estimate, weighted_mean
from ..protocol import AbstractProtocol, Constant
from ..sampling import Result, equilibrium_positions
from ..system import AbstractSystem, check_system
from .exponential import FreeEnergy, exponential_average, survivors
from .one_process import objection


def jarzynski(
    run: Result | Float[ArrayLike, " paths"],
    alive: Shaped[ArrayLike, " paths"] | None = None,
    *,
    system: AbstractSystem | None = None,
) -> FreeEnergy:
    r"""ln(Z_1 / Z_0) = ln <exp(log_weight)>, the nonequilibrium work theorem.

    With one temperature log_weight = -beta (total work). The error is that of the delta method,
    sd(w) / (mean(w) sqrt(n)). Warns where few paths dominate the average.

    **Arguments:** `run`, a `tj.Result` that started in equilibrium, or its `log_weight` `(paths,)`;
    `alive`, `(paths,)`, zero for the paths to leave out (those that diverged; leaving many out
    biases the result); `system`, the one that ran: where it is quadratic, whether the variance of
    the average is infinite is decided exactly (`tj.log_work_moment`), and then the error is inf.

    **Returns:** a `FreeEnergy`. **Raises:** ValueError for fewer than two paths.

    **Source:** C. Jarzynski, Phys. Rev. Lett. 78, 2690 (1997), eq. (2).
    """
    log_weight, kept = weights_of("log_weight", run, alive)
    found = exponential_average(log_weight, kept)
    if system is not None and infinite_variance(system):
        warnings.warn(
            "the variance of exp(-beta W) is infinite for this protocol (the matrix Riccati "
            "equation of its second moment loses positivity): no number of paths makes this "
            "average reliable; run slower, or use bar",
            stacklevel=2,
        )
        infinite = jnp.full_like(found.log_ratio.error, jnp.inf)
        return eqx.tree_at(lambda f: f.log_ratio.error, found, infinite)
    warn_of(found)
    return found


def weights_of(name: str, run, alive=None):
    """(log_weight, alive) of a result or an array, checked."""
    if isinstance(run, Result):
        run, alive = run.log_weight, run.ledger.alive if alive is None else alive
    log_weight = floating(run, name)
    if log_weight.ndim != 1 or log_weight.shape[0] < 2:
        raise ValueError(
            f"{name} has shape {log_weight.shape}: expected (paths,) with at least two paths"
        )
    alive = survivors(alive, log_weight)
    kept, values = known(alive), known(log_weight)
    if kept is not None and (kept != 0).sum() < 2:
        raise ValueError("alive leaves fewer than two paths: nothing can be averaged")
    if kept is not None and values is not None and not np.all(np.isfinite(values[kept != 0])):
        bad = int(np.sum(~np.isfinite(values[kept != 0])))
        raise ValueError(
            f"{name} is not finite on {bad} paths: leave diverged paths out with alive="
        )
    return log_weight, alive


def infinite_variance(system: AbstractSystem) -> bool:
    """Whether <exp(-2 beta W)> diverges; False where the system is not quadratic."""
    check_system(system)
    try:
        return bool(jnp.isinf(log_work_moment(system, 2.0)))
    except ValueError:
        return False


def warn_of(found: FreeEnergy) -> None:
    if found.doubt is not None:
        warnings.warn(found.doubt, stacklevel=3)


def bar(
    forward: Result | Float[ArrayLike, " paths"], reverse: Result | Float[ArrayLike, " paths"]
) -> FreeEnergy:
    r"""ln(Z_1 / Z_0) from runs in both directions: the estimator of least variance.

    It is the root l of

        sum_F sigma(a_i - l - M) = sum_R sigma(b_j + l + M),    M = ln(n_F / n_R),

    a and b the log weights -beta W of the forward and the reverse runs, sigma(x) = 1/(1 + e^-x).
    The error is the asymptotic one, sqrt of sum over both sides of (<f^2>/<f>^2 - 1)/n.

    **Arguments:** `forward`, the `tj.Result` of the system (or its log weights, `(paths,)`), and
    `reverse`, that of `tj.reverse(system)`, each from its own equilibrium.

    **Returns:** a `FreeEnergy` of the forward direction. Warns where the two hardly overlap; where
    they do not at all, the error is infinite.

    **Raises:** ValueError for shapes that do not fit, numbers that are not finite, or log weights
    that cannot be those of one process in its two directions (by Crooks' relation).

    **Source:** C. H. Bennett, J. Comput. Phys. 22, 245 (1976); M. R. Shirts, E. Bair, G. Hooker,
    V. S. Pande, Phys. Rev. Lett. 91, 140601 (2003), eq. (8).
    """
    a, kept_a = weights_of("forward", forward)
    b, kept_b = weights_of("reverse", reverse)
    require_one_process(a, b, kept_a, kept_b)
    found = bennett(a, b, kept_a, kept_b)
    warn_of(found)
    return found


@jax.jit
def bennett(a, b, kept_a, kept_b) -> FreeEnergy:
    """The compiled part of `bar`, in logarithms: far from overlap every share is below float32."""
    count = jnp.sum(kept_a > 0) + jnp.sum(kept_b > 0)
    # As floats of the weights: logarithms of whole numbers would be of the default dtype.
    n_a, n_b = (jnp.sum(kept > 0).astype(a.dtype) for kept in (kept_a, kept_b))
    shift = jnp.log(n_a / n_b)
    a, b = (jnp.where(k > 0, x, 0) for x, k in ((a, kept_a), (b, kept_b)))

    def shares(ratio):
        # ln sigma(x) of both sides; a path that is left out has a share of zero.
        f = jnp.where(kept_a > 0, jax.nn.log_sigmoid(a - ratio - shift), -jnp.inf)
        g = jnp.where(kept_b > 0, jax.nn.log_sigmoid(b + ratio + shift), -jnp.inf)
        return f, g

    def balance(ratio):
        f, g = shares(ratio)
        return logsumexp(f) - logsumexp(g)

    # The balance falls monotonically through its root, which lies between the extreme weights.
    ends = jnp.concatenate([a, -b])
    width = jnp.abs(shift) + jnp.log(n_a + n_b) + 1

    def halve(_, bracket):
        low, high = bracket
        middle = 0.5 * (low + high)
        above = balance(middle) > 0
        return jnp.where(above, middle, low), jnp.where(above, high, middle)

    bracket = jnp.min(ends) - width, jnp.max(ends) + width
    low, high = jax.lax.fori_loop(0, 60, halve, jax.lax.stop_gradient(bracket))
    root = jax.lax.stop_gradient(0.5 * (low + high))
    # One step of Newton polishes the root, and carries its gradient.
    slope = jax.lax.stop_gradient(jax.grad(balance)(root))
    root = root - balance(root) / jnp.where(slope == 0, -1.0, slope)
    f, g = shares(root)
    ratios = [
        jnp.exp(jnp.log(n) + logsumexp(2 * x) - 2 * logsumexp(x)) for x, n in ((f, n_a), (g, n_b))
    ]
    error = jnp.sqrt((ratios[0] - 1) / n_a + (ratios[1] - 1) / n_b)
    # sum q (1 - q), q the chance that a path with its work came forward: how many paths have come
    # where both directions go. Below one the ratios are those of single paths on either side.
    at = jnp.concatenate([a - root - shift, -(b + root + shift)])
    each = jax.nn.log_sigmoid(at) + jax.nn.log_sigmoid(-at)
    kept = jnp.concatenate([kept_a > 0, kept_b > 0])
    apart = logsumexp(jnp.where(kept, each, -jnp.inf)) < 0
    effective = jnp.where(apart, 0, (n_a + n_b) / jnp.maximum(*ratios))
    error = jnp.where(error > 0, floored(error, root), error)
    error = jnp.where(apart, jnp.inf, jnp.where(jnp.minimum(n_a, n_b) > 1, error, jnp.nan))
    return FreeEnergy(Estimate(root, error, count), effective, jnp.zeros_like(root))


def require_one_process(a, b, kept_a, kept_b) -> None:
    """**Raises:** ValueError for log weights that `objection` finds fault with."""
    values = [value for x in (a, b, kept_a, kept_b) if (value := known(x)) is not None]
    if len(values) < 4:
        return
    a, b, kept_a, kept_b = values
    if why := objection(a[kept_a != 0], b[kept_b != 0]):
        raise ValueError(
            f"{why}: pass the log_weight (-beta W) of each run in its own direction, the reverse "
            "one from tj.reverse(system)"
        )


MOST_NODES = 1000  # their places take the eigenvalues of a matrix of as many rows


def thermodynamic_integration(
    system: AbstractSystem,
    key: PRNGKeyArray,
    *,
    batch: int,
    nodes: int = 12,
    initial: Any = None,
) -> FreeEnergy:
    r"""ln(Z_1 / Z_0) from equilibria along the straight line between the protocol's outside values.

        Delta F = int_0^1 <dU/dcontrol>_s . (control_1 - control_0) ds

    by Gauss-Legendre quadrature, each average over an equilibrium of its own (drawn exactly where
    the potential can, else by burn-in). The error adds the statistical one and that of the
    quadrature, taken from the rule on every second node.

    **Arguments:** `system`, of which the outside values of the protocol, the potential and the
    temperature before the run are used; `batch`, samples per node; `nodes`, a whole number;
    `initial`, a `tj.Equilibrium(template)` where the potential needs a template.

    **Returns:** a `FreeEnergy`. **Raises:** ValueError as `tj.simulate` does for starts, and for
    fewer than four nodes.

    **Source:** J. G. Kirkwood, J. Chem. Phys. 3, 300 (1935).
    """
    check_system(system)
    check_key(key)
    batch = whole("batch", batch, 2, "an error needs two samples")
    nodes = whole("nodes", nodes, 4, "the error of the quadrature is that of every second node")
    if nodes > MOST_NODES:
        raise ValueError(
            f"nodes = {nodes}: expected at most {MOST_NODES}, and 12 are usually enough"
        )
    first, last = system.protocol.initial, system.protocol.final
    bath = system.bath
    if isinstance(bath.temperature, AbstractProtocol):
        raise ValueError("the temperature changes in time: thermodynamic_integration needs one")
    points, weights = np.polynomial.legendre.leggauss(nodes)
    points, weights = 0.5 * (points + 1), 0.5 * weights
    values, errors = [], []
    for i, s in enumerate(points):
        control = first + s * (last - first)
        here = system.replace(protocol=Constant(control, system.protocol.duration))
        x = equilibrium_positions(here, part_key(key, Purpose.NODE, i), batch, initial)

        def slope(x, control=control):
            return jax.jvp(lambda c: system.potential.energy(x, c), (control,), (last - first,))[1]

        found = weighted_mean(jax.vmap(slope)(x), jnp.ones(batch))
        values.append(found.value)
        errors.append(found.error)
    # In units of kT, where squares stay in the range of float32.
    beta = 1 / bath.temperature
    values, errors = beta * jnp.stack(values), beta * jnp.stack(errors)
    dtype = values.dtype
    coarse = interpolatory_weights(points[::2])
    full = jnp.asarray(weights, dtype) @ values
    quadrature = full - jnp.asarray(coarse, dtype) @ values[::2]
    error = jnp.hypot(jnp.linalg.norm(jnp.asarray(weights, dtype) * errors), quadrature)
    count = jnp.asarray(batch * nodes)
    return FreeEnergy(Estimate(-full, error, count), count, jnp.zeros_like(full))


def interpolatory_weights(points: np.ndarray) -> np.ndarray:
    """The weights that integrate polynomials through these points of [0, 1] exactly."""
    n = len(points)
    rows = np.polynomial.legendre.legvander(2 * points - 1, n - 1).T
    moments = np.zeros(n)
    moments[0] = 1.0  # all Legendre polynomials but the first integrate to zero
    return np.linalg.solve(rows, moments)
