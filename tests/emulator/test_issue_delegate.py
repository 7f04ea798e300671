"""``Emulator.issue_delegate``: the access tokens of inbound apps, with each assumption about their form."""

from collections.abc import Callable

import pytest

from fastapi_descope.emulator import (
    DEFAULT_PROJECT_ID,
    Assumptions,
    Emulator,
    InboundApp,
    McpServer,
    Project,
    SeedUser,
)

Make = Callable[..., Emulator]
Read = Callable[[Emulator, str], dict[str, object]]

NOW = 1_800_000_000
APP = "TPA2EMULATORreportReader"
ADA = "ada@acme.example"
ADA_ID = SeedUser(ADA).user_id
RESOURCE = "https://api.example.com"
ISSUER = f"http://127.0.0.1/v1/apps/{DEFAULT_PROJECT_ID}"
SERVER = McpServer("MS2reports", "https://mcp.example.com/mcp")


def _emulator(make: Make, **choices: object) -> Emulator:
    return make(Project(mcp_servers=(SERVER,), assumptions=Assumptions(**choices)))  # type: ignore[arg-type]


def test_a_delegates_token_has_exactly_the_captured_claims(make: Make, read: Read) -> None:
    """No ``drn``, no roles, no tenants and no ``dct`` (wire contract, section 11.3)."""
    emulator = make()
    token = emulator.issue_delegate(ADA, APP, ("reports:read", "reports:write"), tenant="acme")
    assert read(emulator, token) == {
        "amr": ["fed"],
        "aud": [DEFAULT_PROJECT_ID, APP],
        "azp": APP,
        "email": ADA,
        "exp": NOW + 600,
        "iat": NOW,
        "iss": ISSUER,
        "rexp": "2037-01-02T08:00:00Z",
        "scope": "reports:read reports:write",
        "sub": ADA_ID,
        "token_type": "access_token",
    }


def test_an_app_that_acts_for_itself_is_its_own_subject(make: Make, read: Read) -> None:
    """A token of client credentials has no user, and no refresh token that could expire."""
    emulator = make()
    assert read(emulator, emulator.issue_delegate(None, APP, ("reports:read",))) == {
        "aud": [DEFAULT_PROJECT_ID, APP],
        "azp": APP,
        "exp": NOW + 600,
        "iat": NOW,
        "iss": ISSUER,
        "scope": "reports:read",
        "sub": APP,
        "token_type": "access_token",
    }


def test_the_lifetime_is_that_of_the_app(make: Make, read: Read) -> None:
    """An app of the project has its own; another one has ten minutes."""
    emulator = make(Project(inbound_apps=(InboundApp("TPA2short", access_seconds=60, refresh_seconds=120),)))
    claims = read(emulator, emulator.issue_delegate(ADA, "TPA2short"))
    assert (claims["exp"], claims["rexp"]) == (NOW + 60, "2027-01-15T08:02:00Z")
    assert read(emulator, emulator.issue_delegate(ADA, "TPA2unknown"))["exp"] == NOW + 600


def test_an_expired_token_was_issued_before_it_expired(make: Make, read: Read) -> None:
    """A negative lifetime gives a token whose times are in order."""
    emulator = make()
    claims = read(emulator, emulator.issue_delegate(ADA, APP, seconds=-60))
    assert (claims["exp"], claims["iat"]) == (NOW - 60, NOW - 61)


def test_claims_replace_the_regular_ones(make: Make, read: Read) -> None:
    """A test can give a token any claim."""
    emulator = make()
    token = emulator.issue_delegate(ADA, APP, claims={"azp": "another", "act": {"sub": "agent"}})
    claims = read(emulator, token)
    assert (claims["azp"], claims["act"]) == ("another", {"sub": "agent"})


def test_a_bound_token_names_its_key(make: Make, read: Read) -> None:
    """A token that is bound to a key has ``cnf.jkt`` (RFC 9449)."""
    emulator = make()
    assert read(emulator, emulator.issue_delegate(ADA, APP, jkt="thumbprint"))["cnf"] == {"jkt": "thumbprint"}


def test_a_user_without_an_address_has_no_email(make: Make, read: Read) -> None:
    """A login id that is not an e-mail address is not in the token."""
    emulator = make(Project(users=(SeedUser("ada"),)))
    assert "email" not in read(emulator, emulator.issue_delegate("ada", APP))


@pytest.mark.parametrize(
    ("user", "tenant", "message"),
    [
        ("eve@acme.example", None, "the project has no such user"),
        ("grace@acme.example", "globex", "is not a member of tenant 'globex'"),
    ],
)
def test_an_unknown_user_or_a_foreign_tenant_is_an_error(
    make: Make, user: str, tenant: str | None, message: str
) -> None:
    """A mistake in a test is not a token."""
    with pytest.raises(LookupError, match=message):
        make().issue_delegate(user, APP, tenant=tenant)


