"""Throughput beside the ceilings of the device, on a GPU as on a CPU; needs no network.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --quick

Needs jax, diffrax, equinox, optax, numpy, h5py, matplotlib, tqdm and jaxtyping, and no peers.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from thermojax._platform import platform
from thermojax.dynamics.random import key_words, normal_pair
from thermojax.execution.gpu.kernel import there_is_triton
from thermojax.execution.gpu.sizes import kernel_block, unrolled_steps
from thermojax.execution.time_grid import block_size
from thermojax.execution.workload import Workload

from .cases import Case, our_gradient, ours, stiffness_ramp
from .race import Program, race, took
from .report import header, header_text, table
from .unrolled import unrolled

DIMS = (1, 8, 64)
BATCHES = (10**3, 10**4, 10**5, 10**6, 10**7)
UNROLLS = (4, 8, 16)
GRADIENTS = ((10**4, 1), (10**5, 1), (10**6, 1), (10**5, 8), (10**4, 64))  # batch, d
ARRAYS = 16  # of the size of the positions, that a run may hold at once

CEILING_NOTE = """\
Ceilings, measured here. Copy: y = x + 1 out of place, bytes read and written. Normals per second,
each summed as it is drawn ("summed": the generator alone) or stored ("stored")."""
NOTE = """\
Forward, stiffness ramp, float32. "engine": `tj.simulate`, the whole ledger. "unrolled u": u steps
written out, the work booked and nothing else (benchmarks/unrolled.py). "of normals": normals per
second over the ceiling of our generator, summed. "of bandwidth": bytes that have to move over the
copy's rate, 24 d for each u steps: x, p and force (or, unrolled, work) read and written; of the
engine, u is the block that is one kernel."""
GRADIENT_NOTE = """\
Gradient of the mean total work with respect to 64 schedule values; temporary memory as the compiler
counts it."""


def seconds(program: Program, rounds: int) -> float:
    """The median of `rounds` calls, after one unmeasured."""
    took(program)
    return statistics.median(took(program).wall for _ in range(rounds))


def copy_rate(count: int, rounds: int) -> float:
    """Bytes per second of y = x + 1 on `count` floats."""
    program = Program.build(lambda x: x + 1, (jnp.zeros(count, jnp.float32),))
    return 8 * count / seconds(program, rounds)


def generators(count: int):
    """name -> f(key) -> `count` normals; ours are pairs, as complex numbers."""
    shape = (64, count // 64)

    def counted(key):
        index = jax.lax.iota(jnp.uint32, shape[1])
        return normal_pair(key_words(key), index, jax.lax.iota(jnp.uint32, shape[0] // 2)[:, None])

    return {
        "thermojax": counted,
        "jax.random.normal": lambda key: jax.random.normal(key, shape, jnp.float32),
    }


def summed_up(normals):
    return jnp.sum(normals.real + normals.imag if jnp.iscomplexobj(normals) else normals, axis=0)


def normal_rows(count: int, rounds: int) -> list[dict]:
    """Normals per second of both generators."""
    rows = []
    inputs = (jax.random.key(0),)
    for name, draw in generators(count).items():
        summed = Program.build(lambda key, draw=draw: summed_up(draw(key)), inputs)
        stored = Program.build(draw, inputs)
        rows.append(
            {
                "generator": name,
                "normals/s summed": count / seconds(summed, rounds),
                "normals/s stored": count / seconds(stored, rounds),
            }
        )
    return rows


def budget() -> float:
    """Bytes that a run may take: most of the device's memory, or 4 GiB where it does not say."""
    stats = jax.devices()[0].memory_stats() or {}
    return 0.8 * stats.get("bytes_limit", 5 * 2**30)


def sized(batch: int, dim: int, work: float) -> Case:
    """The ramp with as many steps, a multiple of 64, as make about `work` coordinate-steps."""
    steps = 64 * min(max(round(work / (64 * batch * dim)), 1), 64)
    return stiffness_ramp(batch, dim, steps)


def together(case: Case, position) -> int:
    """Substeps of the engine in one kernel."""
    paths, dim = position.shape
    work = Workload(paths, dim, 4, 1, 1, 1, False, False, True, True)
    if platform() == "gpu" and there_is_triton():
        return block_size(case.steps, best=kernel_block(work, case.steps))
    return unrolled_steps(work, block_size(case.steps)) if platform() == "gpu" else 1


