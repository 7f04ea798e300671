"""nOTP and enchanted links: the app polls until a user confirms (wire contract, section 2.16)."""

from base64 import b64decode
from collections.abc import Callable, Coroutine
from dataclasses import replace

import httpx
import pytest

from fastapi_descope.emulator import Assumptions, Clock, Emulator, Project, SeedUser

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]
Read = Callable[[Emulator, str], dict[str, object]]

NOTP = "/v1/auth/notp/whatsapp"
NOTP_SESSION = "/v1/auth/notp/pending-session"
GENERATE = "/v1/mgmt/tests/generate/enchantedlink"
VERIFY = "/v1/auth/enchantedlink/verify"
LINK_SESSION = "/v1/auth/enchantedlink/pending-session"
LINK = {"loginId": "ada@acme.example", "URI": "http://localhost:8000/verify?a=b"}
MANAGED = Project(management_key="for-management")


def _verdict(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["errorCode"]


@pytest.mark.parametrize("way", ["signup", "signin", "signup-in"])
async def test_notp(call: Call, make: Make, confirm: Call, read: Read, way: str) -> None:
    """The session is pending until a user confirms on the page, and is then returned once."""
    emulator = make()
    started = (await call(emulator, "POST", f"{NOTP}/{way}", json={"loginId": ""})).json()
    assert sorted(started) == ["image", "pendingRef", "redirectUrl"]
    body = {"pendingRef": started["pendingRef"]}
    before = await call(emulator, "POST", NOTP_SESSION, json=body)
    assert before.json() == {
        "errorCode": "E066103",
        "errorDescription": "nOTP is pending",
        "errorMessage": "The sign-in has not been confirmed yet",
        "message": "The sign-in has not been confirmed yet",
    }
    page = await confirm(emulator, started["redirectUrl"], "ada@acme.example")
    assert (page.status_code, "location" in page.headers) == (200, False)
    assert "Go back to the app" in page.text
    response = await call(emulator, "POST", NOTP_SESSION, json=body)
    assert (response.status_code, response.json()["user"]["email"]) == (200, "ada@acme.example")
    assert read(emulator, response.json()["sessionJwt"])["amr"] == ["whatsapp"]
    assert _verdict(await call(emulator, "POST", NOTP_SESSION, json=body)) == (401, "E066103")


async def test_notp_image(call: Call, make: Make) -> None:
    """The image is an image, although not a QR code."""
    image = (await call(make(), "POST", f"{NOTP}/signin")).json()["image"]
    kind, _, data = image.partition(",")
    assert kind == "data:image/png;base64"
    assert b64decode(data).startswith(b"\x89PNG\r\n\x1a\n")


async def test_notp_image_may_be_bare_base64(call: Call, make: Make) -> None:
    """The image may lack the prefix of a data URI."""
    emulator = make(Project(assumptions=Assumptions(notp_image="base64")))
    image = (await call(emulator, "POST", f"{NOTP}/signin")).json()["image"]
    assert b64decode(image, validate=True).startswith(b"\x89PNG\r\n\x1a\n")


async def test_notp_accepts_every_documented_field(call: Call, make: Make, confirm: Call) -> None:
    """``providerId``, ``templates``, ``ssoAppId`` and ``user`` are accepted; ``loginId`` is optional."""
    emulator = make()
    body = {
        "loginOptions": {"locale": "de"},
        "providerId": "whatsapp-2",
        "templates": {"text": "welcome"},
        "ssoAppId": "SA2",
        "phone": "+15550100",
        "user": {"name": "Ada"},
    }
    started = await call(emulator, "POST", f"{NOTP}/signup", json=body)
    await confirm(emulator, started.json()["redirectUrl"], "ada@acme.example")
    collected = {"pendingRef": started.json()["pendingRef"]}
    assert (await call(emulator, "POST", NOTP_SESSION, json=collected)).status_code == 200


async def test_notp_with_a_login_id(call: Call, make: Make, confirm: Call) -> None:
    """With an e-mail address or phone number, only this user can confirm."""
    grace = SeedUser("grace@acme.example", phone="+15550100")
    emulator = make(Project(users=(grace, SeedUser("ada@acme.example"))))
    for login_id in ("grace@acme.example", "+15550100"):
        url = (await call(emulator, "POST", f"{NOTP}/signin", json={"loginId": login_id})).json()[
            "redirectUrl"
        ]
        assert (await confirm(emulator, url, "ada@acme.example")).status_code == 400
        assert (await confirm(emulator, url, "grace@acme.example")).status_code == 200


async def test_notp_refused(call: Call, make: Make, confirm: Call) -> None:
    """A refusal leaves the sign-in pending until the app gives up."""
    emulator = make()
    started = (await call(emulator, "POST", f"{NOTP}/signin")).json()
    page = await confirm(emulator, started["redirectUrl"], None)
    assert page.status_code == 200
    response = await call(emulator, "POST", NOTP_SESSION, json={"pendingRef": started["pendingRef"]})
    assert _verdict(response) == (401, "E066103")


async def test_notp_page_may_post_to_itself_only(call: Call, make: Make) -> None:
    """A page that does not redirect allows its form to post to the emulator only."""
    emulator = make()
    url = (await call(emulator, "POST", f"{NOTP}/signin")).json()["redirectUrl"]
    page = await call(emulator, "GET", url)
    assert page.headers["content-security-policy"].endswith("form-action 'self'")


async def test_notp_options(call: Call, make: Make, confirm: Call, read: Read) -> None:
    """Login options affect the session."""
    emulator = make()
    body = {"loginId": "ada@acme.example", "loginOptions": {"customClaims": {"plan": "gold"}}}
    started = (await call(emulator, "POST", f"{NOTP}/signup-in", json=body)).json()
    await confirm(emulator, started["redirectUrl"], "ada@acme.example")
    response = await call(emulator, "POST", NOTP_SESSION, json={"pendingRef": started["pendingRef"]})
    assert read(emulator, response.json()["sessionJwt"])["nsec"] == {"plan": "gold"}


async def test_notp_sign_up_rejects_known_users(call: Call, make: Make, confirm: Call) -> None:
    """A user who has signed in before cannot sign up, whether named at the start or found at the end."""
    emulator = make()
    emulator.issue("ada@acme.example")
    named = await call(emulator, "POST", f"{NOTP}/signup", json={"loginId": "ada@acme.example"})
    assert _verdict(named) == (400, "E062107")
    started = (await call(emulator, "POST", f"{NOTP}/signup")).json()
    await confirm(emulator, started["redirectUrl"], "ada@acme.example")
    response = await call(emulator, "POST", NOTP_SESSION, json={"pendingRef": started["pendingRef"]})
    assert _verdict(response) == (400, "E062107")


@pytest.mark.parametrize("login_id", ["new@acme.example", "+15550123"])
@pytest.mark.parametrize("way", ["signup", "signup-in"])
async def test_notp_open_sign_up(call: Call, make: Make, confirm: Call, way: str, login_id: str) -> None:
    """With open sign-up an unknown user joins the project, and only this user can confirm."""
    emulator = make(Project(open_sign_up=True))
    started = (await call(emulator, "POST", f"{NOTP}/{way}", json={"loginId": login_id})).json()
    assert (await confirm(emulator, started["redirectUrl"], "ada@acme.example")).status_code == 400
    assert (await confirm(emulator, started["redirectUrl"], login_id)).status_code == 200
    response = await call(emulator, "POST", NOTP_SESSION, json={"pendingRef": started["pendingRef"]})
    user, is_phone = response.json()["user"], login_id.startswith("+")
    assert (response.json()["firstSeen"], user["loginIds"]) == (True, [login_id])
    assert (user["email"], user["phone"]) == (("", login_id) if is_phone else (login_id, ""))
    assert (user["verifiedEmail"], user["verifiedPhone"]) == (not is_phone, is_phone)


@pytest.mark.parametrize(
    ("way", "login_id"),
    [("signin", "new@acme.example"), ("update", "new@acme.example"), ("signup", "nobody"), ("signup", "+1")],
)
async def test_notp_open_sign_up_is_restricted(call: Call, make: Make, way: str, login_id: str) -> None:
    """Sign-ins, updates and invalid login ids create no user."""
    emulator = make(Project(open_sign_up=True))
    token = emulator.issue("ada@acme.example").refresh_jwt
    body = {"loginId": login_id, "phone": "+15550199"}
    response = await call(emulator, "POST", f"{NOTP}/{way}", token=token, json=body)
    assert _verdict(response) == (400, "E062108")
    assert len(emulator.project.users) == 4


async def test_notp_update(call: Call, make: Make, confirm: Call) -> None:
    """An update sets the phone number of the refresh token's user, who must confirm it."""
    emulator = make()
    token = emulator.issue("ada@acme.example").refresh_jwt
    body = {"loginId": "ada@acme.example", "phone": "+15550199"}
    started = (await call(emulator, "POST", f"{NOTP}/update", token=token, json=body)).json()
    await confirm(emulator, started["redirectUrl"], "ada@acme.example")
    response = await call(emulator, "POST", NOTP_SESSION, json={"pendingRef": started["pendingRef"]})
    assert response.json()["user"]["phone"] == "+15550199"
    me = (await call(emulator, "GET", "/v1/auth/me", token=token)).json()
    assert (me["phone"], me["verifiedPhone"]) == ("+15550199", True)


async def test_notp_update_to_a_taken_phone_number(call: Call, make: Make, confirm: Call) -> None:
    """A phone number belongs to one user only."""
    grace = SeedUser("grace@acme.example", phone="+15550100")
    emulator = make(Project(users=(grace, SeedUser("ada@acme.example"))))
    token = emulator.issue("ada@acme.example").refresh_jwt
    body = {"loginId": "ada@acme.example", "phone": "+15550100"}
    started = (await call(emulator, "POST", f"{NOTP}/update", token=token, json=body)).json()
    await confirm(emulator, started["redirectUrl"], "ada@acme.example")
    response = await call(emulator, "POST", NOTP_SESSION, json={"pendingRef": started["pendingRef"]})
    assert _verdict(response) == (400, "E062107")


@pytest.mark.parametrize(
    ("way", "body", "code"),
    [
        ("signin", {"loginId": "nobody@acme.example"}, "E062108"),
        ("signin", {"loginId": 1}, "E011003"),
        ("signin", {"loginOptions": []}, "E011003"),
        ("signin", {"providerId": 1}, "E011003"),
        ("signup", {"user": "Ada"}, "E011003"),
        ("update", {"loginId": "ada@acme.example"}, "E011002"),
        ("update", {"loginId": "ada@acme.example", "phone": "+1"}, "E011002"),
    ],
)
async def test_notp_bad_start(call: Call, make: Make, way: str, body: dict[str, object], code: str) -> None:
    """An unknown user is rejected, and so is an update without number or refresh token."""
    assert _verdict(await call(make(), "POST", f"{NOTP}/{way}", json=body)) == (400, code)


@pytest.mark.parametrize(("seconds", "status"), [(599, 200), (600, 401)])
async def test_reference_lives_ten_minutes(
    call: Call, make: Make, confirm: Call, clock: Clock, seconds: int, status: int
) -> None:
    """A confirmed sign-in can be collected for ten minutes."""
    emulator = make()
    started = (await call(emulator, "POST", f"{NOTP}/signin")).json()
    await confirm(emulator, started["redirectUrl"], "ada@acme.example")
    clock.advance(seconds)
    response = await call(emulator, "POST", NOTP_SESSION, json={"pendingRef": started["pendingRef"]})
    assert response.status_code == status


@pytest.mark.parametrize(("path", "code"), [(NOTP_SESSION, "E066103"), (LINK_SESSION, "E062503")])
async def test_unknown_reference(call: Call, make: Make, path: str, code: str) -> None:
    """An unknown reference gets the response of a pending one; a missing one is an error."""
    emulator = make()
    assert _verdict(await call(emulator, "POST", path, json={"pendingRef": "guessed"})) == (401, code)
    assert _verdict(await call(emulator, "POST", path, json={})) == (400, "E011002")


async def test_an_expired_notp_may_get_its_own_error(
    call: Call, make: Make, confirm: Call, clock: Clock
) -> None:
    """A used, unknown or expired reference may get 400, while a pending one still gets 401."""
    emulator = make(Project(assumptions=Assumptions(notp_expiry_differs=True)))
    used, expired = [(await call(emulator, "POST", f"{NOTP}/signin")).json() for _ in range(2)]
    await confirm(emulator, used["redirectUrl"], "ada@acme.example")
    references = [each["pendingRef"] for each in (used, used, expired)] + ["guessed"]
    verdicts = [
        (await call(emulator, "POST", NOTP_SESSION, json={"pendingRef": each})).status_code
        for each in references
    ]
    assert verdicts == [200, 400, 401, 400]
    clock.advance(600)
    response = await call(emulator, "POST", NOTP_SESSION, json={"pendingRef": expired["pendingRef"]})
    assert _verdict(response) == (400, "E062504")


async def _link(call: Call, emulator: Emulator, body: dict[str, object]) -> httpx.Response:
    return await call(emulator, "POST", GENERATE, key="for-management", json=body)


async def test_enchanted_link(call: Call, make: Make, read: Read) -> None:
    """The session is pending until the link's token is posted, and is then returned once."""
    emulator = make(MANAGED)
    made = (await _link(call, emulator, {**LINK, "loginOptions": {"customClaims": {"plan": "gold"}}})).json()
    assert (sorted(made), made["loginId"]) == (["link", "loginId", "pendingRef"], "ada@acme.example")
    link, body = httpx.URL(made["link"]), {"pendingRef": made["pendingRef"]}
    assert (link.path, link.params["a"]) == ("/verify", "b")
    assert _verdict(await call(emulator, "POST", LINK_SESSION, json=body)) == (401, "E062503")
    verified = await call(emulator, "POST", VERIFY, json={"token": link.params["t"]})
    assert (verified.status_code, verified.json()) == (200, {})
    assert _verdict(await call(emulator, "POST", NOTP_SESSION, json=body)) == (401, "E066103")
    response = await call(emulator, "POST", LINK_SESSION, json=body)
    claims = read(emulator, response.json()["sessionJwt"])
    assert (claims["email"], claims["amr"]) == ("ada@acme.example", ["email"])
    assert claims["nsec"] == {"plan": "gold"}
    assert _verdict(await call(emulator, "POST", LINK_SESSION, json=body)) == (401, "E062503")
    again = await call(emulator, "POST", VERIFY, json={"token": link.params["t"]})
    assert _verdict(again) == (400, "E062504")


async def test_link_lives_ten_minutes(call: Call, make: Make, clock: Clock) -> None:
    """A link works for ten minutes."""
    emulator = make(MANAGED)
    made = (await _link(call, emulator, {**LINK})).json()
    clock.advance(600)
    token = httpx.URL(made["link"]).params["t"]
    assert _verdict(await call(emulator, "POST", VERIFY, json={"token": token})) == (400, "E062504")


async def test_link_of_a_removed_user(call: Call, make: Make) -> None:
    """A link cannot sign in a removed user."""
    emulator = make(MANAGED)
    made = (await _link(call, emulator, {**LINK})).json()
    emulator.project = replace(emulator.project, users=())
    token = httpx.URL(made["link"]).params["t"]
    assert _verdict(await call(emulator, "POST", VERIFY, json={"token": token})) == (400, "E062108")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"loginId": "nobody@acme.example"}, "E062108"),
        ({"loginId": ""}, "E011002"),
        ({"URI": ""}, "E011002"),
        ({"URI": "https://evil.example/"}, "E011004"),
    ],
)
async def test_link_needs_a_user_and_an_approved_url(
    call: Call, make: Make, change: dict[str, object], code: str
) -> None:
    """An unknown user and an unapproved URL are rejected."""
    assert _verdict(await _link(call, make(MANAGED), {**LINK, **change})) == (400, code)


@pytest.mark.parametrize("project", [MANAGED, Project()])
async def test_links_need_the_management_key(call: Call, make: Make, project: Project) -> None:
    """A link needs the management key, and a project that has one."""
    emulator = make(project)
    assert _verdict(await call(emulator, "POST", GENERATE, key="wrong", json=LINK)) == (401, "E011003")
    assert _verdict(await call(emulator, "POST", GENERATE, json=LINK)) == (401, "E011003")
