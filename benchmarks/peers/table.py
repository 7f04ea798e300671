"""The results as text."""

from collections.abc import Iterator

from .acceptance import Statuses
from .report import Ratio, Report, Result

__all__ = ["difference", "lines"]


def lines(report: Report) -> Iterator[str]:
    """Yield the lines of the table, of the ratios and of the facts."""
    yield f"{report.date}, commit {report.commit}, {report.processor}"
    yield ", ".join(f"{name} {number}" for name, number in report.versions.items())
    yield ""
    heads = ("CPU us", "x no auth", "requests/s", "x no auth", "p50 ms", "p99 ms")
    yield f"{'':42}{heads[0]:>8}{heads[1]:>11}{heads[2]:>13}{heads[3]:>11}{heads[4]:>10}{heads[5]:>10}"
    for result in report.results:
        yield f"{result.label:42}{_figures(result)}"
    yield "\nratio                                       CPU time      throughput"
    yield from (_ratio(each) for each in report.ratios)
    yield "\nresponses to a valid token, a changed signature, no token"
    for result in report.results:
        if result.statuses is not None:
            yield f"  {result.label:42}{_statuses(result.statuses)}"


def difference(report: Report, earlier: Report) -> str:
    """Return a line that names the variant whose cost differs most from that of an earlier run."""
    before = {each.name: each.in_process.ratio.median for each in earlier.results if each.in_process}
    changes = {
        each.label: each.in_process.ratio.median / before[each.name] - 1
        for each in report.results
        if each.in_process and each.name in before
    }
    label = max(changes, key=lambda label: abs(changes[label]))
    return f"costs differ from the earlier run by at most {abs(changes[label]):.1%}: {label}"


def _figures(result: Result) -> str:
    if result.in_process is None:
        return f"  not measured: {result.fault}"
    cost = f"{result.in_process.microseconds.median:8.1f}{result.in_process.ratio.median:11.2f}"
    load = result.under_load
    if load is None:
        return f"{cost}  {result.fault or 'not measured under load'}"
    speed = f"{load.requests_per_second.median:13,.0f}{load.ratio.median:11.2f}"
    return f"{cost}{speed}{load.p50_ms:10.2f}{load.p99_ms:10.2f}"


def _ratio(ratio: Ratio) -> str:
    throughput = f"{ratio.under_load.median:14.3f}" if ratio.under_load else ""
    return f"  {f'{ratio.name} / {ratio.to}':40}{ratio.in_process.median:10.3f}{throughput}"


def _statuses(statuses: Statuses) -> str:
    crash = "  (a 500 for a bad token)" if statuses.crashes else ""
    return f"{statuses.valid} {statuses.tampered} {statuses.absent}{crash}"
