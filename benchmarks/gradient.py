"""Gradient of the mean work with respect to 64 schedule values, by reverse mode."""

from __future__ import annotations

import math

import jax

from .cases import Case, our_gradient, ours, shared_out
from .peers import plain_gradient, virtual_gradient
from .race import Program, race
from .report import mark

OWN_FORWARD, MEMORY, VIRTUAL = 3.0, 0.1, 25.0  # the targets
SHARE = 20  # diffrax runs one step in so many, through the tree of the whole run

NOTE = f"""\
Reverse gradient of the mean work with respect to 64 schedule values (ours: of the total work).
"/ forward": our gradient / our forward run, target <= {OWN_FORWARD:g} at d >= 8.
"CPU", "CPU ratio": the ratio that follows, in processor time over all threads.
"/ scan": time of ours / jax.grad of the plain scan; "shared out": its batch on the devices of ours.
"one device": how many times as long ours takes on one device.
"memory": the compiler's temporary bytes, ours / the scan's, target <= {MEMORY:g}.
"diffrax / ours": time per step of diffrax's reverse mode (Heun, VirtualBrownianTree), timed over
one step in {SHARE}; target >= {VIRTUAL:g}. Targets are for 1000 steps."""


def row(case: Case, rounds: int, share: int = SHARE) -> dict:
    """One line of the table."""
    inputs, sharding = case.inputs(jax.random.key(0)), shared_out(case)
    shared = case.inputs(jax.random.key(0), sharding)
    steep = Program.build(our_gradient(case, sharding), shared)
    forward = race(steep, Program.build(ours(case, sharding), shared), rounds)
    scan = Program.build(plain_gradient(case), inputs)
    against_scan = race(steep, scan, rounds)
    single, shared_scan = math.nan, math.nan
    if sharding is not None:
        single = race(Program.build(our_gradient(case), inputs), steep, rounds).ratio
        shared_scan = race(steep, Program.build(plain_gradient(case), shared), rounds).ratio
    # The compiler counts those of one device.
    used = steep.temporary_bytes * (1 if sharding is None else jax.device_count())
    memory = used / scan.temporary_bytes
    virtual = virtual_cpu = math.nan
    targeted = case.is_ramp and case.steps == 1000
    if case.is_ramp and case.batch < 65536:
        steps = max(case.steps // share, min(case.steps, 10))
        slow = Program.build(virtual_gradient(case, steps), inputs)
        against_diffrax = race(slow, steep, rounds)
        virtual = against_diffrax.ratio * case.steps / steps
        virtual_cpu = against_diffrax.cpu_ratio * case.steps / steps
    judged = lambda met, where=True: mark(met) if targeted and where else "-"
    return {
        "case": case.name,
        "steps": case.steps,
        "ours ms": forward.first * 1e3,
        "CPU": forward.cpu_ratio,
        "/ forward": forward.ratio,
        f"<= {OWN_FORWARD:g}": judged(forward.ratio <= OWN_FORWARD, case.dim >= 8),
        "/ scan": against_scan.ratio,
        "/ scan shared out": shared_scan,
        "one device": single,
        "ours MiB": used / 2**20,
        "scan MiB": scan.temporary_bytes / 2**20,
        "memory": memory,
        f"<= {MEMORY:g}": judged(memory <= MEMORY),
        "CPU ratio": virtual_cpu,
        "diffrax / ours": virtual,
        f">= {VIRTUAL:g}": judged(virtual >= VIRTUAL, not math.isnan(virtual)),
        "compile s": steep.compile_seconds,
        "< 6 s": mark(steep.compile_seconds < 6),
    }
