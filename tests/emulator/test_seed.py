"""Seed files: the projects that they define, and the errors in invalid ones."""

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastapi_descope.emulator import (
    AccessKey,
    Assumptions,
    CookieSettings,
    Emulator,
    Grants,
    InboundApp,
    McpServer,
    Project,
    SeedAccount,
    SeedIdp,
    SeedLogin,
    SeedTenant,
    SeedUser,
)
from fastapi_descope.emulator.seed import SeedError, load

Write = Callable[..., Path]

EVERYTHING: dict[str, object] = {
    "project_id": "P2EMULATORforTheSeedFileTest",
    "session_seconds": 300,
    "rotate_refresh": True,
    "issuer": "url",
    "audience": ["one", "two"],
    "session_token_in": "cookie",
    "management_key": "for-management",
    "cookies": {"session_name": "sid", "same_site": "lax"},
    "assumptions": {"revoked_status": 400},
    "tenants": [{"id": "acme", "name": "Acme", "domains": ["acme.example"], "sso_ids": ["okta"]}],
    "users": [
        {
            "login_id": "ada@acme.example",
            "name": "Ada",
            "tenants": {"acme": {"roles": ["admin"], "permissions": ["write"]}},
            "middle_name": "King",
            "account": {"external_ids": ["7"], "methods": ["TOTP"], "oauth": {"google": True}},
            "idp": {"groups": ["engineering"], "saml_attributes": {"department": ["R&D"]}},
            "login": {"trusted_device": True, "claims": {"plan": "gold"}},
        }
    ],
    "access_keys": [
        {"id": "K1", "secret": "opensesame", "tenants": {"acme": {}}, "claims": {"plan": {"of": [1]}}}
    ],
    "inbound_apps": [
        {
            "client_id": "TPA2agent",
            "redirect_uris": ["https://agent.example/callback"],
            "scopes": {"reports:read": "Read your reports"},
            "mcp_server": "MS2reports",
        }
    ],
    "mcp_servers": [{"id": "MS2reports", "url": "https://mcp.example/mcp", "scopes": {"reports:read": ""}}],
}
PROJECT = Project(
    "P2EMULATORforTheSeedFileTest",
    tenants=(SeedTenant("acme", "Acme", ("acme.example",), ("okta",)),),
    users=(
        SeedUser(
            "ada@acme.example",
            "Ada",
            {"acme": Grants(("admin",), ("write",))},
            middle_name="King",
            account=SeedAccount(external_ids=("7",), methods=("TOTP",), oauth={"google": True}),
            idp=SeedIdp(("engineering",), {"department": ["R&D"]}),
            login=SeedLogin(trusted_device=True, claims={"plan": "gold"}),
        ),
    ),
    session_seconds=300,
    rotate_refresh=True,
    issuer="url",
    audience=("one", "two"),
    session_token_in="cookie",
    management_key="for-management",
    access_keys=(AccessKey("K1", "opensesame", tenants={"acme": Grants()}, claims={"plan": {"of": [1]}}),),
    inbound_apps=(
        InboundApp(
            "TPA2agent",
            redirect_uris=("https://agent.example/callback",),
            scopes={"reports:read": "Read your reports"},
            mcp_server="MS2reports",
        ),
    ),
    mcp_servers=(McpServer("MS2reports", "https://mcp.example/mcp", scopes={"reports:read": ""}),),
    cookies=CookieSettings("sid", same_site="lax"),
    assumptions=Assumptions(revoked_status=400),
)
TOML = """
project_id = "P2EMULATORforTheSeedFileTest"
session_seconds = 300
rotate_refresh = true
issuer = "url"
audience = ["one", "two"]
session_token_in = "cookie"
management_key = "for-management"
cookies = { session_name = "sid", same_site = "lax" }
assumptions.revoked_status = 400

[[tenants]]
id = "acme"
name = "Acme"
domains = ["acme.example"]
sso_ids = ["okta"]

[[users]]
login_id = "ada@acme.example"
name = "Ada"
middle_name = "King"
account = { external_ids = ["7"], methods = ["TOTP"], oauth = { google = true } }
login = { trusted_device = true, claims = { plan = "gold" } }
[users.tenants.acme]
roles = ["admin"]
permissions = ["write"]
[users.idp]
groups = ["engineering"]
saml_attributes = { department = ["R&D"] }

[[access_keys]]
id = "K1"
secret = "opensesame"
tenants.acme = {}
claims.plan.of = [1]

[[inbound_apps]]
client_id = "TPA2agent"
redirect_uris = ["https://agent.example/callback"]
scopes = { "reports:read" = "Read your reports" }
mcp_server = "MS2reports"

[[mcp_servers]]
id = "MS2reports"
url = "https://mcp.example/mcp"
scopes = { "reports:read" = "" }
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a seed file."""

    def file(text: str | bytes, name: str = "project.toml") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return file


