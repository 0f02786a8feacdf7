"""Transport bounds: what moving a law from one place to another must cost in a given time."""

from __future__ import annotations

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from .._arguments import instance, real
from .._component import Numbers, known, shown
from ..protocol import AbstractProtocol
from ..sampling import Equilibrium, template_of
from ..system import AbstractSystem, check_system
from .equilibrium import equilibrium, line_equilibrium, require_quadratic_ends
from .laws import AbstractLaw, Density, Normal
from .line import LineEnergy
from .metric import require_one_temperature, transport_metric
from .proximal import nearest_density, nearest_normal


class WorkBound(eqx.Module):
    """The least mean total work of a change, W >= free_energy + dissipation.

    - `work`, a scalar: the bound. It is reached where the potential may be shaped at will, and by
      Gaussian protocols that control as many moments as change.
    - `free_energy`: F of the final law minus F of the first, a scalar.
    - `dissipation`: the least kT Sigma, a scalar.
    - `start`, `end`: the laws that belong to it.
    """

    work: Float[Array, ""]
    free_energy: Float[Array, ""]
    dissipation: Float[Array, ""]
    start: AbstractLaw
    end: AbstractLaw


def dissipation(system: AbstractSystem, start: AbstractLaw, end: AbstractLaw) -> Float[Array, ""]:
    r"""The least dissipated energy kT Sigma that takes a system between two laws of its position.

        kT Sigma >= W_2(rho_0, rho_tau)^2 / tau   with   |dx|^2 = sum gamma_i dx_i^2,

    with the ACTUAL final law, wherever the protocol leads. Friction per coordinate makes the
    metric; friction that changes in time replaces gamma / tau by 1 / int dt / gamma.
    Underdamped, the laws are the position marginals: the mean velocity at each position moves
    them, and the entropy production of phase space is at least gamma <v(x)^2> / kT.

    **Arguments:** `system`, of which friction, temperature and duration count; `start` and `end`,
    two `tj.bounds.Normal`, two `tj.bounds.Density`, or two `tj.bounds.Samples`.

    **Returns:** an energy, a scalar, differentiable.

    **Raises:** ValueError for laws of different kind or dimension, or a temperature that changes
    in time.

    **Source:** E. Aurell, C. Mejia-Monasterio, P. Muratore-Ginanneschi, Phys. Rev. Lett. 106,
    250601 (2011), eq. (14); A. Dechant, Y. Sakurai, arXiv:1912.08405; M. Nakazato, S. Ito,
    Phys. Rev. Research 3, 043093 (2021), eq. (8).
    """
    for name, law in (("start", start), ("end", end)):
        if not isinstance(law, AbstractLaw):
            raise ValueError(
                f"{name} is a {type(law).__name__}: expected a tj.bounds.Normal, Density or Samples"
            )
    if type(start) is not type(end) or start.dim != end.dim:
        raise ValueError(
            f"start is a {type(start).__name__} of dimension {start.dim}, end a "
            f"{type(end).__name__} of dimension {end.dim}: expected two laws of one kind"
        )
    return start.transport_cost(end, transport_metric(system, start.dim))


def fixed_end(
    system: AbstractSystem,
    start: AbstractLaw | Equilibrium | None = None,
    end: AbstractLaw | None = None,
) -> WorkBound:
    r"""The least work when the final law is PRESCRIBED: the equilibrium of the end, or `end`.

        W >= F[rho_tau; U_1] - F[rho_0; U_0] + W_2(rho_0, rho_tau)^2 / tau

    The metric of W_2 holds the friction, as in `tj.bounds.dissipation`.

    **Arguments:** `system`; `start`, the law before the first jump, by default the equilibrium
    there (`tj.Equilibrium(template)` where the potential does not say its shape); `end`.

    **Returns:** a `WorkBound`. Underdamped systems start with thermal momenta.

    **Raises:** ValueError as `tj.bounds.dissipation`, for an energy whose equilibrium is not known,
    or a mass that changes in time.
    """
    if end is not None:
        instance(
            "end", end, AbstractLaw, "a law such as tj.bounds.Normal(mean, covariance), or None"
        )
    require_constant(system)
    start, template = initial_law(system, start)
    end = equilibrium(system, "final", template) if end is None else end
    return bound_between(system, start, end)


