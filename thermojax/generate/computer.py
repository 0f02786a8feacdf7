"""The machine: units, couplings that learn, a bath; it generates by its own motion."""

from __future__ import annotations

import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import exceeds, flag, whole
from .._component import AbstractComponent, known, positive_number
from .._keys import check_key
from ..dynamics import OBABO
from ..execution import count_steps
from ..protocol import PiecewiseLinear
from ..sampling import simulate
from ..system import Bath, Overdamped
from .generated import Generated
from .network import Couplings, NetworkEnergy
from .on_site import OnSite

COARSE = 1.0  # the largest mobility * dt * curvature: an explicit step overshoots beyond


class Computer(AbstractComponent):
    r"""Visible and hidden units in a bath, whose couplings make their motion generate.

    dx = -mu grad V dt + sqrt(2 mu kT) dW, in steps of Euler and Maruyama, with

        V(x) = sum_i (J_2 x_i^2 + J_4 x_i^4) + sum_a b_a x_a + sum_(ij) J_ij x_i x_j.

    Hidden units have biases b, and each pair of units one coupling J, but no pair of visible ones;
    as published. All of b and J are 0 at first. Without biases of visible units V hardly tells an
    image from its negative, and machines may generate both.

        computer = tj.generate.Computer(64, 32)
        noising = tj.generate.Noising(images, 32, key)
        fit = tj.generate.fit(computer, noising, key, cycles=100, dt=5e-3)
        fit.computer.sample(key, 100, dt=5e-3).visible

    What trains is `couplings`: matrices `(visible, hidden)`, `(hidden, hidden)`, and biases.

    **Arguments:** `visible`, `hidden`, numbers of units; `quadratic` J_2 and `quartic` J_4, in
    units of energy; `temperature` kT; `mobility` mu; `visible_couplings` and `visible_biases`,
    True for couplings among visible units, and for biases of them, too.

    **Raises:** ValueError for numbers of the wrong kind, and an energy without a lowest value.

    **Source:** S. Whitelam, arXiv:2506.15121 (2025).
    """

    on_site: OnSite
    couplings: Couplings
    temperature: Float[Array, ""]
    mobility: Float[Array, ""]

    def __init__(
        self,
        visible: int,
        hidden: int,
        *,
        quadratic: float = 1.0,
        quartic: float = 1.0,
        temperature: float = 0.1,
        mobility: float = 1.0,
        visible_couplings: bool = False,
        visible_biases: bool = False,
    ):
        visible, hidden = whole("visible", visible), whole("hidden", hidden)
        self.on_site = OnSite(quadratic, quartic)
        self.temperature = positive_number("temperature", temperature, "kT")
        self.mobility = positive_number("mobility", mobility)
        among = (
            jnp.zeros((visible, visible)) if flag("visible_couplings", visible_couplings) else None
        )
        biased = hidden + visible if flag("visible_biases", visible_biases) else hidden
        self.couplings = Couplings(
            jnp.zeros((visible, hidden)), jnp.zeros((hidden, hidden)), among, jnp.zeros(biased)
        )

    @property
    def visible(self) -> int:
        """The number of visible units."""
        return self.couplings.between.shape[0]

    @property
    def hidden(self) -> int:
        """The number of hidden units."""
        return self.couplings.between.shape[1]

    @property
    def potential(self) -> NetworkEnergy:
        """V(x, control): the control multiplies couplings and biases."""
        return NetworkEnergy(self.on_site, self.couplings)

    def system(self, duration: float = 2.5) -> Overdamped:
        """The machine that is switched on at the start: `tj.simulate` runs it as any other system.

        Its start is the equilibrium of the uncoupled units, and the work of its protocol is that of
        switching the couplings on.

        **Arguments:** `duration`, of the run. **Raises:** ValueError unless it is positive.
        """
        time = positive_number("duration", duration, "time")
        on = PiecewiseLinear(jnp.ones(2), time, initial=0.0, final=1.0)
        return Overdamped(self.potential, on, Bath(self.temperature, 1 / self.mobility))

    def split(self) -> tuple[Any, Any]:
        """(what trains, the rest), as `eqx.partition` returns them; `eqx.combine` joins them."""
        mask = jax.tree.map(lambda _: False, self)
        mask = eqx.tree_at(
            lambda c: c.couplings, mask, jax.tree.map(lambda _: True, self.couplings)
        )
        return eqx.partition(self, mask)

    def sample(
        self,
        key: PRNGKeyArray,
        batch: int,
        *,
        duration: float = 2.5,
        dt: float = 1e-3,
        save: Any = None,
    ) -> Generated:
        """Draw samples: units at equilibrium without couplings, then the machine runs.

        The start is drawn exactly, from independent laws of one number each.

        **Arguments:** `batch`, samples; `duration` of the run and its time step `dt`; `save`, a
        number of snapshots or their times.

        **Returns:** a `Generated`. **Raises:** ValueError for steps that do not fit. Warns of paths
        that diverge, and of steps that are too coarse where the units ended up.
        **Cost:** two products of a batch with the couplings per step.
        """
        check_key(key)
        batch, system = whole("batch", batch), self.system(duration)
        count_steps(system.protocol.duration, dt, None)
        out = simulate(
            system, key, dt=dt, batch=batch, integrator=OBABO(), save=save, observe=position
        )
        ledger = out.ledger
        off = jax.vmap(self.couplings.energy)(out.position)
        saved = out.saved
        generated = Generated(
            out.position,
            ledger.configurational_heat - ledger.shadow_work,
            ledger.work,
            -off,
            ledger.alive,
            self.temperature,
            None if saved is None else saved.times,
            None if saved is None else saved.values,
            self.visible,
        )
        warn_of(self, generated, dt)
        return generated


def position(time, state, ledger):
    """The observable that is kept."""
    return state.position


def stride(computer: Computer, dt, x) -> Float[Array, "..."]:
    """mobility dt V_0'': how much of its way to rest a unit goes in one step."""
    return computer.mobility * dt * computer.on_site.curvature(x)


def warn_of(computer: Computer, out: Generated, dt) -> None:
    """Say in words which samples are lost, and whether steps were too coarse for the rest."""
    alive, x = known(out.alive), known(out.position)
    if alive is None or x is None or alive.ndim != 1:
        return
    if lost := int(np.sum(alive == 0)):
        warnings.warn(f"{lost} of {alive.size} samples diverged: take a smaller dt", stacklevel=3)
    if not np.any(alive > 0):
        return
    typical = float(np.sqrt(np.mean(x[alive > 0] ** 2)))
    length = known(stride(computer, dt, typical))
    if length is not None and exceeds(length, COARSE):
        warnings.warn(
            f"dt is too coarse: at a typical x of {typical:.2g}, mobility * dt * V'' is "
            f"{float(length):.2g}; take a dt {float(length) / 0.2:.0f} times smaller",
            stacklevel=3,
        )
