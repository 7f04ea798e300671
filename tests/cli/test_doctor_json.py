"""``doctor --json``: one document for scripts, and the catalogue of its ids."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fastapi_descope._cli import checks
from fastapi_descope.emulator import DEFAULT_PROJECT_ID, Emulator
from fastapi_descope.emulator.server import running
from tests.cli.cli_runner import Run, command_runner
from tests.cli.test_doctor_findings import ROWS

CLI = Path(checks.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"

NOT_IN_PRODUCTION = {"api.emulator", "public_url.loopback"}
"""Warnings in development, which the table of an app in production does not have."""

OTHERS = {"app.not_loaded", "project.not_checked"}
"""Results that other tests plant: they need an app by its name, or a second outage."""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command in this process."""
    return command_runner(capsys)


def ids(*severities: str) -> set[str]:
    """Return the ids of the results in the sources of the doctor."""
    call = re.compile(rf'\b(?:{"|".join(severities)})\(\s*"([a-z_]+\.[a-z_]+)"')
    return {found for path in CLI.glob("*.py") for found in call.findall(path.read_text(encoding="utf-8"))}


def test_a_document(run: Run, variables: Callable[..., None]) -> None:
    """Results in the order of the text form. Only problems have a page."""
    with running(Emulator()) as url:
        variables(
            DESCOPE_BASE_URL=url,
            DESCOPE_PROJECT_ID=DEFAULT_PROJECT_ID,
            DESCOPE_PUBLIC_URL="http://localhost:8000",
        )
        result, text = run("doctor", "--json"), run("doctor")

    document = json.loads(result.out)
    assert (result.status, result.err, document["version"], document["ok"]) == (0, "", 1, True)
    lines = [f"{each['severity']:<4}  {each['check']}" for each in document["checks"]]
    assert [line.replace("_", " ") for line in lines] == [
        re.sub(r" {2,}", "  ", line).partition("  ")[0].ljust(4) + "  " + re.split(r" {2,}", line)[1]
        for line in text.out.splitlines()[:-2]
    ]
    assert document["checks"][0] == {
        "id": "settings.valid",
        "severity": "ok",
        "check": "settings",
        "message": "the DESCOPE_* variables are valid",
    }
    assert document["checks"][4] == {
        "id": "public_url.loopback",
        "severity": "warn",
        "check": "public_url",
        "message": "http://localhost:8000 is a loopback URL, for development only",
        "docs": "https://fastapi-descope.readthedocs.io/reference/cli/#public_url.loopback",
    }


def test_a_document_of_a_failure(run: Run) -> None:
    """The exit status is that of the text form."""
    result = run("doctor", "--json")
    document = json.loads(result.out)
    assert (result.status, result.err, document["ok"]) == (1, "", False)
    assert [each["id"] for each in document["checks"]] == ["settings.missing"]


def test_an_app_that_cannot_be_imported_is_a_result(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also if its own code fails, whose message may hold a secret."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "failing_app.py").write_text('raise RuntimeError("canary")\n')
    for name, message in (
        ("nowhere:app", 'Could not import module "nowhere".'),
        (
            "failing_app:app",
            "failing_app:app raised RuntimeError; to see the traceback, run: python -c 'import failing_app'",
        ),
    ):
        result = run("doctor", "--json", name)
        (found,) = (each for each in json.loads(result.out)["checks"] if each["check"] == "app")
        assert (result.status, found["id"], found["message"]) == (1, "app.not_loaded", message)
        assert "canary" not in result.out + result.err


def test_every_problem_is_planted_by_a_test() -> None:
    """The table of misconfigurations has each id that is not ``ok``."""
    assert ids("warn", "fail") - NOT_IN_PRODUCTION - OTHERS == {row.finding for row in ROWS.values()}


def test_every_id_is_documented() -> None:
    """The reference has a row with an anchor for each id, with its severity, and no other row."""
    rows = re.findall(
        r'^\| <a id="([\w.]+)"></a>`([\w.]+)` \| (\w+) \|', PAGE.read_text("utf-8"), re.MULTILINE
    )
    documented = {name: severity for anchor, name, severity in rows if anchor == name}
    expected = {name: severity for severity in ("ok", "warn", "fail") for name in ids(severity)}
    assert documented == expected