def free_end(
    system: AbstractSystem,
    start: AbstractLaw | Equilibrium | None = None,
    *,
    lower: Numbers | None = None,
    upper: Numbers | None = None,
) -> WorkBound:
    r"""The least work when the final law is FREE: what no protocol of this duration can beat.

        W >= min_p { F[p; U_1] + W_2(rho_0, p)^2 / tau } - F[rho_0; U_0]

    The metric of W_2 holds the friction, as in `tj.bounds.dissipation`. For quadratic energies and
    Gaussian starts p is Gaussian and has a closed form, in any dimension; on the line the
    quantiles of p are found by Newton's method. Where U_1 + gamma x^2/tau has several minima so
    may the functional: the lowest of those reached from rho_0 and from equilibrium is taken.

    **Arguments:** `system`; `start`, as in `tj.bounds.fixed_end`; `lower` and `upper`, a number
    each: ends of the line between which p must lie (densities only).

    **Returns:** a `WorkBound` with p as its `end`. Its work is differentiable in the system: by
    the envelope theorem p itself need not be, and passes no gradient.

    **Raises:** ValueError as `tj.bounds.fixed_end`, for samples as a start, or where the
    functional has no minimum.

    **Source:** R. Jordan, D. Kinderlehrer, F. Otto, SIAM J. Math. Anal. 29, 1 (1998), for the
    functional; K. Proesmans, J. Ehrich, J. Bechhoefer, Phys. Rev. E 102, 032105 (2020), for work.
    """
    walls = tuple(
        None if wall is None else real(name, wall, "a length, or None", lambda x: ~np.isnan(x))
        for name, wall in (("lower", lower), ("upper", upper))
    )
    require_constant(system)
    start, template = initial_law(system, start)
    metric, kt = transport_metric(system, start.dim), system.bath.temperature
    if isinstance(start, Normal) and lower is None and upper is None:
        energy = start.energy(system, system.protocol.final)
        end = Normal(*nearest_normal(start.mean, start.covariance, energy, metric, kt))
        if (mean := known(end.mean)) is not None and not np.all(np.isfinite(mean)):
            raise ValueError(
                "the final potential falls faster than transport costs: the work has no minimum; "
                "take a shorter duration or a final control that confines"
            )
    elif isinstance(start, Density):
        rest = line_equilibrium(system, "final", template)
        energy = LineEnergy(system.potential, system.protocol.final)
        ends = {0: walls[0], -1: walls[1]}
        end = nearest_density(start, rest, energy, metric[0], kt, ends)
    else:
        kind = type(start).__name__
        raise ValueError(
            f"start is a {kind}, lower = {shown(lower)}, upper = {shown(upper)}: a free end needs "
            "a tj.bounds.Density, or a tj.bounds.Normal without walls"
        )
    return bound_between(system, start, end)


def bound_between(system: AbstractSystem, start: AbstractLaw, end: AbstractLaw) -> WorkBound:
    """The work of a change between two laws, by the first law and the transport bound."""
    before = start.free_energy(system, system.protocol.initial)
    change = end.free_energy(system, system.protocol.final) - before
    least = dissipation(system, start, end)
    return WorkBound(change + least, change, least, start, end)


def initial_law(system: AbstractSystem, start):
    """(the law to start from, the template that was given with it or None)."""
    if isinstance(start, AbstractLaw):
        if isinstance(start, Normal):
            position = template_of(system, None)
            require_quadratic_ends(system, start.mean if position is None else position)
        return start, None
    if start is not None and not isinstance(start, Equilibrium):
        raise ValueError(
            f"start is {shown(start)}: expected a law such as tj.bounds.Normal(mean, "
            "covariance), tj.Equilibrium(template), or None for the equilibrium"
        )
    return equilibrium(system, "initial", start), start


def require_constant(system: AbstractSystem) -> None:
    """Refuse a bath that does work, or has more than one temperature. **Raises:** ValueError."""
    check_system(system)
    require_one_temperature(system)
    if isinstance(system.bath.mass, AbstractProtocol):
        raise ValueError(
            "the mass changes in time, which is work beside that of the potential: bound the "
            "dissipation alone with tj.bounds.dissipation"
        )
