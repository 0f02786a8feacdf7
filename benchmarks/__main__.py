"""Speed against peers, the cost of gradients, and how cost grows, as one table of targets."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import jax

import thermojax as tj

from . import forward, gradient, growth, summary
from .cases import forward_cases, gradient_cases
from .report import SET_UP_CPU, cores, header, header_text, table

PARTS = ("forward", "gradient", "growth")


def progress(text: str) -> None:
    """On standard error, so that a table in a file stays a table."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def main() -> None:
    # Tables of their own.
    if sys.argv[1:2] == ["annealing"]:
        from . import annealing

        return annealing.main(sys.argv[2:])
    if sys.argv[1:2] == ["energy_models"]:
        from . import energy_models

        return energy_models.main(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer sizes, three rounds")
    parser.add_argument("--rounds", type=int, help="rounds per race, 5 when left out")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="some parts only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there as well")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the growth of cost there")
    parser.add_argument("--case", default="", help='cases whose name has this in it: "1024 x"')
    parser.add_argument("--devices", type=int, default=cores(), help="of a CPU: one for each core")
    parser.add_argument("--set-up-cpu", action="store_true", help=SET_UP_CPU)
    options = parser.parse_args()
    if options.set_up_cpu:
        tj.set_up_cpu(keep_memory=True)
    jax.config.update("jax_num_cpu_devices", options.devices)
    rounds = options.rounds or (3 if options.quick else 5)
    if rounds < 1:
        parser.error(f"rounds = {rounds}: expected a positive number")
    begun = time.perf_counter()
    chosen = lambda cases: [x for x in cases(options.quick) if options.case in x.name]
    if not chosen(forward_cases) and not chosen(gradient_cases):
        parser.error(f"no case has {options.case!r} in its name")
    facts = header()
    print(header_text(facts), flush=True)
    checks, own, peers, gradients, sweeps = [], [], [], [], []
    if "forward" in options.only and chosen(forward_cases):
        checks = forward.check_rows()
        print(f"\n{forward.CHECK_NOTE}\n\n{table(checks)}", flush=True)
        for case in chosen(forward_cases):
            progress(f"forward, {case.name}")
            mine, found = forward.rows(case, rounds)
            own.append(mine)
            peers += found
        print(f"\n{forward.NOTE}\n\n{table(peers)}\n\nOurs\n\n{table(own)}", flush=True)
    if "gradient" in options.only and chosen(gradient_cases):
        for case in chosen(gradient_cases):
            progress(f"gradient, {case.name}")
            gradients.append(gradient.row(case, rounds))
        print(f"\n{gradient.NOTE}\n\n{table(gradients)}", flush=True)
    if "growth" in options.only:
        for plan in growth.plans(options.quick):
            progress(f"growth of the cost with {plan[0]}")
            sweeps.append(growth.sweep(*plan, rounds))
        print(f"\n{growth.NOTE}\n\n{table([sweep.row() for sweep in sweeps])}", flush=True)
        if options.plot is not None:
            growth.plot(sweeps, options.plot)
    lines = summary.table_rows(peers, gradients, sweeps)
    if lines:
        print(f"\nAll targets; ratios are peer / ours where a peer is named.\n\n{table(lines)}")
    seconds = time.perf_counter() - begun
    print(f"\nMedians of {rounds} rounds, interleaved; {seconds:.0f} s in all.")
    if options.json is not None:
        record = {
            "header": facts,
            "rounds": rounds,
            "checks": checks,
            "forward": peers,
            "ours": own,
            "gradient": gradients,
            "growth": [
                {**sweep.row(), "sizes": sweep.sizes, "seconds": sweep.seconds.tolist()}
                for sweep in sweeps
            ],
            "summary": lines,
        }
        options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
