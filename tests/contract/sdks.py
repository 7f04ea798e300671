"""Descope's official SDKs: where the JavaScript ones are installed, and a pytest plugin that counts results.

``scripts/sdks`` loads the plugin with ``-p``. The test suite does not use it.
"""

import json
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import pytest

__all__ = ["NODE_SDKS", "pytest_configure"]

NODE_SDKS = Path(__file__).parents[2] / ".tools" / "node"
"""Where scripts/setup installs the JavaScript packages of the tests."""

_PACKAGES = {"node": "@descope/node-sdk", "web-js": "@descope/web-js-sdk"}


class _ResultCounter:
    """Counts the tests of each SDK and prints a summary at the end of the run."""

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
        totals = Counter(self._sdks.values())
        for sdk, count in totals.items():
            passed = self._passed[sdk]
            failed = f", {count - passed} FAILED" if passed < count else ""
            terminalreporter.write_line(f"{sdk} {_version(sdk)}: {passed} tests passed{failed}")


def pytest_configure(config: pytest.Config) -> None:
    """Register the counter."""
    config.pluginmanager.register(_ResultCounter())


def _version(sdk: str) -> str:
    """Return the installed version of an SDK."""
    if sdk == "python":
        return version("descope")
    manifest = NODE_SDKS / "node_modules" / _PACKAGES[sdk] / "package.json"
    return str(json.loads(manifest.read_text("utf-8"))["version"])