def test_toml(write: Write) -> None:
    """A TOML file can set every field of a project."""
    assert load(write(TOML)) == PROJECT


def test_json(write: Write) -> None:
    """A JSON file can set every field of a project."""
    assert load(str(write(json.dumps(EVERYTHING), "project.json"))) == PROJECT


def test_empty_file_is_the_default_project(write: Write) -> None:
    """An empty file is the default project with its users."""
    assert load(write("")) == Project()


def test_settings_keep_the_default_directory(write: Write) -> None:
    """A file with settings only keeps the default tenants and users."""
    assert load(write("rotate_refresh = true")) == Project(rotate_refresh=True)


def test_own_tenants_replace_the_default_directory(write: Write) -> None:
    """A file that defines tenants gets no default tenants, users or access keys."""
    assert load(write('[[tenants]]\nid = "a"')) == Project(
        tenants=(SeedTenant("a"),), users=(), access_keys=()
    )


def test_example_app_seed() -> None:
    """The seed file of the example app is a valid project."""
    project = load(Path(__file__).parents[2] / "example_app" / "project.toml")
    assert [user.login_id for user in project.users] == ["ada@acme.example", "grace@acme.example"]
    assert project.tenants[1].session_seconds == 300
    assert Emulator(project).issue("grace@acme.example", "acme").session_jwt


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[[tenants]]\nid = "a"\ndomins = ["a.b"]',
            "tenants[0].domins: unknown key; did you mean domains?",
        ),
        (
            'assumptions.luck = 3\n[[users]]\nlogin_id = "a@b.c"\ntenants.a = { size = 3 }',
            "users[0].tenants.a.size: unknown key; expected one of permissions, roles (and 1 more)",
        ),
        ('isuer = "id"', "isuer: unknown key; did you mean issuer?"),
        (
            '[[tenants]]\nid = "a"\n[[users]]\nlogin_id = "x@a.b"\ntenants.a = { rolls = ["admin"] }',
            "users[0].tenants.a.rolls: unknown key; did you mean roles?",
        ),
        (
            '[[users]]\nlogin_id = "x@a.b"\ntenants.a = {}',
            "user x@a.b is in tenants the project does not have: ['a']",
        ),
        ('[[tenants]]\nname = "a"', "tenants[0].id: required, but missing"),
        (
            '[[inbound_apps]]\nclient = "a"',
            "inbound_apps[0].client_id: required, but missing (and 1 more)",
        ),
        ('[[mcp_servers]]\nid = "a"', "mcp_servers[0].url: required, but missing"),
        (
            '[[users]]\nlogin_id = "a@b.c"\ntenants.acme = ["admin"]',
            "users[0].tenants.acme: expected an object with the keys permissions, roles",
        ),
        (
            '[[users]]\nlogin_id = "a@b.c"\ntenants = ["acme"]',
            "users[0].tenants: expected an object whose keys are tenant ids, such as acme = {}",
        ),
        (
            'tenants = ["acme"]',
            (
                "tenants[0]: expected an object with the keys custom_attributes, default_sso_id, domains,"
                " id, name, session_seconds, sso_ids"
            ),
        ),
        (
            '[[users]]\nlogin_id = "a@b.c"\nidp = { group = ["admins"] }',
            "users[0].idp.group: unknown key; did you mean groups?",
        ),
        (
            '[[users]]\nlogin_id = "a@b.c"\nidp = { groups = "admins" }',
            "users[0].idp.groups: expected a valid array",
        ),
        (
            '[[users]]\nlogin_id = "a@b.c"\nlogin = true',
            "users[0].login: expected an object with the keys claims, external_token, trusted_device",
        ),
        (
            '[[users]]\nlogin_id = "a@b.c"\naccount = { oauth = { google = 1 } }',
            "users[0].account.oauth.google: expected a valid boolean",
        ),
        (
            '[[users]]\nlogin_id = "a@b.c"\naccount = { methods = ["totp"] }',
            (
                "users[0].account.methods[0]: expected 'TOTP', 'SAML', 'SCIM', 'OIDC', 'webauthn',"
                " 'password' or 'push'"
            ),
        ),
        ('[[tenants]]\nid = "a"\ndomains = "a.b"', "tenants[0].domains: expected a valid array"),
        ('issuer = "uri"', "issuer: expected 'id', 'url', 'app' or 'agentic'"),
        ("audience = 1\nsession_seconds = 1.5", "session_seconds: expected a valid integer (and 2 more)"),
        ("audience = 1", "audience: expected a valid string (and 1 more)"),
        ("session_seconds = 0", "session_seconds must be positive"),
        (
            '[cookies]\nsession_name = "a"\nrefresh_name = "a"',
            "cookies: the session cookie and the refresh cookie must have different names",
        ),
        (
            'approved_redirects = ["a.example", "http://[::1"]',
            "approved_redirects[1]: expected a host without a port, or a URL",
        ),
        (
            '[[access_keys]]\nid = "K1"\nsecret = ""',
            "access_keys[0]: secret: expected visible ASCII characters without a colon",
        ),
        (
            '[cookies]\npath = "x"',
            "cookies: path: expected a path that starts with / and has no control characters or semicolons",
        ),
        ("reuse_grace = nan", "expected finite numbers and shallow nesting"),
        ("project_id =", "expected TOML: Invalid value (at end of document)"),
        (b"\xff", "expected text in UTF-8"),
    ],
)
def test_errors_in_toml(write: Write, text: str | bytes, message: str) -> None:
    """An error is one sentence with file, position and expected value."""
    with pytest.raises(SeedError) as caught:
        load(write(text))
    assert str(caught.value) == f"project.toml: {message}"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "expected an object with the fields of a project"),
        ("{", "expected JSON: "),
        ("[" * 100_000, "expected JSON: "),
        ('{"tenants": null}', "tenants: expected a valid array"),
        ('{"project_id": "\\ud800"}', "Invalid JSON: "),
        ('{"project_id": "\\u0000", "a\\u0000": 1}', "a\u0000: unknown key; expected one of "),
    ],
)
def test_errors_in_json(write: Write, text: str, message: str) -> None:
    """JSON has further kinds of errors."""
    with pytest.raises(SeedError) as caught:
        load(write(text, "project.json"))
    assert str(caught.value).startswith(f"project.json: {message}")


