"""``scripts/bench capacity``: it measures real processes, at a small scale here."""

import pytest

from benchmarks.capacity.__main__ import main

pytestmark = [pytest.mark.redis, pytest.mark.nightly]

_SCALE = ("--sessions", "100", "--known", "50", "--refreshes", "20", "--connections", "40")


def test_capacity_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Every line that the page on capacity is computed from."""
    assert main(_SCALE) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[1:]] == [
        "Redis,     100 sessions",
        "A worker",
        "A refresh",
        "1 workers",
        "4 workers",
        "40 keep-alive connections to four workers",
    ]
