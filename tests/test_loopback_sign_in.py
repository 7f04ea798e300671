"""A session token for curl: what a running emulator gives, and what nobody else is asked for."""

import base64
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from fastapi_descope.emulator import Emulator
from fastapi_descope.emulator.server import running
from fastapi_descope.errors import ConfigurationError
from fastapi_descope.loopback_sign_in import sign_in

pytestmark = pytest.mark.anyio


@dataclass
class Running:
    """An emulator and where it is."""

    emulator: Emulator
    base_url: str

    async def token(self, user: str, tenant: str | None = None) -> str:
        """What the command would print."""
        return await sign_in(self.base_url, project_id=self.emulator.project_id, user=user, tenant=tenant)


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


async def test_the_tenant_of_the_address(started: Running) -> None:
    """Without a tenant it is that of the e-mail's domain; the token is a session of that user."""
    got = claims(await started.token("ada@acme.example"))
    ada = started.emulator.project.user("ada@acme.example")
    assert ada is not None
    assert (got["sub"], got["dct"], got["drn"]) == (ada.user_id, "acme", "DS")


async def test_a_tenant_by_name(started: Running) -> None:
    """Ada is in two tenants; the other one on request. Users are found in any case, as Descope does."""
    assert claims(await started.token("Ada@acme.example", "globex"))["dct"] == "globex"


async def test_a_trailing_slash(started: Running) -> None:
    """The address may be written as browsers do."""
    started.base_url += "/"
    assert claims(await started.token("ada@acme.example"))["dct"] == "acme"


async def refusal(started: Running, *wanted: str) -> str:
    """The sentence for whoever asked."""
    with pytest.raises(ConfigurationError) as refused:
        await started.token(*wanted)
    return str(refused.value)


async def test_not_a_member(started: Running) -> None:
    """Grace is not in globex, and nobody knows Eve."""
    sentence = "The tenant has no such user; the emulator lists its users when it starts"
    assert await refusal(started, "grace@acme.example", "globex") == sentence
    assert await refusal(started, "eve@acme.example") == sentence


async def test_no_such_tenant(started: Running) -> None:
    """Descope's code is told, and what to check."""
    sentence = await refusal(started, "ada@acme.example", "umbrella")
    assert sentence.startswith("The emulator refuses (E")
    assert sentence.endswith("): check the project id, and that the tenant exists")


async def test_another_project(started: Running) -> None:
    """The emulator plays one project; another is refused like a wrong tenant."""
    with pytest.raises(ConfigurationError, match="check the project id"):
        await sign_in(started.base_url, project_id="P2" + "x" * 26, user="ada@acme.example")


async def test_the_page_fails(started: Running) -> None:
    """An answer of the page without a code is said to be one."""
    started.emulator.faults.add("signin", delay=1e-9)  # the page itself is shown
    started.emulator.faults.add("signin", status=500)
    sentence = "The emulator's sign-in page did not take the answer; try again"
    assert await refusal(started, "ada@acme.example") == sentence


async def test_no_token_came_back(started: Running) -> None:
    """An exchange that brings no session token is no success."""
    started.emulator.faults.add("exchange", body={"refreshJwt": "x"})
    sentence = "The emulator answered without a session token"
    assert await refusal(started, "ada@acme.example") == sentence


async def test_nobody_there() -> None:
    """Says how to start one."""
    with socket.create_server(("127.0.0.1", 0)) as closing:
        base_url = f"http://127.0.0.1:{closing.getsockname()[1]}"
    with pytest.raises(ConfigurationError) as refused:
        await sign_in(base_url, project_id=Emulator().project_id, user="ada@acme.example")
    expected = f"No emulator answers at {base_url}; start one with: fastapi-descope emulator"
    assert str(refused.value) == expected


@pytest.mark.parametrize(
    "base_url", ["https://api.descope.com", "http://127.0.0.1.evil.example", "http://10.0.0.1:8787", "", "x"]
)
async def test_nobody_but_the_loopback_is_asked(base_url: str) -> None:
    """Whatever is not this machine is refused without a request."""
    with pytest.raises(ConfigurationError, match="does not point to this machine"):
        await sign_in(base_url, project_id=Emulator().project_id, user="ada@acme.example")
