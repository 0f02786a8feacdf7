"""Every target on one line: what was asked, what was found."""

from __future__ import annotations

import math

from . import gradient
from .growth import TOLERANCE, Sweep
from .report import mark, shown


def groups(rows: list[dict]) -> dict[tuple[str, float, str], list[dict]]:
    """The peers' lines with a target, by (peer, target, missing), in their order."""
    found: dict[tuple[str, float, str], list[dict]] = {}
    for row in rows:
        if not math.isnan(row["target"]):
            missing = row[""] if math.isnan(row["ratio"]) else ""
            found.setdefault((row["peer"], row["target"], missing), []).append(row)
    return found


def line(against: str, target: str, values: list[float], met: bool) -> dict:
    low, high = min(values), max(values)
    measured = shown(low) if len(values) == 1 else f"{shown(low)} to {shown(high)}"
    return {"against": against, "target": target, "measured": measured, "": mark(met)}


def table_rows(forward: list[dict], gradients: list[dict], sweeps: list[Sweep]) -> list[dict]:
    """Lines of the one table. A peer that is missing is missing, whatever its target."""
    lines = []
    for (peer, target, missing), rows in groups(forward).items():
        cases = [row["case"].removeprefix("stiffness ramp ") for row in rows]
        name, asked = f"{peer}: {', '.join(cases)}", f">= {target:g}x"
        if missing:
            lines.append({"against": name, "target": asked, "measured": "-", "": missing})
        else:
            ratios = [row["ratio"] for row in rows]
            lines.append(line(name, asked, ratios, min(ratios) >= target))
    asked = [
        ("/ forward", f"<= {gradient.OWN_FORWARD:g}", "gradient / own forward, d >= 8"),
        ("memory", f"<= {gradient.MEMORY:g}", "gradient's memory / jax.grad of the scan's"),
        ("diffrax / ours", f">= {gradient.VIRTUAL:g}", "gradient: diffrax, VirtualBrownianTree"),
    ]
    for column, target, name in asked:
        judged = [row for row in gradients if row[target] != "-"]
        if judged:
            met = all(row[target] == "met" for row in judged)
            lines.append(line(name, target, [row[column] for row in judged], met))
    for sweep in sweeps:
        row = sweep.row()
        worst = [row["worst deviation"]]
        name = f"cost linear in {sweep.quantity}, {sweep.sizes[0]} to {sweep.sizes[-1]}"
        lines.append(line(name, f"to {TOLERANCE:.0%}", worst, worst[0] <= TOLERANCE))
    return lines
