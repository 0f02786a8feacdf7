"""Forward: `tj.simulate` against every peer, case by case."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax

from .cases import Case, ours, shared_out, stiffness_ramp
from .peers import PEERS, AbstractPeer
from .race import Program, race
from .report import mark

NOTE = """\
Forward: ns per particle-step, float32; ratio = peer / ours, target beside it. "CPU ratio": that of
processor time over all threads, which other work on the machine disturbs less; no target is about
it. Ours books the whole ledger and freezes paths that diverge; its batch lies
on as many devices as the CPU has cores (`--devices`), where they divide it ("one device": how many
times as long it takes without). "books": what the peer does besides
moving paths; a peer that no control can drive runs a well of fixed stiffness. "steps": how many it
was timed for (a slow peer runs the first part of the run; ours always runs all of it)."""

CHECK_NOTE = """\
Is every peer right? Mean work, or variance in the fixed well, of 4096 paths and its exact value."""


def own_row(case: Case, program: Program, seconds: float, single: float) -> dict:
    """Our own figures. `single`: how many times as long one device takes."""
    return {
        "case": case.name,
        "steps": case.steps,
        "ns per particle-step": seconds / case.particle_steps * 1e9,
        "particle-steps/s": case.particle_steps / seconds,
        "ns per coordinate": seconds / case.particle_steps / case.dim * 1e9,
        "one device": single,
        "compile s": program.compile_seconds,
        "< 3 s": mark(program.compile_seconds < 3),
    }


def peer_row(case: Case, peer: AbstractPeer, program: Program, rounds: int) -> tuple[dict, float]:
    """One line of the table, and the seconds of ours beside it (NaN without a peer)."""
    target = peer.target(case)
    row = {
        "case": case.name,
        "peer": peer.name,
        "books": "work" if peer.drives else "-, fixed well",
        "steps": "-",
        "ours ns": math.nan,
        "peer ns": math.nan,
        "CPU ratio": math.nan,
        "ratio": math.nan,
        "target": target,
        "": peer.missing() or "",
    }
    if peer.missing():
        return row, math.nan
    steps = peer.steps(case)
    timing = race(peer.build(case, steps), program, rounds)
    ratio = timing.ratio * case.steps / steps
    row |= {
        "steps": steps,
        "ours ns": timing.second / case.particle_steps * 1e9,
        "peer ns": timing.first / case.batch / steps * 1e9,
        "CPU ratio": timing.cpu_ratio * case.steps / steps,
        "ratio": ratio,
        "": "-" if math.isnan(target) else mark(ratio >= target),
    }
    return row, timing.second


def rows(case: Case, rounds: int, peers: Sequence[AbstractPeer] = PEERS) -> tuple[dict, list[dict]]:
    """Our own line, and one for each peer."""
    program, single = built(case, shared_out(case)), math.nan
    if shared_out(case) is not None:
        single = race(built(case, None), program, rounds).ratio
    found = [peer_row(case, peer, program, rounds) for peer in peers if peer.takes(case)]
    seconds = sorted(s for _, s in found if not math.isnan(s))
    own = seconds[len(seconds) // 2] if seconds else race(program, program, rounds).first
    return own_row(case, program, own, single), [row for row, _ in found]


def built(case: Case, sharding) -> Program:
    """Ours, its batch laid out so."""
    return Program.build(ours(case, sharding), case.inputs(jax.random.key(0), sharding))


def check_rows(peers: Sequence[AbstractPeer] = PEERS, batch: int = 4096, steps: int = 60):
    """One line of the table of checks for each peer."""
    lines = []
    for peer in peers:
        line = {"peer": peer.name, "version": "-", "quantity": "-"}
        numbers = dict.fromkeys(("value", "exact", "standard error"), math.nan)
        if missing := peer.missing():
            lines.append(line | numbers | {"within 4": missing})
            continue
        check = peer.check(stiffness_ramp(batch, 2, steps))
        line |= {"version": peer.version(), "quantity": check.quantity}
        numbers = {"value": check.value, "exact": check.exact, "standard error": check.error}
        lines.append(line | numbers | {"within 4": "yes" if check.passed else "NO"})
    return lines
