"""A box of equal cells in one or two dimensions, and where it must reach."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._component import known
from ..potential import AbstractPotential

REACH = 36.0  # kT above the minimum: exp(-36) = 2e-16 of the highest density
COARSEST = 1.0  # kT between neighboring cells, on the average
ALONE = 0.45  # the share of three neighboring cells that the middle one holds, on the average
LEAK = 1e-8  # the share of an equilibrium that bounds may cut off without a word
FARTHEST = 112  # the scan for the scale of a domain goes from 2^-112 to 2^112
SCAN = np.arange(-20, 11)  # and that for the domain from 2^-20 to 2^10 of this scale
OUTWARD = {1: 96, 2: 32}  # points beyond each bound that look for mass outside


class Grid(eqx.Module):
    """Equal cells between `lower` and `upper`, `(dim,)` each, dim 1 or 2.

    Densities and energies on it have the shape `cells`. A sample has the shape `sample`: `()`,
    `(1,)` or `(2,)`, what the potential takes.
    """

    lower: Float[Array, " dim"]
    upper: Float[Array, " dim"]
    cells: tuple[int, ...] = eqx.field(static=True)
    sample: tuple[int, ...] = eqx.field(static=True)

    @property
    def dim(self) -> int:
        return len(self.cells)

    @property
    def widths(self) -> Float[Array, " dim"]:
        return (self.upper - self.lower) / np.array(self.cells, self.lower.dtype)

    @property
    def volume(self) -> Float[Array, ""]:
        return jnp.prod(self.widths)

    @property
    def axes(self) -> list[Float[Array, " cells"]]:
        """The cell centres along each direction."""
        width = self.upper - self.lower
        return [
            self.lower[i] + width[i] * ((np.arange(n) + 0.5) / n).astype(self.lower.dtype)
            for i, n in enumerate(self.cells)
        ]

    def known_axes(self) -> list[np.ndarray]:
        """The cell centres along each direction as numpy, also while tracing."""
        with jax.ensure_compile_time_eval():
            return [np.asarray(x) for x in self.axes]

    @property
    def samples(self) -> Float[Array, "*cells *sample"]:
        """Every cell centre as one sample of the potential."""
        return grid_points(self.axes).reshape(*self.cells, *self.sample)

    def each(self, fn) -> PyTree[Array]:
        """fn(x) of every cell centre: each leaf `(*cells, ...)`."""
        flat = self.samples.reshape(-1, *self.sample)
        return jax.tree.map(
            lambda leaf: leaf.reshape(*self.cells, *leaf.shape[1:]), jax.vmap(fn)(flat)
        )

    def energy(self, potential: AbstractPotential, control) -> Float[Array, "*cells"]:
        return self.each(lambda x: potential.energy(x, control))


def grid_points(axes) -> Array:
    """All points with these coordinates: `(n1, ..., dim)`."""
    return jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1)


def dimension(sample: tuple[int, ...]) -> int:
    """1 or 2: a sample of shape `()` lives in one dimension."""
    return sample[0] if sample else 1


def sample_shape(potential, control, template, dim: int | None) -> tuple[int, ...]:
    """The shape of one sample: that of the template, else what the energy accepts.

    **Raises:** ValueError unless it is `()`, `(1,)` or `(2,)`, and that of the solver.
    """
    name = type(potential).__name__
    if template is not None:
        shape = getattr(template, "shape", None)
        if shape not in ((), (1,), (2,)):
            raise ValueError(
                f"a sample of {name} has shape {shape}: tj.FokkerPlanck needs (1,) or (2,); use "
                "tj.simulate in more dimensions"
            )
        if dim is not None and dim != dimension(shape):
            raise ValueError(
                f"a sample of {name} has shape {shape}, but lower, upper or cells speak of {dim} "
                "dimensions: make them agree"
            )
        return shape
    if dim is not None and dim > 2:
        raise ValueError(f"cells, lower or upper speak of {dim} dimensions: expected 1 or 2")
    candidates = ((2,),) if dim == 2 else ((1,), ())
    for shape in candidates:
        x = jax.ShapeDtypeStruct(shape, jnp.result_type(float))
        try:
            energy = jax.eval_shape(lambda x: potential.energy(x, control), x)
        except (TypeError, IndexError, ValueError):
            if shape == candidates[-1]:
                raise
            continue
        if energy.shape == ():
            return shape
    raise ValueError(
        f"the energy of {name} is no scalar for x of shape {candidates[0]}: expected one number "
        "for one sample (sum over the coordinates); for two dimensions pass cells=(n1, n2)"
    )


@eqx.filter_jit
def grid_energies(potential, axes, sample, controls):
    """U at all points of a product grid, for many controls: `(controls, n1, ...)`."""
    points = grid_points(axes)
    flat = points.reshape(-1, *sample)
    one = lambda control: jax.vmap(lambda x: potential.energy(x, control))(flat)
    return jax.vmap(one)(controls).reshape(-1, *points.shape[:-1])


def known_energies(potential, axes, sample, controls) -> np.ndarray:
    """The energies of `grid_energies` as numpy, also while tracing; +inf where not a number."""
    axes = [np.asarray(x, jnp.result_type(float)) for x in axes]
    with jax.ensure_compile_time_eval():
        values = known(grid_energies(potential, axes, sample, controls))
    assert values is not None, "asked with concrete values only"
    return np.where(np.isnan(values), np.inf, values)


def natural_domain(potential, sample, controls, temperatures) -> tuple:
    """Bounds beyond which every equilibrium along the protocol has no mass (about 1e-16).

    A scan from far outside, which zooms into where U is within `REACH` kT of its minimum. It knows
    no length: one over all powers of 16 finds the scale first. It can miss narrow wells that lie
    far apart: give bounds then.

    **Raises:** ValueError where the potential does not confine.
    """
    dim = dimension(sample)
    kT = temperatures.reshape(-1, *(1,) * dim)
    away = 2.0 ** np.arange(-FARTHEST, FARTHEST + 1, 4)
    axes = [np.concatenate([-away[::-1], [0.0], away])] * dim
    # So deep that its lowest point is not told from others: it falls without end.
    bottom = -kT / float(jnp.finfo(jnp.result_type(float)).eps) ** 2
    for zoom in range(-1, 60):
        energy = known_energies(potential, axes, sample, controls)
        lowest = np.min(energy, axis=tuple(range(1, dim + 1)), keepdims=True)
        if not np.all(np.isfinite(lowest)) or np.any(lowest < bottom):
            raise ValueError(
                f"{type(potential).__name__} does not confine (its energy is nowhere finite, or "
                "unbounded from below): pass lower= and upper=, with boundary='reflecting' where "
                "they are walls"
            )
        inside, bounds = energy <= lowest + REACH * kT, []
        if zoom == -1:
            places = [np.abs(axes[i])[found] for i, found in enumerate(np.nonzero(inside)[1:])]
            scale = max(np.max(x) for x in places)
            if 0 < scale < away[-1]:
                away = scale * 2.0**SCAN
                axes = [np.concatenate([-away[::-1], [0.0], away])] * dim
                continue
        for i, axis in enumerate(axes):
            others = tuple(j for j in range(dim + 1) if j != i + 1)
            found = np.flatnonzero(np.any(inside, axis=others))
            first, last = found[0] - 1, found[-1] + 1
            if zoom <= 0 and (first < 0 or last == len(axis)):
                raise ValueError(
                    f"{type(potential).__name__} does not confine (its equilibrium reaches "
                    f"|x| = {away[-1]:.3g}): pass lower= and upper=, with boundary='reflecting' "
                    "where they are walls"
                )
            width = axis[-1] - axis[0]
            left = axis[first] if first >= 0 else axis[0] - width / 2
            right = axis[last] if last < len(axis) else axis[-1] + width / 2
            bounds.append((left, right))
        settled = all(
            0.9 * (x[-1] - x[0]) <= b - a <= 1.1 * (x[-1] - x[0])
            for (a, b), x in zip(bounds, axes, strict=True)
        )
        if settled:
            break
        axes = [np.linspace(a, b, 401 if dim == 1 else 101) for a, b in bounds]
    lower, upper = np.array(bounds).T
    return lower, upper


def check_cells(potential, grid: Grid, controls, temperatures) -> None:
    """**Raises:** ValueError where the energy at a cell centre is not a finite number, or where the
    equilibrium changes from cell to cell by more than they can tell.
    """
    axes = grid.known_axes()
    energy = known_energies(potential, axes, grid.sample, controls)
    wrong = np.argwhere(~np.isfinite(energy))
    if len(wrong):
        which, *cell = wrong[0]
        place = [round(float(x[i]), 6) for x, i in zip(axes, cell, strict=True)]
        raise ValueError(
            f"the energy of {type(potential).__name__} is not finite at x = {place}, control = "
            f"{controls[which]}: keep lower and upper where it is a number"
        )
    everywhere = tuple(range(1, grid.dim + 1))
    energy = energy / temperatures.reshape(-1, *(1,) * grid.dim)
    weight = np.exp(np.min(energy, axis=everywhere, keepdims=True) - energy)
    weight /= np.sum(weight, axis=everywhere, keepdims=True)
    for i, n in enumerate(grid.cells):
        # <(dU/kT)^2> between neighbors, which is (cell / width)^2 of a Gaussian.
        change = np.diff(energy, axis=i + 1) ** 2
        fraction = np.minimum(
            *(np.take(weight, side, i + 1) for side in (range(n - 1), range(1, n)))
        )
        rough = np.sqrt(np.max(np.sum(fraction * np.minimum(change, 1e6), axis=everywhere)))
        # Narrower than a cell, it has no neighbors to share with: 1/3 of three where it is wide.
        ends = np.zeros((grid.dim + 1, 2), int)
        ends[i + 1] = 1
        padded = np.pad(weight, ends)
        three = sum(np.take(padded, range(j, j + n), i + 1) for j in range(3))
        alone = np.max(np.sum(weight**2 / np.where(three > 0, three, 1), axis=everywhere))
        if rough > COARSEST or alone > ALONE:
            raise ValueError(
                f"cells = {grid.cells}: the equilibrium is as narrow as one of them in direction "
                f"{i}; take several times as many there, or a smaller domain"
            )


def check_reach(potential, grid: Grid, controls, temperatures) -> None:
    """Refuse bounds that cut off more than `LEAK` of an equilibrium. **Raises:** ValueError."""
    dim, n = grid.dim, OUTWARD[grid.dim]
    lower, upper = np.asarray(grid.lower), np.asarray(grid.upper)
    axes, weights = [], []
    for i, centers in enumerate(grid.known_axes()):
        length = upper[i] - lower[i]
        distance = length * np.expm1(np.linspace(0, np.log(64.0), n + 1))
        middle, width = (distance[1:] + distance[:-1]) / 2, np.diff(distance)
        inner = np.full(len(centers), length / len(centers))
        axes.append(np.concatenate([lower[i] - middle[::-1], centers, upper[i] + middle]))
        weights.append(np.concatenate([width[::-1], inner, width]))
    energy = known_energies(potential, axes, grid.sample, controls) / temperatures.reshape(
        -1, *(1,) * dim
    )
    lowest = np.min(energy, axis=tuple(range(1, dim + 1)), keepdims=True)
    with np.errstate(invalid="ignore", over="ignore"):
        mass = np.nan_to_num(np.exp(lowest - energy), nan=1.0)
    for i, weight in enumerate(weights):
        mass = mass * weight.reshape(-1, *(1,) * (dim - 1 - i))
    mass /= np.sum(mass, axis=tuple(range(1, dim + 1)), keepdims=True)
    for i in range(dim):
        others = tuple(j for j in range(1, dim + 1) if j != i + 1)
        line = np.sum(mass, axis=others)
        for side, bound, part in (("lower", lower, line[:, :n]), ("upper", upper, line[:, -n:])):
            fraction = np.sum(part, axis=1)
            if np.max(fraction) > LEAK:
                worst = np.argmax(fraction)
                name = side if dim == 1 else f"{side}[{i}]"
                raise ValueError(
                    f"{name} = {bound[i]:g} cuts off {fraction[worst]:.2g} of the equilibrium at "
                    f"control = {np.asarray(controls[worst])}: take a wider domain, or "
                    "boundary='reflecting' if this is a real wall"
                )
