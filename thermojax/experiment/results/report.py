"""report.html: one file that opens anywhere, offline, light or dark, on a phone too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import Protocol

from ..shipped import template_text
from .drawing import Figures, svg_figures
from .store import Record, write_whole
from .tables import BOUNDS, Rows, columns_of, headline, labels_of, settings_of

REPORT = "report.html"


class Hooks(Protocol):
    """The hooks of a study for its own results; `AbstractStudy` explains them."""

    figures: Figures
    tables: Mapping[str, Callable[[Record], Rows]]
    sentences: tuple[Callable[[Record], str], ...]


def write_report(folder: Path, results: Record, study: Hooks, warning: str = "") -> Path:
    """Write `report.html` from the stored results and what their study adds to them."""
    file = folder / REPORT
    text = report(results, study, warning)
    write_whole(file, lambda path: path.write_text(text, encoding="utf-8"))
    return file


def report(results: Record, study: Hooks, warning: str = "") -> str:
    """The page; `warning`, one more than those that are stored."""
    facts = results.attributes
    warnings = [*facts["warnings"], *([warning] if warning else [])]
    return page(
        width="44rem",
        name=facts["name"],
        question=facts["question"] or facts["name"],
        answer=answer(results, study),
        warnings="\n".join(warned(f"Warning: {text}") for text in warnings),
        numbers=headline(results),
        note=str(results.get(BOUNDS, Record()).attributes.get("note", "")),
        details="\n".join(
            f"<details><summary>{escape(title)}</summary>\n{table(rows, True)}\n</details>"
            for title, rows in tables_of(results, study).items()
        ),
        figures="\n".join(
            figure(svg, caption, name)
            for name, (svg, caption) in svg_figures(results, study.figures).items()
        ),
        settings=[["setting", "value"], *map(list, settings_of(results).items())],
        footer=footer(results),
    )


def page(*, width: str, name: str, numbers: Rows, note: str, settings: Rows, **fields: str) -> str:
    """A page of ours: `warnings`, `details` and `figures` are HTML, everything else is text."""
    for field in ("question", "answer", "footer"):
        fields[field] = escape(fields[field])
    return Template(template_text("results", "page.html")).substitute(
        fields,
        style=Template(template_text("results", "page.css")).substitute(width=width),
        title=escape(f"{name.partition(',')[0]}: thermojax"),
        name=escape(name),
        headline=table(numbers, numbers=True),
        note=f'<p class="soft">{escape(note)}</p>' if note else "",
        settings=table(settings),
    )


def warned(text: str) -> str:
    return f'<p class="warning">{escape(text)}</p>'


def figure(svg: str, caption: str, name: str = "") -> str:
    """A figure of a page, with its `name` for links and for those who cannot see it."""
    place = f' id="{name}"' if name else ""
    said = f'<svg role="img" aria-label="{name.replace("_", " ")}"' if name else "<svg"
    svg = svg.replace("<svg", said, 1)
    return f"<figure{place}>\n{svg}<figcaption>{escape(caption)}</figcaption>\n</figure>"


def table(rows: Rows, numbers: bool = False) -> str:
    """A table that scrolls in itself where it is too wide; `numbers` are never broken."""
    head, *body = ([escape(cell) for cell in row] for row in rows)
    head = [cell.replace(".", ".<wbr>") for cell in head]  # where a dotted key may be broken
    kind = ' class="numbers"' if numbers else ""
    lines = [
        f'<div class="scroll"><table{kind}>',
        "<thead><tr>" + "".join(f"<th>{c}</th>" for c in head) + "</tr></thead>",
    ]
    for first, *rest in body:
        lines.append(f"<tr><th>{first}</th>" + "".join(f"<td>{c}</td>" for c in rest) + "</tr>")
    return "\n".join([*lines, "</table></div>"])


def tables_of(results: Record, study: Hooks) -> dict[str, Rows]:
    """The tables of a study's own that are not empty, by their titles."""
    made = {title: rows(results) for title, rows in study.tables.items()}
    return {title: rows for title, rows in made.items() if rows}


def sentences_of(results: Record, study: Hooks) -> list[str]:
    """The first sentences of the study, as far as these results have them."""
    return [text for say in study.sentences if (text := say(results))]


def answer(results: Record, study: Hooks) -> str:
    """The first sentences of the study, else its first headline number."""
    if said := sentences_of(results, study):
        return " ".join([*(f"{text.removesuffix('.')}." for text in said[:-1]), said[-1]])
    columns, labels = columns_of(results), labels_of(results)
    entry = next(iter(labels), None)
    if entry is None or entry not in results[columns[-1]]:
        return ""
    cells = headline(results)[1][1:]
    unit = results[columns[-1]].units.get(entry, "1")
    cells = [f"{text}{'' if unit == '1' else f' {unit}'}" if text else "" for text in cells]
    last = len(columns) - 1
    before = f" ({cells[0]} {columns[0]})" if last and cells[0] else ""
    return f"{labels[entry]} {cells[last]}, {columns[last]}{before}"


def footer(results: Record) -> str:
    facts = results.attributes
    versions = ", ".join(f"{k} {v}" for k, v in results["versions"].attributes.items())
    commit = f" Commit {facts['commit']}." if facts["commit"] else ""
    return (
        f"Run of {facts['started']}, {facts['wall_time']:.0f} s on {facts['device']}; seed "
        f"{facts['seed']}; {facts['diverged']:,} paths diverged. {versions}.{commit}"
    )