def line(
    case: Case, name: str, unroll: int, program: Program, rounds: int, copy: float, normals: float
) -> dict:
    rate = case.particle_steps / seconds(program, rounds)
    return {
        "case": f"{case.batch:.0e} x {case.dim}",
        "program": name,
        "steps": case.steps,
        "a kernel": unroll,
        "compile s": program.compile_seconds,
        "particle-steps/s": rate,
        "of normals": rate * case.dim / normals,
        "of bandwidth": rate * case.dim * 24 / unroll / copy,
    }


def forward_rows(batches, dims, unrolls, work, rounds, copy, normals) -> list[dict]:
    """The engine at every size; unroll factors at the middle batch, the best of them elsewhere."""
    rows = []
    for dim in dims:
        fits = [batch for batch in batches if 4 * batch * dim * ARRAYS <= budget()]
        middle, best = fits[len(fits) // 2], unrolls[0]
        found: dict[int, list[dict]] = {}
        for batch in [middle] + [batch for batch in fits if batch != middle]:
            case = sized(batch, dim, work)
            values, state, key = case.inputs(jax.random.key(0))
            measured = functools.partial(line, rounds=rounds, copy=copy, normals=normals)
            engine = Program.build(ours(case), (values, state, key))
            block = together(case, state.position)
            found[batch] = [measured(case, "engine", block, engine)]
            tried = {}
            for unroll in unrolls if batch == middle else (best,):
                program = Program.build(unrolled(case, unroll), (state, key))
                tried[unroll] = measured(case, f"unrolled {unroll}", unroll, program)
            found[batch] += tried.values()
            best = max(tried, key=lambda unroll: tried[unroll]["particle-steps/s"])
        rows += [row for batch in fits for row in found[batch]]
    return rows


def gradient_rows(sizes, steps: int, rounds: int) -> list[dict]:
    rows = []
    for batch, dim in sizes:
        case = stiffness_ramp(batch, dim, steps)
        inputs = case.inputs(jax.random.key(0))
        steep = Program.build(our_gradient(case), inputs)
        timing = race(steep, Program.build(ours(case), inputs), rounds)
        rows.append(
            {
                "case": f"{batch:.0e} x {dim}",
                "steps": steps,
                "ms": timing.first * 1e3,
                "/ forward": timing.ratio,
                "MiB": steep.temporary_bytes / 2**20,
                "MiB of one state": 8 * batch * dim / 2**20,
                "compile s": steep.compile_seconds,
            }
        )
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--rounds", type=int, default=5, help="calls that are timed")
    parser.add_argument("--unroll", type=int, nargs="+", default=None, help="steps per kernel")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there as well")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"rounds = {options.rounds}: expected a positive number")
    small = jax.default_backend() == "cpu"
    count = 2**16 if options.quick else 2**26 if small else 2**28
    work = 1e4 if options.quick else 3e8 if small else 3e9
    batches, dims = (BATCHES[:1], DIMS[:1]) if options.quick else (BATCHES, DIMS)
    unrolls = options.unroll or (UNROLLS[:2] if options.quick else UNROLLS)
    if bad := [unroll for unroll in unrolls if unroll < 2 or unroll % 2 or 64 % unroll]:
        parser.error(f"unroll = {bad[0]}: expected 2, 4, 8, 16, 32 or 64")
    begun = time.perf_counter()
    facts = header()
    print(header_text(facts), flush=True)
    copy = copy_rate(count, options.rounds)
    drawn = normal_rows(count, options.rounds)
    print(f"\n{CEILING_NOTE}\n\ncopy: {copy / 1e9:.4g} GB/s\n\n{table(drawn)}", flush=True)
    normals = drawn[0]["normals/s summed"]
    forward = forward_rows(batches, dims, unrolls, work, options.rounds, copy, normals)
    print(f"\n{NOTE}\n\n{table(forward)}", flush=True)
    sizes, steps = (((16, 1),), 16) if options.quick else (GRADIENTS, 1000)
    gradients = gradient_rows(sizes, steps, options.rounds)
    print(f"\n{GRADIENT_NOTE}\n\n{table(gradients)}", flush=True)
    print(f"\nMedians of {options.rounds} calls; {time.perf_counter() - begun:.0f} s in all.")
    if options.json is not None:
        record = {"header": facts, "copy": copy, "normals": drawn}
        record |= {"forward": forward, "gradient": gradients}
        options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
