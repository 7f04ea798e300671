"""The ``token issue`` command: a session token from a running emulator, and from nothing else."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from fastapi_descope._cli.token_issue import issue_token
from fastapi_descope.emulator import Emulator
from fastapi_descope.emulator.server import running
from fastapi_descope.errors import ConfigurationError
from tests.helpers.ports import free_port


@dataclass
class RunningEmulator:
    """An emulator and its URL."""

    emulator: Emulator
    base_url: str

    def token(self, user: str, tenant: str | None = None) -> str:
        """Return what the command would print."""
        return issue_token(self.base_url, project_id=self.emulator.project_id, user=user, tenant=tenant)


@pytest.fixture
def started() -> Iterator[RunningEmulator]:
    """Run an emulator on a socket."""
    emulator = Emulator()
    with running(emulator) as base_url:
        yield RunningEmulator(emulator, base_url)


def claims(jwt: str) -> dict[str, object]:
    """Return the claims of a token without verifying it."""
    payload: dict[str, object] = json.loads(base64.urlsafe_b64decode(jwt.split(".")[1] + "=="))
    return payload


def test_the_default_tenant_is_that_of_the_e_mail_domain(started: RunningEmulator) -> None:
    """The token is a session token of that user."""
    token_claims = claims(started.token("ada@acme.example"))
    ada = started.emulator.project.find_user("ada@acme.example")
    assert ada is not None
    assert (token_claims["sub"], token_claims["dct"], token_claims["drn"]) == (ada.user_id, "acme", "DS")


def test_a_given_tenant(started: RunningEmulator) -> None:
    """Login ids are case-insensitive, as at Descope."""
    assert claims(started.token("Ada@acme.example", "globex"))["dct"] == "globex"


def test_a_trailing_slash(started: RunningEmulator) -> None:
    """A trailing slash of the URL is ignored."""
    started.base_url += "/"
    assert claims(started.token("ada@acme.example"))["dct"] == "acme"


def error_message(started: RunningEmulator, *arguments: str) -> str:
    """Return the message of the error."""
    with pytest.raises(ConfigurationError) as raised:
        started.token(*arguments)
    return str(raised.value)


def test_not_a_member(started: RunningEmulator) -> None:
    """Grace is not in globex, and Eve does not exist."""
    message = "The emulator has no such user, or not in this tenant; it lists its users when it starts"
    assert error_message(started, "grace@acme.example", "globex") == message
    assert error_message(started, "eve@acme.example") == message


def test_an_unknown_tenant(started: RunningEmulator) -> None:
    """The error contains the emulator's message."""
    message = "The emulator refused the request: No such tenant, or it has no SSO"
    assert error_message(started, "ada@acme.example", "umbrella") == message


def test_another_project(started: RunningEmulator) -> None:
    """The emulator has one project."""
    with pytest.raises(ConfigurationError, match="refused the request: The bearer starts with another"):
        issue_token(started.base_url, project_id="P2" + "x" * 26, user="ada@acme.example")


def test_a_user_of_no_tenant(started: RunningEmulator) -> None:
    """The token has no tenant if the e-mail domain belongs to none."""
    token_claims = claims(started.token("nomad@example.org"))
    assert (token_claims["email"], token_claims.get("dct")) == ("nomad@example.org", None)
    assert error_message(started, "ghost@nowhere.example").startswith("The emulator has no such user")


def test_a_user_of_no_tenant_without_google(started: RunningEmulator) -> None:
    """The error contains both messages: of the SSO login and of the social login."""
    started.emulator.project = replace(started.emulator.project, social_providers=("github",))
    message = (
        "The emulator refused the request: No such tenant, or it has no SSO."
        " A login without a tenant needs google in"
        " the project's social_providers. The emulator refused the request: The project has no such provider"
    )
    assert error_message(started, "nomad@example.org") == message


