"""The chart of the README and the documentation.

``python -m benchmarks.peers.chart`` draws it from the stored results.
"""

from collections.abc import Iterator, Sequence
from typing import get_args
from xml.etree import ElementTree as ET

from .report import CHART, DATA, Report, Result
from .variants import CONTROL, Group

__all__ = ["draw"]

_WIDTH, _MARGIN, _ROW, _GAP = 920, 24, 26, 14
_BAR_LEFT, _BAR_RIGHT, _BAR_HEIGHT = 318, 690, 14
_HEADER, _FOOTER = 104, 46
_FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
_INK, _QUIET, _LINE, _PAPER = "#1f2933", "#52606d", "#cbd2d9", "#ffffff"
_COLOURS: dict[Group, str] = {
    "without authentication": "#cbd2d9",
    "fastapi-descope": "#0b7a5b",
    "other libraries": "#9aa5b1",
}
_TITLE = "What authentication costs a request"
_EXPLANATION = (
    "CPU time of a request, in units of the same FastAPI route without authentication: shorter is better"
)

_Rows = Sequence[tuple[Group, Sequence[Result]]]


def draw(report: Report) -> str:
    """Return the chart as SVG text, which is the same for the same report."""
    rows: _Rows = [(group, _rows(report, group)) for group in get_args(Group)]
    body = sum(_ROW * (len(results) + 1) + _GAP for _, results in rows)
    svg = _root(_HEADER + body + _FOOTER, rows)
    _draw_header(svg)
    scale = (_BAR_RIGHT - _BAR_LEFT) / max(_cost(row) for _, results in rows for row in results)
    unit = _BAR_LEFT + scale
    path = f"M{unit:.1f} {_HEADER - 14}V{_HEADER + body - _ROW}"
    ET.SubElement(svg, "path", {"d": path, "stroke": _LINE, "stroke-dasharray": "3 4"})
    y = _HEADER
    for group, results in rows:
        _text(svg, _MARGIN, y, group if group == "fastapi-descope" else group.capitalize(), weight="600")
        for result in results:
            y += _ROW
            _draw_row(svg, y, result, scale)
        y += _ROW + _GAP
    for line in _footer(report):
        _text(svg, _MARGIN, y, line, size="12.5", fill=_QUIET)
        y += 20
    ET.indent(svg, space="")
    return ET.tostring(svg, encoding="unicode") + "\n"


def _rows(report: Report, group: Group) -> Sequence[Result]:
    """Return the results of a group in the order of the table; those of other libraries by their cost."""
    results = [each for each in report.results if each.group == group and each.name != CONTROL]
    return sorted(results, key=_cost) if group == "other libraries" else results


def _cost(result: Result) -> float:
    return result.in_process.ratio.median if result.in_process else 0.0


def _root(height: int, rows: _Rows) -> ET.Element:
    svg = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {_WIDTH} {height}",
            "width": str(_WIDTH),
            "height": str(height),
            "role": "img",
            "aria-labelledby": "title desc",
            "font-family": _FONT,
            "font-size": "14",
            "fill": _INK,
        },
    )
    ET.SubElement(svg, "title", {"id": "title"}).text = _TITLE
    ET.SubElement(svg, "desc", {"id": "desc"}).text = _description(rows)
    paper = {"x": "1", "y": "1", "width": str(_WIDTH - 2), "height": str(height - 2), "rx": "12"}
    ET.SubElement(svg, "rect", {**paper, "fill": _PAPER, "stroke": _LINE})
    return svg


def _description(rows: _Rows) -> str:
    groups = (
        f"{group}: {', '.join(f'{each.label} {_cost_text(each)}' for each in results)}"
        for group, results in rows
    )
    return f"{_EXPLANATION}. {'. '.join(groups)}."


def _draw_header(svg: ET.Element) -> None:
    _text(svg, _MARGIN, 36, _TITLE, size="17", weight="600")
    _text(svg, _MARGIN, 58, _EXPLANATION, size="12.5", fill=_QUIET)
    _text(svg, _WIDTH - _MARGIN, _HEADER - 24, "requests/s", size="12.5", fill=_QUIET, anchor="end")


def _draw_row(svg: ET.Element, y: int, result: Result, scale: float) -> None:
    weight = "600" if result.group == "fastapi-descope" else "400"
    _text(svg, _MARGIN + 12, y, result.label, size="13")
    width = _cost(result) * scale
    bar = {
        "x": str(_BAR_LEFT),
        "y": str(y - 12),
        "width": f"{width:.1f}",
        "height": str(_BAR_HEIGHT),
        "rx": "2",
    }
    if width:
        ET.SubElement(svg, "rect", {**bar, "fill": _COLOURS[result.group]})
    _text(svg, round(_BAR_LEFT + width) + 8, y, _cost_text(result), size="13", weight=weight)
    if result.under_load:
        speed = f"{result.under_load.requests_per_second.median:,.0f}"
        _text(svg, _WIDTH - _MARGIN, y, speed, size="13", anchor="end")


def _cost_text(result: Result) -> str:
    return f"{_cost(result):.2f}" if result.in_process else "not measured"


def _text(
    svg: ET.Element,
    x: int,
    y: int,
    text: str,
    *,
    size: str = "14",
    weight: str = "400",
    fill: str = _INK,
    anchor: str = "start",
) -> None:
    attributes = {"x": str(x), "y": str(y), "font-size": size, "font-weight": weight, "fill": fill}
    ET.SubElement(svg, "text", {**attributes, "text-anchor": anchor}).text = text


def _footer(report: Report) -> Iterator[str]:
    method, versions = report.method, report.versions
    yield (
        f"CPU time: in one process, median of {method.in_process_rounds} rounds. Requests per second:"
        f" one uvicorn worker on one core, wrk with {method.connections} connections."
    )
    yield (
        f"Token: RS256, {method.token_characters:,} characters. FastAPI {versions['fastapi']},"
        f" Python {versions['python']}, {report.processor}. {report.date}"
    )


if __name__ == "__main__":
    CHART.write_text(draw(Report.from_json(DATA.read_text("utf-8"))), encoding="utf-8")
