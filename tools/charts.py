"""Draw what benchmarks measured as pictures for the guide: ``hatch run charts``.

``hatch run bench NAME --keep`` leaves its figures in ``docs/figures/NAME.json``; beside each of these files stands its
picture. A bar is one ratio, on a scale on which twice as fast and twice as slow are equally far from
the line in the middle.
"""

from __future__ import annotations

import html
import json
import math
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "docs" / "figures"
WIDTH, LEFT, RIGHT, ROW = 720, 300, 60, 24


def main() -> int:
    """Draw all of them."""
    for name, picture in drawn().items():
        (FIGURES / name).write_text(picture, encoding="utf-8")
        sys.stdout.write(f"docs/figures/{name}\n")
    return 0


def drawn() -> dict[str, str]:
    """Draw the kept results, and return the pictures by the names of their files."""
    kept = sorted(FIGURES.glob("*.json"))
    return {f"{file.stem}.svg": picture(json.loads(file.read_text(encoding="utf-8"))) for file in kept}


def picture(result: dict[str, Any]) -> str:
    """Draw one result.

    Args:
        result: as a benchmark keeps it.

    Returns:
        SVG that takes its colours from the page it stands in.

    Example:
        >>> result = {"bench": "copy", "rows": 10, "spark": "4.1.1", "rounds": 3, "cold": False, "date": "2026-01-01",
        ...     "ratios": {"a / b": 0.5}, "goals": {"a / b": 1.0}}
        >>> "a / b" in picture(result)
        True
    """
    ratios, goals = result["ratios"], result["goals"]
    most = max(2.0, *(max(value, 1 / value) for value in (*ratios.values(), *goals.values())))
    middle, reach = (LEFT + WIDTH - RIGHT) / 2, (WIDTH - RIGHT - LEFT) / 2

    def place(ratio: float) -> float:
        return middle + reach * math.log(ratio) / math.log(most)

    height = ROW * (len(ratios) + 2)
    state = "cold" if result["cold"] else "warmed up"
    rounds = "one round" if result["rounds"] == 1 else f"medians of {result['rounds']} rounds"
    said = f"{result['rows']:,} rows, Spark {result['spark']}, {state}, {rounds}, {result['date']}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" font-size="12" '
        f'font-family="sans-serif" fill="currentColor" style="max-width: 100%">',
        f"<title>{html.escape(result['bench'])}: {html.escape(said)}</title>",
        f'<text x="{middle:.0f}" y="14" text-anchor="middle" opacity="0.7">faster &#8592; 1 &#8594; slower</text>',
    ]
    for number, (name, ratio) in enumerate(ratios.items()):
        top = ROW * (number + 1)
        at, goal = place(ratio), place(goals[name])
        begin, length = min(at, middle), abs(at - middle)
        colour = "#2e7d32" if ratio <= goals[name] else "#c25e00"
        lines += [
            f'<text x="{LEFT - 10}" y="{top + 15}" text-anchor="end">{html.escape(name)}</text>',
            f'<rect x="{begin:.1f}" y="{top + 4}" width="{max(length, 1):.1f}" height="14" fill="{colour}"/>',
            f'<line x1="{goal:.1f}" x2="{goal:.1f}" y1="{top + 1}" y2="{top + 21}" '
            'stroke="currentColor" stroke-dasharray="2"/>',
            f'<text x="{WIDTH - 4}" y="{top + 15}" text-anchor="end">{ratio:.2f}</text>',
        ]
    bottom = ROW * (len(ratios) + 1)
    lines += [
        f'<line x1="{middle:.1f}" x2="{middle:.1f}" y1="{ROW}" y2="{bottom}" stroke="currentColor"/>',
        f'<text x="4" y="{bottom + 16}" opacity="0.7">{html.escape(said)}; dashed: the goal</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
