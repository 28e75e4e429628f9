"""The share of flights on time, as a table for the terminal and as a chart: carriers down, months across."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

_TITLE = "Flights on time, in % of those not cancelled"


@dataclass(frozen=True)
class Line:
    """One carrier at one airport.

    Attributes:
        origin: the airport.
        carrier: the airline's code.
        name: the airline's name.
        flights: scheduled flights of all months.
        cancelled: those that never departed.
        shares: the share on time by month.
    """

    origin: str
    carrier: str
    name: str
    flights: int
    cancelled: int
    shares: dict[str, float | None]


def lines_of(on_time: Iterable[Any]) -> list[Line]:
    """Group rows of the table ``on_time`` by airport and carrier, in alphabetical order.

    Args:
        on_time: rows with the table's columns.
    """
    grouped: dict[tuple[str, str], list[Any]] = {}
    for row in on_time:
        grouped.setdefault((row["origin"], row["carrier"]), []).append(row)
    return [
        Line(
            origin,
            carrier,
            rows[0]["carrier_name"] or carrier,
            sum(row["flights"] for row in rows),
            sum(row["cancelled"] for row in rows),
            {row["month"]: row["on_time_share"] for row in sorted(rows, key=lambda row: str(row["month"]))},
        )
        for (origin, carrier), rows in sorted(grouped.items())
    ]


def show(lines: Sequence[Line]) -> None:
    """Print the table to standard output, by rich on a terminal that has it.

    Args:
        lines: what to print.
    """
    months = _months(lines)
    heads = ["from", "airline", "flights", "cancelled", *(month[2:] for month in months)]
    table = [
        [line.origin, line.name, f"{line.flights:,}", f"{line.cancelled:,}", *(_percent(line, month) for month in months)]
        for line in lines
    ]
    if sys.stdout.isatty() and importlib.util.find_spec("rich"):
        _show_by_rich(heads, table)
        return
    widths = [max(map(len, column)) for column in zip(heads, *table, strict=True)]
    print(_TITLE)
    for row in [heads, *table]:
        texts = [cell.ljust(width) for cell, width in zip(row[:2], widths, strict=False)]
        print(*texts, *(cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)), sep="  ")


def _show_by_rich(heads: Sequence[str], table: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - optional
    from rich.table import Table  # noqa: PLC0415

    shown = Table(title=_TITLE, row_styles=["", "dim"])
    for number, head in enumerate(heads):
        shown.add_column(head, justify="left" if number < 2 else "right", no_wrap=True)
    for row in table:
        shown.add_row(*row)
    Console().print(shown)


def chart(lines: Sequence[Line]) -> str:
    """Draw the same as SVG: one panel an airport, a cell a month, darker is better. It fits light and dark pages.

    Args:
        lines: what to draw.

    Returns:
        The picture; the same rows give the same bytes.
    """
    months = _months(lines)
    names = dict(sorted({line.carrier: line.name for line in lines}.items(), key=lambda named: named[1]))
    origins = sorted({line.origin for line in lines})
    panel = _CELL * len(months)
    right = _LEFT + len(origins) * (panel + _GAP)
    bottom = _TOP + _CELL * len(names)
    body = [_text(_GAP, 26, _TITLE, "title")]
    for row, name in enumerate(names.values()):
        body.append(_text(_LEFT - 8, _TOP + _CELL * row + 17, name, "end"))
    for number, origin in enumerate(origins):
        left = _LEFT + number * (panel + _GAP)
        body.append(_text(left, _TOP - 24, origin, "head"))
        body += [_text(left + _CELL * (i + 0.5), _TOP - 7, month[5:], "small") for i, month in enumerate(months)]
        for line in lines:
            if line.origin == origin:
                top = _TOP + _CELL * list(names).index(line.carrier)
                body += [_cell(left + _CELL * i, top, line, month) for i, month in enumerate(months)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {right} {bottom + _GAP}" role="img" aria-label="{_TITLE}">\n'
        f"<style>{_STYLE}</style>\n" + "\n".join(filter(None, body)) + "\n</svg>\n"
    )


_CELL, _LEFT, _TOP, _GAP = 26, 190, 78, 20
# From the pale to the dark end of one hue; the worst months are about 40 %.
_PALE, _DARK, _WORST = (222, 235, 247), (8, 48, 107), 0.4
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1f2328}.title{font-size:16px;font-weight:600}.head{font-weight:600}"
    ".end{text-anchor:end}.small,.on{font-size:11px;text-anchor:middle}.small{fill:#59636e}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}}"
    ".on{fill:#08306b}.on.dark{fill:#fff}"
)


def _cell(left: float, top: float, line: Line, month: str) -> str:
    share = line.shares.get(month)
    if share is None:
        return ""
    depth = min(max((share - _WORST) / (1 - _WORST), 0), 1)
    red, green, blue = (round(pale + (dark - pale) * depth) for pale, dark in zip(_PALE, _DARK, strict=True))
    told = f"{escape(line.name)}, {line.origin}, {month}: {share:.1%}"
    return (
        f'<rect x="{left}" y="{top}" width="{_CELL - 1}" height="{_CELL - 1}" rx="3" fill="rgb({red},{green},{blue})">'
        f"<title>{told}</title></rect>"
        + _text(left + _CELL / 2, top + 17, _percent(line, month), "on dark" if depth > 0.5 else "on")
    )


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{style}">{escape(text)}</text>'


def _percent(line: Line, month: str) -> str:
    share = line.shares.get(month)
    return "" if share is None else f"{100 * share:.0f}"


def _months(lines: Sequence[Line]) -> list[str]:
    return sorted({month for line in lines for month in line.shares})