def test_a_project_that_requires_its_management_key(started: RunningEmulator) -> None:
    """The key is sent. No error message contains it."""
    started.emulator.project = replace(started.emulator.project, auth_management_key="hush")
    arguments = {"project_id": started.emulator.project_id, "user": "ada@acme.example"}
    assert claims(issue_token(started.base_url, **arguments, auth_management_key="hush"))["dct"] == "acme"
    assert "does not contain the management key" in error_message(started, "ada@acme.example")
    with pytest.raises(ConfigurationError, match="a header cannot carry") as raised:
        issue_token(started.base_url, **arguments, auth_management_key="hush\n")
    assert "hush" not in str(raised.value)


def test_a_project_with_approved_redirects(started: RunningEmulator) -> None:
    """The redirect URL is one of them, and is never requested."""
    project = replace(started.emulator.project, approved_redirects=("https://app.example.com",))
    started.emulator.project = project
    arguments = {"project_id": project.project_id, "user": "ada@acme.example"}
    token = issue_token(started.base_url, **arguments, redirect_url="https://app.example.com")
    assert claims(token)["dct"] == "acme"
    message = "The emulator refused the request: redirectURL is not in the approved domains of the project"
    assert error_message(started, "ada@acme.example") == message


def test_a_project_that_sends_session_tokens_in_cookies(started: RunningEmulator) -> None:
    """The session token is read from the cookie."""
    started.emulator.project = replace(started.emulator.project, session_token_in="cookie")
    assert claims(started.token("ada@acme.example"))["drn"] == "DS"


def test_a_failing_sign_in_page(started: RunningEmulator) -> None:
    """Whether it is not shown or returns no code."""
    started.emulator.faults.add("signin", status=500)
    message = "The page of the emulator has no sign-in form"
    assert error_message(started, "ada@acme.example") == message
    started.emulator.faults.add("signin", delay=1e-9)  # the page itself is shown
    started.emulator.faults.add("signin", status=500)
    message = "The emulator's sign-in page did not accept the login; try again"
    assert error_message(started, "ada@acme.example") == message


def test_an_exchange_without_a_session_token(started: RunningEmulator) -> None:
    """The command fails."""
    started.emulator.faults.add("exchange", body={"refreshJwt": "x"})
    message = "The emulator's response contains no session token"
    assert error_message(started, "ada@acme.example") == message
    started.emulator.faults.add("exchange", body=b"?")
    assert error_message(started, "ada@acme.example") == message


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b"{}", b'{"errorMessage": 1}', b"[" * 100_000, b'{"url": 1}']
)
@pytest.mark.parametrize("status", [200, 404])
def test_another_server_at_the_url(started: RunningEmulator, status: int, body: bytes) -> None:
    """A response that Descope would not send means that no emulator is there."""
    started.emulator.faults.add("authorize", status=status, body=body)
    assert error_message(started, "ada@acme.example").startswith("No emulator responds at http://127.0.0.1:")


def test_control_characters_are_removed_from_messages(started: RunningEmulator) -> None:
    """The message comes from another process."""
    started.emulator.faults.add("authorize", status=400, body={"errorMessage": "\x1b[31mno\n"})
    assert error_message(started, "ada@acme.example", "acme") == "The emulator refused the request: [31mno"


def test_no_server_at_the_url() -> None:
    """The error names the command that starts an emulator."""
    base_url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ConfigurationError) as raised:
        issue_token(base_url, project_id=Emulator().project_id, user="ada@acme.example")
    expected = f"No emulator responds at {base_url}; start one with: fastapi-descope emulator"
    assert str(raised.value) == expected


@pytest.mark.parametrize(
    "base_url", ["https://api.descope.com", "http://127.0.0.1.evil.example", "http://10.0.0.1:8787", "", "x"]
)
def test_requests_go_to_loopback_hosts_only(base_url: str) -> None:
    """Any other host is refused without a request."""
    with pytest.raises(ConfigurationError, match="is not a loopback URL"):
        issue_token(base_url, project_id=Emulator().project_id, user="ada@acme.example")
