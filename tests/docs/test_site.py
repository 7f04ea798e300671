"""The site is built without warnings and broken links, and its reference is complete."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import fastapi_descope
from docs_site.generated import error_codes, event_records, setting_meanings
from docs_site.navigation import SECTIONS
from fastapi_descope import DescopeSettings, events
from fastapi_descope._cli.main import app as command_line
from fastapi_descope._web.app_location import FIXED_ROUTES, social_route

ROOT = Path(__file__).parents[2]
URL = "https://fastapi-descope.readthedocs.io/"

_MODULES = (
    "errors",
    "events",
    "login",
    "page_texts",
    "pages",
    "profile",
    "session",
    "settings",
    "testing",
    "emulator",
    "sqlalchemy",
    "stores",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the build: not .docs, in which another process may be building."""
    return tmp_path_factory.mktemp("docs")


@pytest.fixture(scope="module")
def output(folder: Path) -> str:
    """Build the site, and return what the build printed."""
    done = subprocess.run(
        [sys.executable, "-m", "docs_site", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return f"{done.stdout}exit status {done.returncode}"


@pytest.fixture
def site(folder: Path, output: str) -> Path:
    """Return the folder of the built site."""
    assert (folder / "site").is_dir(), output
    return folder / "site"


def _page(site: Path, page: str) -> str:
    return (site / page / "index.html").read_text(encoding="utf-8")


def _missing(names: set[str], page: str) -> set[str]:
    """Return the names that no code element of the page has."""
    return {name for name in names if not re.search(rf"<code>(?:[^<]*\W)?{re.escape(name)}\b", page)}


def test_the_site_has_no_warning_and_no_broken_link(output: str) -> None:
    """Nor a page without an entry in the navigation."""
    assert re.fullmatch(r"docs: \d+ pages, 0 problems\nexit status 0", output), output


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    """Each has an anchor, under one of the modules from which an app imports it."""
    pages = "".join(page.read_text(encoding="utf-8") for page in (site / "reference").rglob("*.html"))
    anchors = set(re.findall(r' id="(fastapi_descope[\w.]+)"', pages))
    modules = [fastapi_descope, *(importlib.import_module(f"fastapi_descope.{each}") for each in _MODULES)]
    names = {
        f"{module.__name__}.{name}": getattr(module, name) for module in modules for name in module.__all__
    }
    documented = [value for name, value in names.items() if name in anchors]

    assert [name for name, value in names.items() if not any(value is each for each in documented)] == []


def test_every_setting_has_a_row_and_a_meaning(site: Path) -> None:
    """The table has the variable of each setting."""
    page = _page(site, "reference/settings")

    assert set(DescopeSettings.model_fields) - set(setting_meanings()) == set()
    assert _missing({f"DESCOPE_{name.upper()}" for name in DescopeSettings.model_fields}, page) == set()


def test_every_route_is_in_the_reference(site: Path) -> None:
    """Also those that exist with a setting only."""
    headings = set(re.findall(r"<h2[^>]*>((?:GET|POST) [^<]+)", _page(site, "reference/routes")))
    routes = {f"{route.method} {route.path}" for route in [*FIXED_ROUTES, social_route("PROVIDER")]}

    assert routes - headings == set()
    assert "POST /descope/events" in headings


def test_every_event_has_a_row_with_its_stable_name(site: Path) -> None:
    """Log lines and metrics use the stable name."""
    records = [record for record in event_records() if record is not events.Event]

    assert _missing({record.name for record in records}, _page(site, "reference/events")) == set()
    assert all(inspect.getdoc(record) for record in records)


def test_every_error_code_has_a_page(site: Path) -> None:
    """The address in ``type`` leads to it."""
    assert {code for code in error_codes() if not (site / "errors" / code / "index.html").is_file()} == set()


def test_every_command_is_in_the_reference(site: Path) -> None:
    """Each command of ``fastapi-descope``, and of its groups."""
    headings = set(re.findall(r"<h\d[^>]*>fastapi-descope ([\w -]+)", _page(site, "reference/cli")))

    assert _commands(typer.main.get_command(command_line)) - headings == set()


def _commands(group: object, prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, command in getattr(group, "commands", {}).items():
        if not command.hidden:
            found |= _commands(command, f"{prefix}{name} ") or {f"{prefix}{name}"}
    return found


def test_every_metric_is_in_the_reference(site: Path) -> None:
    """Each name of a metric or a span in the package."""
    files = (ROOT / "fastapi_descope" / "_telemetry").glob("*.py")
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    names = {text for text in texts if re.fullmatch(r"descope(\.[a-z_]+)+", text)}

    assert len(names) > 10
    assert _missing(names, _page(site, "reference/metrics")) == set()


def test_llms_txt_lists_every_page(site: Path) -> None:
    """In the form of llmstxt.org: a title, a summary, and sections of links that lead to pages."""
    text = (site / "llms.txt").read_text(encoding="utf-8")
    listed = re.findall(r"^- \[[^\]]+\]\((https://\S+?)\)", text, re.MULTILINE)
    pages = {path.parent.relative_to(site).as_posix() for path in site.rglob("index.html")} - {"."}

    assert text.startswith("# fastapi-descope\n\n> ")
    assert {url.removeprefix(URL).rstrip("/") for url in listed} == pages - set(SECTIONS)
