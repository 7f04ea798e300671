"""A pytest plugin for scripts/sdks: how many journeys each official SDK has passed, and of which version.

Loaded by name, with ``-p``; it is no part of the suite.
"""

import json
from collections import Counter
from importlib.metadata import version

import pytest

from tests.contract.node_sdks import SDKS

_PACKAGES = {"node": "@descope/node-sdk", "web-js": "@descope/web-js-sdk"}


class _Counts:
    """Counts while the tests run, and tells at the end."""

    def __init__(self) -> None:
        self._sdks: dict[str, str] = {}
        self._passed: Counter[str] = Counter()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            marker = item.get_closest_marker("sdk")
            if marker is not None:
                self._sdks[item.nodeid] = marker.args[0]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self._passed[self._sdks[report.nodeid]] += 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        planned = Counter(self._sdks.values())
        for sdk, count in planned.items():
            passed = self._passed[sdk]
            lost = f", {count - passed} FAILED" if passed < count else ""
            terminalreporter.write_line(f"{sdk} {_version(sdk)}: {passed} journeys passed{lost}")


def pytest_configure(config: pytest.Config) -> None:
    """Start counting."""
    config.pluginmanager.register(_Counts())


def _version(sdk: str) -> str:
    """The version that is installed, which is the one that was played."""
    if sdk == "python":
        return version("descope")
    manifest = SDKS / "node_modules" / _PACKAGES[sdk] / "package.json"
    return str(json.loads(manifest.read_text("utf-8"))["version"])
