"""The figures as a table and as a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_BAR_PX, _ROW_PX, _LABEL_PX = 420, 26, 250
_FONT = 'font-family="sans-serif" font-size="13"'


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table; `wanted` is the figure that must not be exceeded, in words."""

    name: str
    requests_per_second: float | None
    p50_ms: float | None
    p99_ms: float | None
    cpu_us: float | None
    ratio: float | None
    wanted: str = ""
    note: str = ""


def table(lines: Sequence[Line]) -> str:
    """The table, in Markdown."""
    rows = ["| case | requests/s | p50 ms | p99 ms | CPU µs a request | ratio to the floor | wanted | |"]
    rows.append("|---|---:|---:|---:|---:|---:|---|---|")
    for line in lines:
        figures = [
            _shown(line.requests_per_second, 0),
            _shown(line.p50_ms, 2),
            _shown(line.p99_ms, 2),
            _shown(line.cpu_us, 0),
            _shown(line.ratio, 2),
        ]
        rows.append(f"| {line.name} | {' | '.join(figures)} | {line.wanted} | {line.note} |")
    return "\n".join(rows)


def chart(lines: Sequence[Line]) -> str:
    """CPU a request of every case that has one, as SVG bars beside the floor's."""
    drawn = [line for line in lines if line.cpu_us]
    most = max((line.cpu_us or 0 for line in drawn), default=1)
    width, height = _LABEL_PX + _BAR_PX + 90, _ROW_PX * len(drawn) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" {_FONT}>',
        '<rect width="100%" height="100%" fill="white"/>',
        '<text x="8" y="20" font-weight="bold">CPU microseconds a request: server + PostgreSQL + Redis</text>',
    ]
    for index, line in enumerate(drawn):
        top, long = 34 + index * _ROW_PX, max(1, round((line.cpu_us or 0) / most * _BAR_PX))
        colour = "#888" if line.name == "floor" else "#2a6f97"
        parts += [
            f'<text x="8" y="{top + 15}">{escape(line.name)}</text>',
            f'<rect x="{_LABEL_PX}" y="{top + 2}" width="{long}" height="{_ROW_PX - 8}" fill="{colour}"/>',
            f'<text x="{_LABEL_PX + long + 6}" y="{top + 15}">{line.cpu_us:.0f}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _shown(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