def _outcome(path: Path) -> str:
    """Return "project", or the start of the error message."""
    try:
        assert isinstance(load(path), Project)
    except SeedError as mistake:
        return str(mistake)[: len(path.name) + 2]
    return "project"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "login_id", "tenants", "acme", "claims", "x"]), inner)
    ),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from([each.name for each in fields(Project)]), _VALUES, max_size=4))
def test_any_values_are_a_project_or_an_error(write: Write, seed: dict[str, object]) -> None:
    """Any values in a file are a project or a SeedError."""
    assert _outcome(write(json.dumps(seed), "project.json")) in {"project", "project.json: "}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40))
def test_any_bytes_are_a_project_or_an_error(write: Write, content: bytes) -> None:
    """Any bytes in a file are a project or a SeedError."""
    for name in ("project.toml", "project.json"):
        assert _outcome(write(content, name)) in {"project", f"{name}: "}


def test_missing_file(tmp_path: Path) -> None:
    """A missing file is a SeedError."""
    with pytest.raises(SeedError, match=r"^none\.toml: cannot be read: No such file or directory$"):
        load(tmp_path / "none.toml")


@pytest.mark.parametrize("name", ["project.toml", "project.json"])
def test_byte_order_mark_is_ignored(write: Write, name: str) -> None:
    """Editors on Windows start files with one."""
    text = "session_seconds = 5" if name.endswith("toml") else '{"session_seconds": 5}'
    assert load(write(b"\xef\xbb\xbf" + text.encode(), name)).session_seconds == 5


@pytest.mark.parametrize("name", ["", "."])
def test_directory(name: str) -> None:
    """An empty name is the current directory: a script gets it from an unset variable."""
    with pytest.raises(SeedError, match=r"^\.: expected a file, not a directory$"):
        load(name)


@pytest.mark.parametrize(
    "text",
    [
        'management_key = ["hush"]',
        'auth_management_key = { hush = 1 }\nmanagement_key = "hush"',
        '[[access_keys]]\nid = "K1"\nsecret = "hush"\ntenants.a = {}',
        '[[access_keys]]\nid = "K1"\nsecret = "hush"\n[[access_keys]]\nid = "K2"\nsecret = "hush"',
        '[[access_keys]]\nid = "K1"\nsecret = ["hush"]',
        '[[access_keys]]\nid = "K1"\nsecret = "hush:hush"',
        'management_key = "hush:hush"',
        'auth_management_key = "hu.hush.sh"',
        '[[access_keys]]\nid = "K1"\nsecrt = "hush"',
        'management_key = "hush',
    ],
)
def test_secrets_are_not_echoed(write: Write, text: str) -> None:
    """No message contains a secret of the file."""
    with pytest.raises(SeedError) as caught:
        load(write(text))
    assert "hush" not in str(caught.value)
