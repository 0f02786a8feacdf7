"""Peer: the plain `lax.scan` of `plain_scan.py`."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ..cases import STEP, Case, shared_out
from ..race import Program
from .peer import AbstractPeer, Outcome
from .plain_scan import plain_scan


def plain(case: Case, steps: int | None = None):
    """f(values, state, key) -> position, momentum, work."""

    def run(values, state, key):
        x, p = state.position, state.momentum
        return plain_scan(
            case.potential.energy, values, case.ends, x, p, key, h=STEP, steps=steps or case.steps
        )

    return run


def plain_gradient(case: Case):
    """The gradient of the mean work with respect to the values of the schedule."""
    return jax.grad(lambda *inputs: jnp.mean(plain(case)(*inputs)[2]))


class PlainScan(AbstractPeer):
    """A split key, `jax.random.normal` and one gradient per step; books the work."""

    name = "plain lax.scan"
    packages = (("jax", "jax"),)
    least, least_wide, least_single = 2.0, 2.0, 8.0

    def takes(self, case):
        return True

    def build(self, case, steps, seed=0):
        program = Program.build(plain(case, steps), case.inputs(jax.random.key(seed)))
        return lambda: Outcome(*program())


class SharedScan(PlainScan):
    """The same, with its batch laid out over the devices as ours is: XLA does the rest."""

    name = "plain lax.scan, shared out"

    def takes(self, case):
        return shared_out(case) is not None

    def build(self, case, steps, seed=0):
        inputs = case.inputs(jax.random.key(seed), shared_out(case))
        program = Program.build(plain(case, steps), inputs)
        return lambda: Outcome(*program())
