"""Magic links by e-mail (wire contract, section 2.17)."""

from collections.abc import Callable, Coroutine
from dataclasses import replace

import httpx
import pytest

from fastapi_descope.emulator import Emulator, Project

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]
Read = Callable[[Emulator, str], dict[str, object]]

START = "/v1/auth/magiclink/{}/email"
VERIFY = "/v1/auth/magiclink/verify"
BODY = {"loginId": "ada@acme.example", "URI": "http://localhost:8000/verify?a=b"}


def _verdict(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["errorCode"]


def _token(emulator: Emulator, to: str = "ada@acme.example") -> str:
    return httpx.URL(emulator.outbox.last(to).link).params["t"]


@pytest.mark.parametrize("way", ["signin", "signup", "signup-in"])
async def test_link_signs_in_once(call: Call, make: Make, read: Read, way: str) -> None:
    """The e-mail is in the outbox, and the token of its link is verified once."""
    emulator = make()
    started = await call(emulator, "POST", START.format(way), json=BODY)
    assert (started.status_code, started.json()) == (200, {"maskedEmail": "a***@acme.example"})
    (email,) = emulator.outbox.newest_first()
    assert (email.to, email.sent_at) == ("ada@acme.example", emulator.clock())
    assert email.link.startswith("http://localhost:8000/verify?a=b&t=")
    assert _token(emulator) not in repr(email)

    response = await call(emulator, "POST", VERIFY, json={"token": _token(emulator)})
    again = await call(emulator, "POST", VERIFY, json={"token": _token(emulator)})

    assert response.json()["user"]["email"] == "ada@acme.example"
    assert read(emulator, response.json()["sessionJwt"])["amr"] == ["email"]
    assert _verdict(again) == (401, "E062504")


async def test_name_of_the_openapi_document_is_accepted(call: Call, make: Make) -> None:
    """SDKs send ``URI``, and the document names the field ``redirectUrl``."""
    emulator = make()
    body = {"loginId": "ada@acme.example", "redirectUrl": "http://localhost:8000/verify"}
    assert (await call(emulator, "POST", START.format("signin"), json=body)).status_code == 200
    assert emulator.outbox.last("Ada@acme.example").link.startswith("http://localhost:8000/verify?t=")


@pytest.mark.parametrize(
    ("way", "change", "verdict"),
    [
        ("signin", {"loginId": "nobody@acme.example"}, (400, "E062108")),
        ("signin", {"URI": "https://evil.example/"}, (400, "E011004")),
        ("signin", {"URI": "", "loginId": "ada@acme.example"}, (400, "E011002")),
        ("signin", {"loginOptions": {"stepup": True}}, (400, "E011002")),
    ],
)
async def test_bad_start(
    call: Call, make: Make, way: str, change: dict[str, object], verdict: tuple[int, str]
) -> None:
    """Nothing is sent."""
    emulator = make()
    assert _verdict(await call(emulator, "POST", START.format(way), json=BODY | change)) == verdict
    assert emulator.outbox.newest_first() == ()
    with pytest.raises(LookupError):
        emulator.outbox.last("ada@acme.example")


async def test_sign_up_of_a_known_user_is_refused(call: Call, make: Make) -> None:
    """A user who has signed in before has an account."""
    emulator = make()
    await call(emulator, "POST", START.format("signin"), json=BODY)
    await call(emulator, "POST", VERIFY, json={"token": _token(emulator)})
    assert _verdict(await call(emulator, "POST", START.format("signup"), json=BODY)) == (400, "E062107")


async def test_open_project_takes_new_users(call: Call, make: Make) -> None:
    """With ``open_sign_up``, but not for a sign-in."""
    emulator = make(Project(open_sign_up=True))
    body = BODY | {"loginId": "new@acme.example"}
    assert _verdict(await call(emulator, "POST", START.format("signin"), json=body)) == (400, "E062108")
    assert (await call(emulator, "POST", START.format("signup-in"), json=body)).status_code == 200
    response = await call(emulator, "POST", VERIFY, json={"token": _token(emulator, "new@acme.example")})
    assert response.json()["firstSeen"] is True


async def test_disabled_or_removed_user_is_refused(call: Call, make: Make) -> None:
    """The token of a link does not outlive the right to sign in."""
    emulator = make()
    for users in ((), tuple(replace(each, status="disabled") for each in emulator.project.users)):
        await call(emulator, "POST", START.format("signin"), json=BODY)
        known = emulator.project
        emulator.project = replace(known, users=users)
        response = await call(emulator, "POST", VERIFY, json={"token": _token(emulator)})
        assert _verdict(response) == (401, "E062504")
        emulator.project = known


async def test_token_of_an_enchanted_link_is_no_magic_link(call: Call, make: Make) -> None:
    """That signs in the browser that polls."""
    emulator = make(Project(management_key="for-management"))
    path = "/v1/mgmt/tests/generate/enchantedlink"
    key = f"{emulator.project_id}:for-management"
    generated = await call(emulator, "POST", path, json=BODY, headers={"authorization": f"Bearer {key}"})
    token = httpx.URL(generated.json()["link"]).params["t"]
    assert _verdict(await call(emulator, "POST", VERIFY, json={"token": token})) == (401, "E062504")


async def test_link_expires(call: Call, make: Make) -> None:
    """After ten minutes, our choice."""
    emulator = make()
    await call(emulator, "POST", START.format("signin"), json=BODY)
    emulator.clock.advance(600)
    assert _verdict(await call(emulator, "POST", VERIFY, json={"token": _token(emulator)})) == (
        401,
        "E062504",
    )


async def test_outbox_keeps_the_last_hundred(call: Call, make: Make) -> None:
    """So that a long-running emulator does not grow."""
    emulator = make()
    for number in range(101):
        user = "ada@acme.example" if number else "grace@acme.example"
        await call(emulator, "POST", START.format("signin"), json=BODY | {"loginId": user})
    await call(emulator, "POST", START.format("signin"), json=BODY | {"loginId": "hank@globex.example"})
    assert emulator.outbox.last("ada@acme.example").to == "ada@acme.example"
    assert len(emulator.outbox.newest_first()) == 100


async def test_console_shows_the_links(call: Call) -> None:
    """A developer clicks them there."""
    emulator = Emulator(console="view")
    assert "No e-mails." in (await call(emulator, "GET", "/console")).text
    await call(emulator, "POST", START.format("signin"), json=BODY)
    page = (await call(emulator, "GET", "/console")).text
    assert f'<a href="http://localhost:8000/verify?a=b&amp;t={_token(emulator)}" target="_blank"' in page
