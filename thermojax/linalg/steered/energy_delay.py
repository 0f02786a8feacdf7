"""The least energy x delay of a device that ends with a deficiency, by optimal transport."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..._arguments import instance
from ..._component import Numbers, finite, require
from ...system import Bath
from ..device.device import device_for
from ..device.exact import Modes, modes_of
from ..device.operator import entries, operator_of, require_known

HALVINGS = 200


class Laws(NamedTuple):
    """Modes of eigenvalues k at kT, which rest with N(0, kT / rest) and belong to N(h/k, kT/k)."""

    values: np.ndarray
    along: np.ndarray  # h
    rest: float
    kt: float
    friction: float

    @property
    def start(self) -> float:
        """The width of every mode at rest."""
        return (self.kt / self.rest) ** 0.5

    def nearest(self, pull: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Widths and means, `(..., modes)`, that minimize deficiency + pull W_2^2 / 2 per mode.

        The minimum of (k s^2 + k (m - m*)^2 + pull ((s - s_0)^2 + m^2)) / 2 - kT ln s.
        """
        pull = np.asarray(pull)[..., None]
        stiff, back = self.values + pull, pull * self.start
        width = (back + np.sqrt(back**2 + 4 * stiff * self.kt)) / (2 * stiff)
        return width, self.along / stiff

    def deficiency(self, width, mean) -> np.ndarray:
        """F[rho] - F_eq = kT KL of laws of these widths and means."""
        excess = self.values * width**2 / self.kt - 1
        lag = self.values * (mean - self.along / self.values) ** 2
        return 0.5 * np.sum(self.kt * (excess - np.log1p(excess)) + lag, axis=-1)

    def action(self, width, mean) -> np.ndarray:
        """gamma W_2^2 from the law at rest: the least kT Sigma times the duration."""
        return self.friction * np.sum((width - self.start) ** 2 + mean**2, axis=-1)

    def at_deficiency(self, deficiency: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of all laws with this deficiency at most, widths and means of that nearest to rest.

        A Lagrange multiplier, the pull, found by bisection: the deficiency grows with it.
        """
        deficiency = np.asarray(deficiency, float)
        scale = float(np.max(self.values))
        low, high = np.full(deficiency.shape, -90.0), np.full(deficiency.shape, 90.0)
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            more = self.deficiency(*self.nearest(scale * np.exp(middle))) < deficiency
            low, high = np.where(more, middle, low), np.where(more, high, middle)
        pull = np.where(deficiency > 0, scale * np.exp(low), 0.0)
        return self.nearest(pull)


def laws_of(modes: Modes, b, rest, bath: Bath) -> Laws:
    along = np.asarray(modes.vectors.T @ b, float)
    kt, friction = float(bath.temperature), float(bath.friction)
    return Laws(np.asarray(modes.values, float), along, float(rest), kt, friction)


def energy_delay(
    A: Any, deficiency: Numbers, b: Numbers | None = None, *, bath: Bath | None = None
) -> Float[Array, "..."]:
    r"""The least energy x delay of a device that ends with a deficiency: kT Sigma tau >= this.

    Deficiency is what the final law lacks, F[rho_tau] - F_eq = kT KL of it from N(A^-1 b, kT A^-1).
    By optimal transport kT Sigma >= gamma W_2(rho_0, rho_tau)^2 / tau, so that

        kT Sigma tau >= min { gamma W_2(rho_0, p)^2 : F[p] - F_eq <= deficiency },

    which does not depend on the delay tau: energy, delay and deficiency lie above one surface,
    energy = this / delay. Along the modes of A it has a closed form up to one Lagrange multiplier.
    `tj.linalg.driven(..., steering="transport", deficiency=...)` reaches it. The dissipated work
    W - Delta F is kT Sigma + deficiency: what is lacking at the end is lost too.

    **Arguments:** `A`, a symmetric positive definite matrix `(dim, dim)`; `deficiency`, energies,
    a number or an array; `b`, `(dim,)`, zero when left out; `bath`, constant. The device starts in
    equilibrium, each coordinate on a spring of the largest eigenvalue.

    **Returns:** energy x time, in the shape of `deficiency`; 0 where the idle device is near.

    **Raises:** ValueError for a matrix that is not symmetric positive definite, or known by its
    products alone, and for a deficiency below zero. **Cost:** one eigendecomposition.

    **Source:** energy, delay and deficiency as the three sides of such a device: A. Rolandi et al.,
    arXiv:2601.04358 (its abstract); the closed form is derived here.
    """
    require_known(A=A, b=b, deficiency=deficiency, bath=bath)
    deficiency = finite("deficiency", deficiency)
    require("deficiency", deficiency, lambda x: x >= 0, "energies, 0 or more")
    if bath is not None:
        instance("bath", bath, Bath, "a tj.Bath(...), or None for the default")
    given = None if b is None else jnp.atleast_1d(finite("b", b))
    operator = operator_of(A, given)
    modes = modes_of(entries(operator, "energy_delay", has_steps=False))
    device = device_for(modes.spectrum, "overdamped", bath)
    b = jnp.zeros_like(modes.values) if given is None else given
    laws = laws_of(modes, b, device.rest, device.bath)
    return jnp.asarray(laws.action(*laws.at_deficiency(np.asarray(deficiency))), modes.values.dtype)
