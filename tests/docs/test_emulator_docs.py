"""The how-to on the emulator: its curl commands work, and its seed file is a valid project."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import anyio
import pytest

from fastapi_descope.emulator import Emulator, Project, SeedAccount, SeedIdp, SeedLogin
from fastapi_descope.emulator.seed import load
from fastapi_descope.emulator.server import running
from tests.helpers.inbound_client import InboundClient

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "develop-without-an-account.md").read_text("utf-8")
CALLS = re.findall(r"^\$ (curl .*/console/api/.*)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def emulator() -> Emulator:
    """An emulator that can be changed, with one session and one consent."""
    emulator = Emulator(console="faults")
    emulator.issue("ada@acme.example")
    anyio.run(InboundClient(emulator).tokens)
    return emulator


@pytest.fixture(scope="module")
def base_url(emulator: Emulator) -> Iterator[str]:
    """The URL of the running emulator."""
    with running(emulator) as url:
        yield url


def test_every_api_path_is_documented() -> None:
    """Each path of the console's API is shown."""
    paths = {re.findall(r"/console/api/([\w/-]+)", line)[0] for line in CALLS}
    views = {"state", "users", "sessions", "access-keys", "apps", "requests"}
    levers = {
        "faults",
        "revoke",
        "clock",
        "keys/rotate",
        "keys/drop",
        "consents/withdraw",
        "users/update",
        "users/delete",
    }
    assert paths == views | levers


@pytest.mark.parametrize("line", CALLS)
def test_each_command_succeeds(base_url: str, line: str) -> None:
    """The command succeeds and returns JSON."""
    command = line.replace("http://127.0.0.1:8787", base_url).replace(
        "curl", "curl -sS --fail --noproxy '*'", 1
    )
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert isinstance(json.loads(done.stdout), dict)


def _seed(name: str, folder: Path) -> Project:
    """Load a seed file of the page."""
    text = re.findall(rf"```toml\n(# {re.escape(name)}\n.*?)```", PAGE, re.DOTALL)
    (folder / name).write_text(text[0], encoding="utf-8")
    return load(folder / name)


def test_seed_file_is_a_project(tmp_path: Path) -> None:
    """The file is a project with the users in it."""
    project = _seed("project.toml", tmp_path)
    assert [user.login_id for user in project.members("initech")] == [
        "bill@initech.example",
        "milton@initech.example",
    ]
    assert (project.session_seconds, project.rotate_refresh, project.open_sign_up) == (300, True, True)


def test_seed_file_sets_what_descope_returns(tmp_path: Path) -> None:
    """The file sets the user object and what comes with the tokens."""
    project = _seed("directory.toml", tmp_path)
    bill = project.users[0]
    assert (bill.middle_name, bill.account.external_ids) == ("J.", ("4711",))
    assert bill.idp.groups == ("engineering", "on-call")
    assert bill.login.trusted_device
    assert project.tenants[0].default_sso_id == "entra"


def test_seed_file_defines_inbound_apps(tmp_path: Path) -> None:
    """The file has every key of an app and of an MCP server, except the server of an app."""
    project = _seed("apps.toml", tmp_path)
    app = project.inbound_apps[0]
    assert (app.client_id, app.is_public, dict(app.scopes)) == (
        "TPA2dashboard",
        False,
        {"reports:read": "Read your reports"},
    )
    assert project.mcp_servers[0].url == "http://127.0.0.1:8000/mcp"
    assert project.users == Project().users


@pytest.mark.parametrize(
    ("table", "part"), [("users.idp", SeedIdp), ("users.account", SeedAccount), ("users.login", SeedLogin)]
)
def test_every_key_of_a_users_tables_is_documented(table: str, part: type) -> None:
    """The table of the page lists the fields of the dataclass."""
    row = re.findall(rf"^\| `{re.escape(table)}` \| (.*) \|$", PAGE, re.MULTILINE)[0]
    keys = re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", row))
    assert keys
    assert set(keys) == {field.name for field in fields(part)}
