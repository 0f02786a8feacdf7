"""The price of a bit: Landauer's bound for a success that is not certain, and in finite time."""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._arguments import choice, real, whole
from .._component import floating, positive, require
from ..sampling import Equilibrium
from ..system import AbstractSystem, check_system
from .equilibrium import CELLS, line_equilibrium
from .laws import Density
from .line import LineEnergy
from .metric import transport_metric
from .proximal import nearest_density
from .work import WorkBound, bound_between, require_constant


def landauer(success: ArrayLike, temperature: ArrayLike = 1.0) -> Float[Array, "..."]:
    r"""The least work that erases one bit, however slowly, when it succeeds with a probability.

        W >= kT (ln 2 - H(p)),     H(p) = -p ln p - (1 - p) ln(1 - p)

    **Arguments:** `success` p, the share that ends in the wanted state, or 1 - p, any shape;
    `temperature` kT.

    **Returns:** an energy of the shape of `success`, kT ln 2 where p is 1, zero where it is 1/2.

    **Raises:** ValueError for probabilities outside of [0, 1].

    **Source:** R. Landauer, IBM J. Res. Dev. 5, 183 (1961); K. Maroney, Phys. Rev. E 79, 031105
    (2009), for uncertain results.
    """
    p, kt = floating(success, "success"), floating(temperature, "temperature")
    require("temperature", kt, positive, "positive and finite")
    require("success", p, lambda p: (p >= 0) & (p <= 1), "a probability, from 0 to 1")
    plogp = lambda q: jnp.where(q > 0, q * jnp.log(jnp.where(q > 0, q, 1)), 0)
    return kt * (jnp.log(2.0) + plogp(p) + plogp(1 - p))


def erasure(
    system: AbstractSystem,
    success: float = 1.0,
    *,
    end: Literal["free", "local"],
    dividing: float = 0.0,
    template: Equilibrium | None = None,
    cells: int = CELLS,
) -> WorkBound:
    r"""The least work that brings a share `success` to the right of `dividing` in finite time.

    From the equilibrium before the protocol to the potential after it, with full control between:

        W >= F[rho_tau; U_1] - F[rho_0; U_0] + gamma W_2(rho_0, rho_tau)^2 / tau

    with rho_tau in equilibrium on either side (`end="local"`: a memory at rest), or the law of
    that success for which this is least (`end="free"`: it goes on relaxing, for free).

    **Arguments:** `system`, of one dimension, whose protocol says U_0, U_1 and the time;
    `success`, between 1/2 and 1 for a symmetric bit; `cells` of the densities.

    **Returns:** a `WorkBound`.

    **Raises:** ValueError for a success outside of (0, 1], or another `end`.

    **Source:** K. Proesmans, J. Ehrich, J. Bechhoefer, Phys. Rev. Lett. 125, 100602 (2020) and
    Phys. Rev. E 102, 032105 (2020).
    """
    check_system(system)
    choice("end", end, ("free", "local"))
    real("success", success, "a probability above 0, at most 1", lambda p: (p > 0) & (p <= 1))
    real("dividing", dividing, "a point of the line")
    cells = whole("cells", cells)
    require_constant(system)
    start, rest = (line_equilibrium(system, e, template, cells) for e in ("initial", "final"))
    rest = split_at(rest, success, dividing)
    if end == "local":
        return bound_between(system, start, rest)
    # What ends on the left is the leftmost part of what there was: W_2 keeps the order.
    pin = 0
    if success < 1:
        start, pin = with_point(start, float(start.quantile(jnp.asarray([1 - success]))[0]))
    energy = LineEnergy(system.potential, system.protocol.final)
    metric = transport_metric(system, 1)[0]
    law = nearest_density(start, rest, energy, metric, system.bath.temperature, {pin: dividing})
    return bound_between(system, start, law)


def split_at(law: Density, success: float, dividing: float) -> Density:
    """The law with a share `success` right of a point, unchanged on either side."""
    low, high = float(law.x[0]), float(law.x[-1])
    if not low < dividing < high:
        raise ValueError(
            f"dividing = {dividing}: expected a point where the potential holds its mass, between "
            f"{low:.3g} and {high:.3g}"
        )
    law, index = with_point(law, dividing)
    right = jnp.arange(law.shares.size) >= index
    share = jnp.sum(law.shares * right)
    return Density(
        law.x, law.density * jnp.where(right, success / share, (1 - success) / (1 - share))
    )


def with_point(law: Density, point: float) -> tuple[Density, int]:
    """The law with more and more points toward `point`, and the index of that point.

    What parts there is stretched over the whole barrier: its cells must hold little.
    """
    x, density = np.asarray(law.x), np.asarray(law.density)
    near = np.max(np.diff(x)) * 2.0 ** -np.arange(0, 30)
    edges = np.unique(np.concatenate([x, point - near, [point], point + near]))
    edges = edges[(edges >= x[0]) & (edges <= x[-1])]
    middle = 0.5 * (edges[1:] + edges[:-1])
    fine = Density(edges, density[np.searchsorted(x, middle) - 1])
    return fine, int(np.searchsorted(edges, point))
