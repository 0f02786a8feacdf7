"""Tests of the fluctuation theorems on works, each with a p-value.

Used as a namespace: `tj.fluctuation.integral`, `.crooks`, `.detailed`. Works are reduced, beta W,
and TOTAL (shadow work included: -log_weight of a `tj.Result` with one bath temperature), each from
paths that start in equilibrium. A p-value below 1e-3 or so says that something is wrong: the
dynamics, the bookkeeping, the start, or the free energy that went in.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from .._arguments import exceeds, real, whole
from .._component import floating, known
from .._repr import with_numbers
from .._scale import centered, floored
from ..estimate import Estimate
from .exponential import exponential_average, survivors

FEWEST = 10  # paths in each direction
IN_EACH_BIN = 10  # the least variance of a bin's count of forward paths


class IntegralTheorem(eqx.Module):
    r"""<exp(-beta (W - Delta F))> = 1 put to the test; each entry a scalar.

    `average`: the left side; `z`: its distance from one in standard errors; `p_value`: the chance
    of one as large, two-sided; `effective_samples`: how many paths carry the average. Below
    about 30 of them, errors and p-values mean little.
    """

    average: Estimate
    z: Float[Array, ""]
    p_value: Float[Array, ""]
    effective_samples: Float[Array, ""]

    __pdoc__ = with_numbers

    def __str__(self):
        if known(self.p_value) is None:
            return repr(self)
        few = exceeds(30, self.effective_samples)
        doubt = f", but only {float(self.effective_samples):.1f} effective paths" if few else ""
        return f"<exp(-beta (W - dF))> = {self.average}, expected 1: {verdict(self.p_value)}{doubt}"


def integral(
    log_weight: Float[ArrayLike, " paths"],
    log_ratio: Estimate | Float[ArrayLike, ""],
    alive: Shaped[ArrayLike, " paths"] | None = None,
) -> IntegralTheorem:
    r"""The integral fluctuation theorem, <exp(log_weight - log_ratio)> = 1.

    **Arguments:** `log_weight`, `(paths,)`, -beta W, the `log_weight` of a `tj.Result`;
    `log_ratio`, ln(Z_1/Z_0) = -beta Delta F, a scalar known from elsewhere, or an `Estimate` from
    OTHER paths, whose error then counts (the jarzynski estimate of the same paths makes it 1
    whatever they are); 0 where `log_weight` is minus the total entropy production. `alive`,
    `(paths,)`, zero for the paths to leave out.

    **Returns:** an `IntegralTheorem`. **Raises:** ValueError for too few paths, or NaN.

    **Source:** C. Jarzynski, PRL 78, 2690 (1997); U. Seifert, PRL 95, 040602 (2005).
    """
    log_weight = floating(log_weight, "log_weight")
    kept = survivors(alive, log_weight)
    if (left := known(kept)) is not None and left.ndim == 1 and left.sum() < FEWEST:
        raise ValueError(
            f"{int(left.sum())} paths are kept of log_weight: expected {FEWEST} paths or more"
        )
    log_weight = checked_works("log_weight", jnp.where(kept > 0, log_weight, 0))
    found = exponential_average(log_weight, kept)
    value, error = found.log_ratio.value, found.log_ratio.error
    given = log_ratio
    if not isinstance(given, Estimate):
        given = Estimate(floating(log_ratio, "log_ratio"), 0.0, 0)
    if jnp.shape(given.value) != ():
        raise ValueError(f"log_ratio has shape {jnp.shape(given.value)}: expected one number")
    # Works that do not fluctuate still carry their rounding.
    rounding = 4 * jnp.finfo(log_weight.dtype).eps * (1 + jnp.abs(value))
    relative = jnp.sqrt(error**2 + rounding**2 + jnp.asarray(given.error, log_weight.dtype) ** 2)
    # Through the logarithm, so that an average beyond the largest float still has a finite z.
    excess = value - given.value
    z = -jnp.expm1(-excess) / relative
    average = Estimate(jnp.exp(excess), jnp.exp(excess) * relative, found.log_ratio.count)
    return IntegralTheorem(average, z, two_sided(z), found.effective_samples)


class CrooksTheorem(eqx.Module):
    r"""ln [P_F(W) / P_R(-W)] = slope (beta W - crossing), fitted; each entry a scalar.

    `slope`: one if the theorem holds; `crossing`: where the two densities meet, beta Delta F if it
    holds; `z`, `p_value`: of slope = 1, two-sided.
    """

    slope: Estimate
    crossing: Estimate
    z: Float[Array, ""]
    p_value: Float[Array, ""]

    __pdoc__ = with_numbers

    def __str__(self):
        if known(self.p_value) is None:
            return repr(self)
        return (
            f"Crooks slope {self.slope}, expected 1: {verdict(self.p_value)}; "
            f"the works cross at beta W = {self.crossing}"
        )


def crooks(
    forward: Float[ArrayLike, " forward"], reverse: Float[ArrayLike, " reverse"]
) -> CrooksTheorem:
    r"""Crooks' theorem, ln [P_F(W) / P_R(-W)] = beta (W - Delta F), without histograms.

    Among all works, W of the forward and -W of the reverse paths, the chance of a forward one is
    logistic, 1/(1 + exp(-ln(n_F/n_R) - slope (beta W - crossing))), for ANY distribution of work;
    slope and crossing are its maximum likelihood. With the slope held at 1 this is Bennett's
    acceptance ratio. Errors are those of Fisher's information, less 1/n_F + 1/n_R in the intercept
    for the numbers of paths that were set beforehand (Prentice & Pyke, Biometrika 66, 403 (1979)).

    **Arguments:** `forward`, `(n_F,)`: beta W; `reverse`, `(n_R,)`: beta times the work done ON
    the system in the reverse process (`tj.reverse(system)`), of the same sign convention. Leave
    diverged paths out.

    **Returns:** a `CrooksTheorem`. **Cost:** O(n_F + n_R) for each of about ten iterations.

    **Raises:** ValueError for too few paths, NaN, works that do not overlap (no finite slope), or
    means that the second law forbids (a sign is wrong in one direction).

    **Source:** G. E. Crooks, PRE 60, 2721 (1999); M. R. Shirts, E. Bair, G. Hooker, V. S. Pande,
    PRL 91, 140601 (2003).
    """
    forward, reverse = directions(forward, reverse)
    if overlap(forward, -reverse) is False:
        raise ValueError(
            "forward and -reverse works do not overlap (or do not vary): no finite slope is the "
            "likeliest; drive more slowly, or use more paths"
        )
    return fitted_crooks(forward, reverse)


@jax.jit
def fitted_crooks(forward, reverse) -> CrooksTheorem:
    center, width = location(forward, reverse)
    w, labels, offset = both_directions(forward, reverse)
    design = jnp.stack([jnp.ones_like(w), (w - center) / width], axis=1)
    (intercept, slope), information = logistic_fit(design, labels, offset)
    covariance = jnp.linalg.inv(information)
    covariance = covariance.at[0, 0].add(-sizes_variance(forward.shape[0], reverse.shape[0]))
    # P_F/P_R = exp(intercept + slope (W - center)/width), so W crosses at center + width * shift.
    shift = -intercept / slope
    jacobian = jnp.stack([-1 / slope, intercept / slope**2])
    shift_error = jnp.sqrt(jnp.maximum(jacobian @ covariance @ jacobian, 0))
    n = w.shape[0]
    slope_error = jnp.sqrt(covariance[1, 1]) / width
    z = (slope / width - 1) / slope_error
    crossing, error = center + width * shift, width * shift_error
    return CrooksTheorem(
        Estimate(slope / width, slope_error, n),
        Estimate(crossing, jnp.where(error > 0, floored(error, crossing), error), n),
        z,
        two_sided(z),
    )


class DetailedTheorem(eqx.Module):
    r"""ln [P_F / P_R] over bins of work against what the detailed theorem says for each bin.

    `work`, `(bins,)`: the mean beta W of a bin; `log_ratio`, `(bins,)`: ln of the share of forward
    over that of reverse paths, with errors (infinite where a bin holds one kind only);
    `expected`, `(bins,)`: the same by the theorem, at the works that are in the bin; `z`,
    `(bins,)`: the deviation of the forward count in standard errors. `free_energy`, a scalar:
    the beta Delta F used. `chi_square`, `degrees`, `p_value`, scalars: all bins together.
    """

    work: Float[Array, " bins"]
    log_ratio: Estimate
    expected: Float[Array, " bins"]
    z: Float[Array, " bins"]
    free_energy: Estimate
    chi_square: Float[Array, ""]
    degrees: int
    p_value: Float[Array, ""]

    __pdoc__ = with_numbers

    def __str__(self):
        if known(self.p_value) is None:
            return repr(self)
        return (
            f"detailed theorem over {self.work.shape[0]} bins with beta dF = {self.free_energy}: "
            f"chi^2 = {float(self.chi_square):.1f} for {self.degrees} degrees of freedom, "
            f"{verdict(self.p_value)}"
        )


def detailed(
    forward: Float[ArrayLike, " forward"],
    reverse: Float[ArrayLike, " reverse"],
    *,
    bins: int = 20,
    log_ratio: Float[ArrayLike, ""] | None = None,
) -> DetailedTheorem:
    r"""The detailed theorem P_F(W) / P_R(-W) = exp(beta (W - Delta F)), bin by bin.

    In each bin the count of forward paths is compared with the sum over all works in the bin of
    the chance q(W) = 1/(1 + (n_R/n_F) exp(beta Delta F - beta W)) that they came forward, of
    variance v = sum q (1 - q). Nothing depends on the width of a bin. Bins are adaptive: all have
    the same v, at least 10, so that there are fewer of them where there is less overlap.

    **Arguments:** `forward`, `(n_F,)`, and `reverse`, `(n_R,)`, as for `crooks`; `bins`, at most
    so many; `log_ratio`, ln(Z_1/Z_0) = -beta Delta F, a scalar, where it is known; else Delta F is
    fitted (Bennett's acceptance ratio), which takes one degree of freedom.

    **Returns:** a `DetailedTheorem`. Not for use under jit: the number of bins depends on values.

    **Raises:** ValueError for too few paths, NaN, an overlap too small for two bins, or means that
    the second law forbids (a sign is wrong in one direction).

    **Source:** G. E. Crooks, PRE 60, 2721 (1999); the statistic is that of D. W. Hosmer, S.
    Lemeshow, Commun. Stat. A 9, 1043 (1980), with the exact covariance for fixed n_F and n_R.
    """
    forward, reverse = checked_works("forward", forward), checked_works("reverse", reverse)
    if known(forward) is None or known(reverse) is None:
        raise ValueError("detailed chooses its bins by the values: call it outside of jit and vmap")
    bins = whole("bins", bins, 2)
    forward, reverse = directions(forward, reverse)
    if log_ratio is None:
        free_energy = fitted_bar(forward, reverse)
    else:
        given = real("log_ratio", log_ratio, "one finite number")
        free_energy = Estimate(-floating(given), 0.0, forward.shape[0] + reverse.shape[0])
    w, labels, chance = sorted_chances(forward, reverse, free_energy.value)
    # Works that are far apart have no likeliest free energy, and no chances.
    overlapping = float(jnp.sum(jnp.nan_to_num(chance * (1 - chance))))
    count = min(bins, int(overlapping / IN_EACH_BIN))
    if count < 2:
        raise ValueError(
            f"forward and -reverse works overlap in no more than {overlapping:.2g} paths: expected "
            f"{2 * IN_EACH_BIN} or more for two bins; drive more slowly, or use more paths"
        )
    sizes = forward.shape[0], reverse.shape[0]
    return binned(w, labels, chance, free_energy, sizes, count, log_ratio is None)


@jax.jit
def fitted_bar(forward, reverse) -> Estimate:
    """beta Delta F by Bennett's acceptance ratio: the crossing with a slope of one."""
    center, _ = location(forward, reverse)
    w, labels, offset = both_directions(forward, reverse)
    # The slope of one is part of the offset: the intercept alone is fitted.
    (intercept,), information = logistic_fit(
        jnp.ones_like(w)[:, None], labels, offset + (w - center)
    )
    variance = 1 / information[0, 0] - sizes_variance(forward.shape[0], reverse.shape[0])
    value, error = center - intercept, jnp.sqrt(jnp.maximum(variance, 0))
    return Estimate(value, jnp.where(error > 0, floored(error, value), error), w.shape[0])


@jax.jit
def sorted_chances(forward, reverse, free_energy):
    """All works in order, which came forward, and the chance that each did."""
    w, labels, offset = both_directions(forward, reverse)
    order = jnp.argsort(w)
    return w[order], labels[order], jax.nn.sigmoid(offset + (w[order] - free_energy))


@eqx.filter_jit
def binned(w, labels, chance, free_energy, sizes, count: int, fitted: bool) -> DetailedTheorem:
    """The test over `count` bins of equal variance."""
    fixed = sizes_variance(*sizes)
    spread = jnp.cumsum(chance * (1 - chance))
    number = jnp.clip((spread / spread[-1] * count).astype(int), 0, count - 1)
    total = lambda values: jnp.zeros(count, w.dtype).at[number].add(values)
    paths, ahead = total(jnp.ones_like(w)), total(labels)
    expected, v = total(chance), total(chance * (1 - chance))
    deviation = ahead - expected
    chi_square = jnp.sum(deviation**2 / v)
    # Counts have the covariance diag(v) - v v^T (1/n_F + 1/n_R). A fit makes their sum zero and
    # removes the second term; else that enters with its inverse (Sherman-Morrison). Where forward
    # and -reverse works are spread alike, the sum cannot vary, and says nothing.
    free = 1 - fixed * jnp.sum(v)
    if not fitted:
        chi_square += jnp.where(free > 1e-6, fixed * jnp.sum(deviation) ** 2 / free, 0)
    degrees = count - fitted
    log_ratio = lambda f, r: jnp.log(f / sizes[0]) - jnp.log(r / sizes[1])
    error = jnp.sqrt(1 / ahead + 1 / (paths - ahead))
    return DetailedTheorem(
        free_energy.value + total(w - free_energy.value) / paths,
        Estimate(log_ratio(ahead, paths - ahead), error, paths),
        log_ratio(expected, paths - expected),
        deviation / jnp.sqrt(v),
        free_energy,
        chi_square,
        degrees,
        jax.scipy.special.gammaincc(degrees / 2, chi_square / 2),
    )


@jax.jit
def logistic_fit(
    design: Float[Array, "n k"], labels: Float[Array, " n"], offset: Float[Array, " n"]
) -> tuple[Float[Array, " k"], Float[Array, "k k"]]:
    """The parameters, `(k,)`, that make the labels likeliest, and Fisher's information, `(k, k)`.

    Newton's method with the best of six step lengths; the likelihood is concave.
    """

    def likelihood(theta):
        # ln p = -softplus(-x) for a label of 1, -softplus(x) for 0
        return -jnp.sum(jax.nn.softplus((1 - 2 * labels) * (design @ theta + offset)))

    def slope_and_information(theta):
        chance = jax.nn.sigmoid(design @ theta + offset)
        slope = design.T @ (labels - chance)
        return slope, (design.T * (chance * (1 - chance))) @ design

    lengths = 0.25 ** jnp.arange(6.0, dtype=design.dtype)

    def improve(state):
        theta, _, rounds = state
        slope, information = slope_and_information(theta)
        step = jnp.linalg.solve(information, slope)
        tried = theta + lengths[:, None] * step
        values = jnp.nan_to_num(jax.lax.map(likelihood, tried), nan=-jnp.inf)
        return tried[jnp.argmax(values)], slope @ step, rounds + 1

    def going_on(state):
        # Half the decrement is what the log-likelihood can still gain.
        return (state[1] > 100 * jnp.finfo(design.dtype).eps) & (state[2] < 50)

    start = (jnp.zeros(design.shape[1], design.dtype), jnp.asarray(jnp.inf, design.dtype), 0)
    theta, _, _ = jax.lax.while_loop(going_on, improve, start)
    return theta, slope_and_information(theta)[1]


def checked_works(name: str, values):
    """Works as floats, `(paths,)`, enough of them and finite."""
    values = floating(values, name)
    if values.ndim != 1 or values.shape[0] < FEWEST:
        raise ValueError(
            f"{name} has shape {values.shape}: expected (paths,) with {FEWEST} paths or more"
        )
    array = known(values)
    if array is not None and not np.all(np.isfinite(array)):
        raise ValueError(
            f"{name} holds {np.sum(~np.isfinite(array))} values that are not finite: leave "
            "diverged paths out, values[alive == 1]"
        )
    return values


def directions(forward, reverse):
    """Both sets of works, checked against the second law <W_F> + <W_R> >= 0."""
    forward, reverse = checked_works("forward", forward), checked_works("reverse", reverse)
    dtype = jnp.result_type(forward, reverse)
    forward, reverse = forward.astype(dtype), reverse.astype(dtype)
    (f, mean_f), (r, mean_r) = centered(forward, 0), centered(reverse, 0)
    error = jnp.sqrt(jnp.mean(f**2) / forward.shape[0] + jnp.mean(r**2) / reverse.shape[0])
    total = Estimate(mean_f[0] + mean_r[0], error, 0)
    # Rounding of works that do not fluctuate is no breach of the second law.
    size = jnp.mean(jnp.abs(forward)) + jnp.mean(jnp.abs(reverse))
    if (below := known(total.value + 6 * error + 1e-6 * size)) is not None and below < 0:
        raise ValueError(
            f"the mean works of forward and reverse paths sum to {total}: the second law forbids a "
            "negative sum; pass beta times the work done ON the system in both (-log_weight)"
        )
    return forward, reverse


def both_directions(forward, reverse):
    """All works on the forward axis, which of them are forward (1.0), and ln(n_F/n_R)."""
    labels = jnp.concatenate([jnp.ones_like(forward), jnp.zeros_like(reverse)])
    offset = jnp.full_like(labels, np.log(forward.shape[0] / reverse.shape[0]))
    return jnp.concatenate([forward, -reverse]), labels, offset


def sizes_variance(forward: int, reverse: int) -> float:
    return 1 / forward + 1 / reverse


def location(forward, reverse):
    """A point between the two sets of works, and their width: the units of the fit."""
    center = 0.5 * (centered(forward, 0)[1] - centered(reverse, 0)[1])[0]
    width = jnp.sqrt(0.5 * (jnp.mean((forward - center) ** 2) + jnp.mean((reverse + center) ** 2)))
    return center, jnp.where(width > 0, width, 1)


def overlap(a, b) -> bool | None:
    """Whether two sets of numbers interlace; None while they are being traced."""
    a, b = known(a), known(b)
    if a is None or b is None:
        return None
    return bool(a.min() < b.max() and b.min() < a.max())


def two_sided(z):
    """The chance of a standard normal number beyond +-z."""
    return jax.scipy.special.erfc(jnp.abs(z) / np.sqrt(2))


def verdict(p_value) -> str:
    p = float(p_value)
    if not np.isfinite(p):
        return "undecided, p is not finite"
    return f"{'holds' if p >= 1e-3 else 'VIOLATED'} (p = {p:.2g})"
