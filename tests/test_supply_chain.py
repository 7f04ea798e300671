"""The dependencies: which third-party code runs, at which versions, with which known vulnerabilities."""

import ast
import datetime as dt
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict, cast

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]

_TEXT = {".py", ".md", ".toml", ".txt", ".json", ".html", ".yml", ".yaml", ".cfg", ".pem", ".key", ""}
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|[\"']d[\"']\s*:\s*[\"'][A-Za-z0-9_-]{40}")
_LOGIN = """
import asyncio, sys
from tests.helpers.app_harness import build_app_harness

async def login():
    env = build_app_harness()
    browser = env.browser()
    assert (await browser.sign_in()).status_code == 303
    env.emulator.clock.advance(660)
    assert (await browser.get("/me")).json()["tenant"] == "acme"

asyncio.run(login())
print(*sorted({"ecdsa", "rsa", "jose.jwe", "jose.jwt"} & set(sys.modules)))
"""


class _Project(TypedDict):
    dependencies: list[str]


# The names of the groups contain hyphens, so only the functional form works.
_Pyproject = TypedDict(
    "_Pyproject", {"project": _Project, "dependency-groups": dict[str, list[str | dict[str, str]]]}
)


class _Ignored(TypedDict):
    """An advisory that the audit ignores."""

    id: str
    package: str
    reason: str
    proof: str
    expires: dt.date


def _pyproject() -> _Pyproject:
    return cast("_Pyproject", tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8")))


def _ignored() -> list[_Ignored]:
    text = (ROOT / "scripts" / "audit-ignore.toml").read_text(encoding="utf-8")
    return cast("list[_Ignored]", tomllib.loads(text)["ignore"])


def _imports(path: Path) -> Iterator[str]:
    """Yield the absolute names that a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_sc02_neither_ecdsa_nor_rsa_is_imported_by_a_login() -> None:
    """SC-02: python-jose installs both; a login, a refresh and the import of the package use neither."""
    done = subprocess.run(
        [sys.executable, "-c", _LOGIN], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "\n"


def test_tv06_sc03_only_one_key_class_of_python_jose_is_used() -> None:
    """TV-06, SC-03: python-jose neither parses tokens nor selects algorithms. The emulator is exempt."""
    package = ROOT / "fastapi_descope"
    files = [path for path in package.rglob("*.py") if "emulator" not in path.parts]

    used = {name for path in files for name in _imports(path) if name.partition(".")[0] == "jose"}

    assert used == {"jose.backends.base.Key", "jose.backends.cryptography_backend.CryptographyRSAKey"}


@pytest.mark.parametrize("entry", _ignored(), ids=lambda entry: entry["id"])
def test_sc03_ignored_advisories_are_reviewed(entry: _Ignored) -> None:
    """SC-03: each entry has a reason, a test that proves it, and a date after which this test fails."""
    file, _, test = entry["proof"].partition("::")

    assert re.fullmatch(r"(CVE|GHSA|PYSEC)-[0-9A-Za-z-]+", entry["id"])
    assert importlib.metadata.version(entry["package"])
    assert len(entry["reason"].split()) >= 5
    assert re.search(rf"^(?:async )?def {test}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    assert dt.datetime.now(dt.UTC).date() < entry["expires"], "review it, and set another date"


@pytest.mark.parametrize(
    ("name", "too_old", "good", "too_new"),
    [
        pytest.param("python-jose", "3.4.0", "3.5.0", "4.0.0", id="python-jose: SC-01"),
        pytest.param("cryptography", "43.0.3", "44.0.0", None, id="cryptography: SC-01"),
        pytest.param("starlette", "1.2.9", "1.7.0", None, id="starlette: HP-05"),
        pytest.param("httpx", "0.27.2", "0.28.0", "1.0.0", id="httpx"),
        pytest.param("fastapi", "0.143.0", "0.144.0", None, id="fastapi: paths of WebSockets in routers"),
    ],
)
def test_sc04_sc01_hp05_versions_with_known_faults_cannot_be_installed(
    name: str, too_old: str, good: str, too_new: str | None
) -> None:
    """SC-04: the lower bounds are in the metadata, which every installer reads."""
    (wanted,) = [
        found for found in map(Requirement, _pyproject()["project"]["dependencies"]) if found.name == name
    ]

    assert good in wanted.specifier
    assert too_old not in wanted.specifier
    assert too_new is None or too_new not in wanted.specifier


def test_sc04_transitive_dependencies_are_recent_enough() -> None:
    """SC-04: h11 is installed by httpcore; python-multipart is not a dependency of the package."""
    named = {Requirement(text).name for text in _pyproject()["project"]["dependencies"]}

    assert Version(importlib.metadata.version("h11")) >= Version("0.16")
    assert "python-multipart" not in named


def test_sc06_development_uses_exact_versions() -> None:
    """SC-06: every tool of every group is pinned."""
    groups = _pyproject()["dependency-groups"]
    tools = [Requirement(entry) for group in groups.values() for entry in group if isinstance(entry, str)]

    assert tools
    assert [tool.name for tool in tools if [part.operator for part in tool.specifier] != ["=="]] == []


def test_sc07_no_private_key_is_in_the_tree() -> None:
    """SC-07: every test key is generated at run time."""
    folders = ("fastapi_descope", "tests", "example_app", "docs", "scripts", "benchmarks")
    below = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    files = [path for path in [*ROOT.iterdir(), *below] if path.is_file() and path.suffix in _TEXT]

    assert len(files) > 200
    assert [path for path in files if _PRIVATE_KEY.search(path.read_text("utf-8", "replace"))] == []


def test_sc08_security_md_says_how_to_report() -> None:
    """SC-08: SECURITY.md says how to report in private and which versions get a fix."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")

    assert "\n## Reporting\n" in text
    assert "privately" in text
    assert "\n## Supported versions\n" in text
