"""report.html: one file that opens anywhere, offline, light or dark, on a phone too."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

from ..config.yaml_file import from_yaml
from .figures import draw
from .store import Record, write_whole
from .summary import BOUNDS, best_column, headline, posterior, saved

REPORT = "report.html"

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { --paper: #ffffff; --ink: #1c2127; --soft: #5b6570; --line: #d9dee3; --warn: #fff3d6;
  --blue: #0072B2; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15181c; --ink: #e4e8ec; --soft: #9aa5b1; --line: #343b43; --warn: #3d3113;
    --blue: #3d9bd9; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: $width; padding: 1.2rem 1rem 3rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
p { max-width: 44rem; }
h1 { font-size: 1.45rem; line-height: 1.25; margin: 0.4rem 0; }
h2 { font-size: 1.1rem; margin: 2rem 0 0.5rem; }
.soft, figcaption, footer { color: var(--soft); font-size: 0.88rem; }
.answer { font-size: 1.15rem; font-variant-numeric: tabular-nums; }
.warning { background: var(--warn); border-left: 4px solid #E69F00; margin: 0.5rem 0;
  padding: 0.5rem 0.8rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem;
  font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
.numbers td { white-space: nowrap; }
.numbers thead th { overflow-wrap: normal; }
.numbers tbody th { min-width: 6.5rem; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 0.6rem 0.25rem 0;
  border-bottom: 1px solid var(--line); font-weight: inherit; }
thead th { font-weight: 600; hyphens: auto; }
figure { margin: 1.6rem 0; }
.figures { display: grid; gap: 0 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); }
figure svg { display: block; width: 100%; height: auto; max-width: 40rem; }
.warning summary { margin: 0; }
.warning p { font-size: 0.9rem; margin: 0.4rem 0; }
summary { cursor: pointer; margin: 0.8rem 0; }
@media print { body { max-width: none; } details { display: none; } }
@media (max-width: 30rem) { table { font-size: 0.78rem; } td, th { padding-right: 0.35rem; } }
</style>
</head>
<body>
<header>
<p class="soft">$name</p>
<h1>$question</h1>
<p class="answer">$answer</p>
$warnings
</header>
<main>
<h2>Numbers</h2>
$headline
$bound
<p class="soft">Energies in units of kT. Each number stands with its standard error (one standard
deviation of its sampling noise).</p>
$posterior
<h2>Figures</h2>
$figures
<h2>Settings</h2>
$settings
</main>
<footer>
<p>$footer</p>
</footer>
</body>
</html>
""")


def write_report(folder: Path, results: Record) -> Path:
    """Write `report.html` from the stored results; nothing else is read."""
    file = folder / REPORT
    text = report(results)
    write_whole(file, lambda path: path.write_text(text, encoding="utf-8"))
    return file


def report(results: Record) -> str:
    """The page."""
    facts = results.attributes
    figures = "\n".join(
        f'<figure id="{name}">\n{svg.replace("<svg", label(name), 1)}'
        f"<figcaption>{escape(caption)}</figcaption>\n</figure>"
        for name, (svg, caption) in draw(results).items()
    )
    weights = posterior(results)
    details = ""
    if weights:
        details = (
            "<details><summary>Posterior mean and standard deviation of every weight</summary>\n"
            f"{table(weights, numbers=True)}\n</details>"
        )
    return PAGE.substitute(
        width="44rem",
        title=escape(f"{facts['name']}: thermojax"),
        name=escape(facts["name"]),
        question=escape(facts["question"] or facts["name"]),
        answer=escape(answer(results)),
        warnings="\n".join(
            f'<p class="warning">Warning: {escape(w)}</p>' for w in facts["warnings"]
        ),
        headline=table(headline(results), numbers=True),
        bound=f'<p class="soft">{escape(note)}</p>' if (note := bound_note(results)) else "",
        posterior=details,
        figures=figures,
        settings=table([["setting", "value"], *settings(results["config"])]),
        footer=escape(footer(results)),
    )


def label(name: str) -> str:
    return f'<svg role="img" aria-label="{name.replace("_", " ")}"'


def answer(results: Record) -> str:
    """The headline in one line: what was asked for, and what training has saved."""
    gain = saved(results)
    best = best_column(results)
    if best is not None:
        return f"log evidence {results[best]['log_evidence']}" + (f". {gain}" if gain else "")
    if gain:
        return f"{gain} Training minimizes the mean total work."
    header, *rows = headline(results)
    if not rows or len(header) < 2:
        return ""
    last = len([name for name in results.attributes["columns"] if name in results])
    if not rows[0][last]:
        return ""
    facts = results.attributes
    entry = dict(zip(facts["labels"], facts["entries"], strict=True))[rows[0][0]]
    unit = results[header[last]].units.get(entry, "1")
    unit = "" if unit == "1" else f" {unit}"
    before = f" ({rows[0][1]}{unit} {header[1]})" if last > 1 and rows[0][1] else ""
    return f"{rows[0][0]} {rows[0][last]}{unit}, {header[last]}{before}"


def bound_note(results: Record) -> str:
    """Why the bounds hold, in the study's words."""
    return str(results.get(BOUNDS, Record()).attributes.get("note", ""))


def table(rows: list[list[str]], numbers: bool = False) -> str:
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


def settings(config: str) -> list[list[str]]:
    """Dotted keys and values of a config."""

    def flat(value, prefix):
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                yield from flat(inner, f"{prefix}.{key}" if prefix else str(key))
        else:
            yield [prefix, str(value)]

    return list(flat(from_yaml(config), ""))


def footer(results: Record) -> str:
    facts = results.attributes
    versions = ", ".join(f"{k} {v}" for k, v in results["versions"].attributes.items())
    commit = f" Commit {facts['commit']}." if facts["commit"] else ""
    return (
        f"Run of {facts['started']}, {facts['wall_time']:.0f} s on {facts['device']}; seed "
        f"{facts['seed']}; {facts['diverged']:,} paths diverged. {versions}.{commit}"
    )
