"""A session token for curl: what a running emulator gives, and what nobody else is asked for."""

import base64
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from fastapi_descope._cli.token import issue_token
from fastapi_descope.emulator import Emulator
from fastapi_descope.emulator.server import running
from fastapi_descope.errors import ConfigurationError


@dataclass
class Running:
    """An emulator and where it is."""

    emulator: Emulator
    base_url: str

    def token(self, user: str, tenant: str | None = None) -> str:
        """What the command would print."""
        return issue_token(self.base_url, project_id=self.emulator.project_id, user=user, tenant=tenant)


@pytest.fixture
def started() -> Iterator[Running]:
    """An emulator on a socket."""
    emulator = Emulator()
    with running(emulator) as base_url:
        yield Running(emulator, base_url)


def claims(jwt: str) -> dict[str, object]:
    """The claims of a token, as they stand."""
    payload: dict[str, object] = json.loads(base64.urlsafe_b64decode(jwt.split(".")[1] + "=="))
    return payload


def test_the_tenant_of_the_address(started: Running) -> None:
    """Without a tenant it is that of the e-mail's domain; the token is a session of that user."""
    got = claims(started.token("ada@acme.example"))
    ada = started.emulator.project.find_user("ada@acme.example")
    assert ada is not None
    assert (got["sub"], got["dct"], got["drn"]) == (ada.user_id, "acme", "DS")


def test_a_tenant_by_name(started: Running) -> None:
    """Ada is in two tenants; the other one on request. Users are found in any case, as Descope does."""
    assert claims(started.token("Ada@acme.example", "globex"))["dct"] == "globex"


def test_a_trailing_slash(started: Running) -> None:
    """The address may be written as browsers do."""
    started.base_url += "/"
    assert claims(started.token("ada@acme.example"))["dct"] == "acme"


def refusal(started: Running, *wanted: str) -> str:
    """The sentence for whoever asked."""
    with pytest.raises(ConfigurationError) as refused:
        started.token(*wanted)
    return str(refused.value)


def test_not_a_member(started: Running) -> None:
    """Grace is not in globex, and nobody knows Eve."""
    sentence = "There is no such user, or not in that tenant; the emulator lists its users when it starts"
    assert refusal(started, "grace@acme.example", "globex") == sentence
    assert refusal(started, "eve@acme.example") == sentence


def test_no_such_tenant(started: Running) -> None:
    """The emulator's own words."""
    sentence = "The emulator refuses: No such tenant, or it has no SSO"
    assert refusal(started, "ada@acme.example", "umbrella") == sentence


def test_another_project(started: Running) -> None:
    """The emulator plays one project."""
    with pytest.raises(ConfigurationError, match="refuses: The bearer names another project"):
        issue_token(started.base_url, project_id="P2" + "x" * 26, user="ada@acme.example")


def test_a_user_of_no_tenant(started: Running) -> None:
    """A token without one, where the domain of the address is no tenant's either."""
    got = claims(started.token("nomad@example.org"))
    assert (got["email"], got.get("dct")) == ("nomad@example.org", None)
    assert refusal(started, "ghost@nowhere.example").startswith("There is no such user")


def test_a_user_of_no_tenant_where_there_is_no_other_way(started: Running) -> None:
    """Both refusals are told: that of the tenants, and that of the way without one."""
    started.emulator.project = replace(started.emulator.project, social_providers=("github",))
    sentence = (
        "The emulator refuses: No such tenant, or it has no SSO. Without a tenant it takes google among the"
        " social_providers. The emulator refuses: The project has no such provider"
    )
    assert refusal(started, "nomad@example.org") == sentence


def test_a_project_that_demands_its_key(started: Running) -> None:
    """It is sent along; without it the emulator says what is missing, and the key is in no sentence."""
    started.emulator.project = replace(started.emulator.project, auth_management_key="hush")
    where = {"project_id": started.emulator.project_id, "user": "ada@acme.example"}
    assert claims(issue_token(started.base_url, **where, auth_management_key="hush"))["dct"] == "acme"
    assert "does not hold the management key" in refusal(started, "ada@acme.example")
    with pytest.raises(ConfigurationError, match="no header may carry") as refused:
        issue_token(started.base_url, **where, auth_management_key="hush\n")
    assert "hush" not in str(refused.value)


def test_a_project_that_approves_of_few_redirects(started: Running) -> None:
    """One of those is given, and never followed."""
    project = replace(started.emulator.project, approved_redirects=("https://app.example.com",))
    started.emulator.project = project
    where = {"project_id": project.project_id, "user": "ada@acme.example"}
    token = issue_token(started.base_url, **where, redirect_url="https://app.example.com")
    assert claims(token)["dct"] == "acme"
    sentence = "The emulator refuses: redirectURL is not in the approved domains of the project"
    assert refusal(started, "ada@acme.example") == sentence


def test_a_project_that_keeps_tokens_in_cookies(started: Running) -> None:
    """The session token is found there."""
    started.emulator.project = replace(started.emulator.project, session_token_in="cookie")
    assert claims(started.token("ada@acme.example"))["drn"] == "DS"


def test_the_page_fails(started: Running) -> None:
    """An answer of the page without a code is said to be one."""
    started.emulator.faults.add("signin", status=500)
    sentence = "The page of the emulator has no sign-in form"
    assert refusal(started, "ada@acme.example") == sentence
    started.emulator.faults.add("signin", delay=1e-9)  # the page itself is shown
    started.emulator.faults.add("signin", status=500)
    sentence = "The emulator's sign-in page did not take the answer; try again"
    assert refusal(started, "ada@acme.example") == sentence


def test_no_token_came_back(started: Running) -> None:
    """An exchange that brings no session token is no success."""
    started.emulator.faults.add("exchange", body={"refreshJwt": "x"})
    sentence = "The emulator answered without a session token"
    assert refusal(started, "ada@acme.example") == sentence
    started.emulator.faults.add("exchange", body=b"?")
    assert refusal(started, "ada@acme.example") == sentence


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b"{}", b'{"errorMessage": 1}', b"[" * 100_000, b'{"url": 1}']
)
@pytest.mark.parametrize("status", [200, 404])
def test_somebody_else_there(started: Running, status: int, body: bytes) -> None:
    """What does not answer as Descope does is no emulator."""
    started.emulator.faults.add("authorize", status=status, body=body)
    assert refusal(started, "ada@acme.example").startswith("No emulator answers at http://127.0.0.1:")


def test_a_refusal_moves_no_terminal(started: Running) -> None:
    """Whoever wrote it."""
    started.emulator.faults.add("authorize", status=400, body={"errorMessage": "\x1b[31mno\n"})
    assert refusal(started, "ada@acme.example", "acme") == "The emulator refuses: [31mno"


def test_nobody_there() -> None:
    """Says how to start one."""
    with socket.create_server(("127.0.0.1", 0)) as closing:
        base_url = f"http://127.0.0.1:{closing.getsockname()[1]}"
    with pytest.raises(ConfigurationError) as refused:
        issue_token(base_url, project_id=Emulator().project_id, user="ada@acme.example")
    expected = f"No emulator answers at {base_url}; start one with: fastapi-descope emulator"
    assert str(refused.value) == expected


@pytest.mark.parametrize(
    "base_url", ["https://api.descope.com", "http://127.0.0.1.evil.example", "http://10.0.0.1:8787", "", "x"]
)
def test_nobody_but_the_loopback_is_asked(base_url: str) -> None:
    """Whatever is not this machine is refused without a request."""
    with pytest.raises(ConfigurationError, match="does not point to this machine"):
        issue_token(base_url, project_id=Emulator().project_id, user="ada@acme.example")