@pytest.mark.parametrize(
    ("form", "user", "tenant", "server", "issuer"),
    [
        ("project", ADA, "acme", "MS2reports", ISSUER),
        ("agentic", ADA, None, "MS2reports", ISSUER.replace("apps/", "apps/agentic/") + "/MS2reports"),
        ("agentic", ADA, None, "", ISSUER.replace("apps/", "apps/agentic/") + "/emulator"),
        ("tenant", ADA, "globex", "", f"{ISSUER}/globex"),
        ("tenant", ADA, None, "", f"{ISSUER}/acme"),
        ("tenant", "nomad@example.org", None, "", ISSUER),
        ("tenant", None, None, "", ISSUER),
    ],
)
def test_the_issuer_has_one_of_three_forms(
    make: Make, read: Read, form: str, user: str | None, tenant: str | None, server: str, issuer: str
) -> None:
    """That of the project, of an MCP server, or of the user's tenant."""
    emulator = _emulator(make, inbound_issuer=form)
    token = emulator.issue_delegate(user, APP, tenant=tenant, mcp_server=server)
    assert read(emulator, token)["iss"] == issuer


@pytest.mark.parametrize(
    ("form", "resources", "server", "audience"),
    [
        ("project_and_client", (RESOURCE,), "", [DEFAULT_PROJECT_ID, APP, RESOURCE]),
        ("project_and_client", (), "MS2reports", [DEFAULT_PROJECT_ID, APP, SERVER.url]),
        ("project_and_client", (SERVER.url,), "MS2reports", [DEFAULT_PROJECT_ID, APP, SERVER.url]),
        ("project", (RESOURCE,), "", DEFAULT_PROJECT_ID),
        ("project_and_resource", (RESOURCE,), "", [DEFAULT_PROJECT_ID, RESOURCE]),
        ("project_and_resource", (), "", [DEFAULT_PROJECT_ID]),
        ("resource", (RESOURCE,), "", [RESOURCE]),
        ("resource", (), "MS2reports", [SERVER.url]),
        ("resource", (), "", [DEFAULT_PROJECT_ID]),
    ],
)
def test_the_audience_has_one_of_four_forms(
    make: Make, read: Read, form: str, resources: tuple[str, ...], server: str, audience: object
) -> None:
    """The requested resources and the URL of the MCP server are in all forms except the project id alone."""
    emulator = _emulator(make, inbound_audience=form)
    token = emulator.issue_delegate(ADA, APP, resources=resources, mcp_server=server)
    assert read(emulator, token)["aud"] == audience


def test_drn_may_be_next_to_the_token_type(make: Make, read: Read) -> None:
    """The token may call itself a session token too."""
    emulator = _emulator(make, inbound_drn=True)
    claims = read(emulator, emulator.issue_delegate(ADA, APP))
    assert (claims["drn"], claims["token_type"]) == ("DS", "access_token")


@pytest.mark.parametrize(
    ("choice", "tenant", "current"),
    [("roles", "globex", None), ("tenant", "globex", "globex"), ("tenant", None, "acme")],
)
def test_tokens_may_contain_roles_and_tenants(
    make: Make, read: Read, choice: str, tenant: str | None, current: str | None
) -> None:
    """They are those of a session token; the current tenant is the requested or the first one."""
    emulator = _emulator(make, inbound_grants=choice)
    claims = read(emulator, emulator.issue_delegate(ADA, APP, tenant=tenant))
    assert claims["tenants"] == read(emulator, emulator.issue(ADA).session_jwt)["tenants"]
    assert claims.get("dct") == current


@pytest.mark.parametrize("user", [None, "nomad@example.org"])
def test_a_subject_without_tenants_has_no_current_one(make: Make, read: Read, user: str | None) -> None:
    """An app that acts for itself has no tenants, nor has a user who is in none."""
    emulator = _emulator(make, inbound_grants="tenant")
    assert {"tenants", "dct"}.isdisjoint(read(emulator, emulator.issue_delegate(user, APP)))


@pytest.mark.parametrize(
    ("choice", "subject", "client"),
    [
        ("client_id", APP, None),
        ("app_id", "TPA2", None),
        ("key_id", "K2", None),
        ("client_id_claim", APP, APP),
    ],
)
def test_the_subject_of_client_credentials_has_one_of_four_forms(
    make: Make, read: Read, choice: str, subject: str, client: str | None
) -> None:
    """The client id, another id of the app, an id like that of an access key, or also ``client_id``."""
    emulator = _emulator(make, client_credentials_subject=choice)
    claims = read(emulator, emulator.issue_delegate(None, APP))
    assert str(claims["sub"]).startswith(subject)
    assert (claims["sub"] == APP) is choice.startswith("client_id")
    assert claims.get("client_id") == client
    assert "client_id" not in read(emulator, emulator.issue_delegate(ADA, APP))
