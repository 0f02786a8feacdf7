"""The power that the protocol puts in, at the instants that a run keeps."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ..estimate import Estimate, weighted_mean
from ..ledger import Ledger
from ..sampling import State
from ..system import AbstractSystem, check_system


def power(system: AbstractSystem) -> Callable:
    r"""The observer of the power, <dU/dcontrol . dcontrol/dt>, at the instants of `save`.

        observe = tj.diagnostics.power(system)
        out = tj.simulate(system, key, dt=1e-2, batch=4096, save=50, observe=observe)
        out.saved.values        # a tj.Estimate: value and error of shape (50,)

    Nothing else is kept of the paths. At the ends it is the power just inside: jumps are not in it.

    **Arguments:** `system`, the one that runs. **Returns:** a function for `observe=`, its value a
    scalar `tj.Estimate` over the surviving paths.
    """
    check_system(system)
    protocol = system.protocol

    def observe(time, state: State, ledger: Ledger) -> Estimate:
        time = jnp.minimum(time, protocol.duration)
        control, speed = jax.jvp(protocol, (time,), (jnp.ones_like(time),))

        def rate(x):
            return jax.jvp(lambda c: system.potential.energy(x, c), (control,), (speed,))[1]

        return weighted_mean(jax.vmap(rate)(state.position), ledger.alive)

    return observe
