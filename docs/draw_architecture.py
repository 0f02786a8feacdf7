"""Draws architecture.svg from the imports of the package: `python docs/draw_architecture.py`.

A row for each room, the higher importing from the lower. An arc leads from a room to one that it
imports from; arcs that follow from two others are left out.
"""

from __future__ import annotations

import ast
import graphlib
import html
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "thermojax"
PICTURE = HERE / "architecture.svg"
ROW, LEFT, TEXT, BOX, WIDTH = 44, 20, 190, 150, 1000
FOUNDATION = "foundation"
WHAT_FOUNDATION = (
    "Arguments, components, keys, arithmetic on batches, the tuned numbers of machines."
)


def room_of(parts: tuple[str, ...]) -> str:
    """The room of a module: its folder, or its file where that stands alone."""
    name = parts[0] if parts else ""
    alone = name.startswith("_") or name in ("compilation_cache", "cpu", "version")
    return FOUNDATION if alone else name


def modules() -> dict[tuple[str, ...], Path]:
    """Every module of the package by the parts of its name."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        found[parts[:-1] if parts[-1] == "__init__" else parts] = file
    return found


def imports(parts: tuple[str, ...], file: Path) -> set[tuple[str, ...]]:
    """The modules of the package that a file imports from, also inside of functions."""
    found, folder = set(), parts if file.name == "__init__.py" else parts[:-1]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            above = folder[: len(folder) - node.level + 1]
            base = above + tuple((node.module or "").split(".") if node.module else ())
            found |= {base or (alias.name,) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("thermojax."):
            found.add(tuple(str(node.module).split(".")[1:]))
    return found


def rooms() -> dict[str, set[str]]:
    """Each room, and the rooms that it imports from; from the bottom to the top."""
    graph: dict[str, set[str]] = {}
    for parts, file in modules().items():
        room = room_of(parts)
        if room and parts != ("__main__",):
            into = {room_of(other) for other in imports(parts, file)} - {room, ""}
            graph.setdefault(room, set()).update(into)
    order = graphlib.TopologicalSorter({room: sorted(graph[room]) for room in sorted(graph)})
    return {room: graph[room] for room in order.static_order()}


def reached(graph: dict[str, set[str]], room: str) -> set[str]:
    """All that a room imports from, by whatever way."""
    own = graph[room]
    return own.union(*(reached(graph, other) for other in own)) if own else set()


def direct(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The graph without arcs that follow from two others."""
    return {
        room: {
            other
            for other in own
            if not any(other in reached(graph, third) for third in own - {other})
        }
        for room, own in graph.items()
    }


def sentence(room: str) -> str:
    """What a room says of itself, in the first line of its docstring."""
    if room == FOUNDATION:
        return WHAT_FOUNDATION
    file = PACKAGE / room / "__init__.py"
    file = file if file.exists() else PACKAGE / f"{room}.py"
    return (ast.get_docstring(ast.parse(file.read_text())) or "").splitlines()[0]


def drawn() -> str:
    """The picture, as SVG."""
    graph = rooms()
    names = list(graph)[::-1]
    row = {name: ROW * (n + 1) for n, name in enumerate(names)}
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {ROW * (len(names) + 1)}" '
        'font-family="sans-serif" font-size="14">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for name, below in direct(graph).items():
        for other in sorted(below):
            y0, y1 = row[name], row[other]
            bulge = WIDTH - 190 + 24 * abs(y1 - y0) / ROW * 0.55
            x = WIDTH - 200
            lines.append(
                f'<path d="M {x} {y0 + 5} C {bulge:.0f} {y0 + 5}, {bulge:.0f} {y1 - 5}, '
                f'{x} {y1 - 5}" fill="none" stroke="#8899aa" stroke-width="1.3"/>'
            )
            lines.append(f'<circle cx="{x}" cy="{y1 - 5}" r="3" fill="#8899aa"/>')
    for name in names:
        y = row[name]
        lines += [
            f'<rect x="{LEFT}" y="{y - 16}" width="{BOX}" height="32" rx="5" fill="#e8eef5" '
            'stroke="#335577"/>',
            f'<text x="{LEFT + BOX / 2:g}" y="{y + 5}" text-anchor="middle" '
            f'font-weight="bold" fill="#223344">{name}</text>',
            f'<text x="{TEXT}" y="{y + 5}" fill="#333333">{html.escape(sentence(name))}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(drawn())
