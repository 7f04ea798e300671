"""``doctor --refresh-token-file``: one refresh, and the project's cookie settings compared with the app's."""

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from fastapi_descope._cli.checks import Severity
from fastapi_descope._cli.doctor import Doctor
from fastapi_descope.emulator import (
    Assumptions,
    CookieSettings,
    Emulator,
    Grants,
    Project,
    SeedTenant,
    SeedUser,
)
from fastapi_descope.emulator.server import running
from tests.cli.cli_runner import CommandResult, command_runner
from tests.helpers.app_harness import IDP
from tests.helpers.emulator import signing_key

VALID = (Severity.OK, "the new tokens of the session are valid here")
AGREE = (Severity.OK, "its cookie names and domain agree with the settings")
ADA = "ada@acme.example"


@pytest.fixture
def configure(variables: Callable[..., None]) -> Callable[..., Emulator]:
    """Return a function that starts an emulator with a project, and sets the variables for it."""

    def start(project: Project | None = None, **values: str) -> Emulator:
        emulator = Emulator(project, base_url=IDP, signing_key=signing_key())
        given = {"DESCOPE_PROJECT_ID": emulator.project_id, "DESCOPE_BASE_URL": IDP, **values}
        variables(**given)
        return emulator

    return start


async def check(emulator: Emulator, refresh_token: str | None = None) -> list[tuple[Severity, str]]:
    """Return the results for the project, with a new refresh token by default."""
    token = emulator.issue(ADA, "acme").refresh_jwt if refresh_token is None else refresh_token
    transport = httpx.ASGITransport(emulator)
    results = await Doctor(variables={}, refresh_token=token, transport=transport).run_checks()
    assert not any(token in result.message for result in results if token)
    return [(result.severity, result.message) for result in results if result.subject == "project"]


@pytest.mark.anyio
@pytest.mark.parametrize("rotate", [False, True])
async def test_a_project_that_agrees_with_the_settings(
    configure: Callable[..., Emulator], *, rotate: bool
) -> None:
    """One refresh. Its tokens are verified."""
    emulator = configure(Project(rotate_refresh=rotate))

    assert await check(emulator) == [VALID, AGREE]
    assert emulator.requests.count("refresh") == 1


@pytest.mark.anyio
async def test_a_project_that_has_renamed_its_cookies(configure: Callable[..., Emulator]) -> None:
    """Logins fail with such a project, and each line has a variable to set."""
    emulator = configure(Project(cookies=CookieSettings("sid", "rid")))

    refused, session, refresh = await check(emulator)

    assert refused[0] is Severity.FAIL
    assert refused[1].startswith("the new tokens of the session are refused here (kind); use a token of")
    assert session[0] is refresh[0] is Severity.FAIL
    assert "set DESCOPE_SESSION_COOKIE_NAME=sid." in session[1]
    assert "set DESCOPE_REFRESH_COOKIE_NAME=rid." in refresh[1]


@pytest.mark.anyio
async def test_other_names_that_tokens_do_not_have(configure: Callable[..., Emulator]) -> None:
    """Logins work, so that it is a warning."""
    assumptions = Assumptions(drn_is_cookie_name=False)
    emulator = configure(Project(cookies=CookieSettings("sid"), assumptions=assumptions))

    valid, name = await check(emulator)

    assert valid == VALID
    assert name[0] is Severity.WARN
    assert "DESCOPE_SESSION_COOKIE_NAME=sid" in name[1]


@pytest.mark.anyio
async def test_another_domain(configure: Callable[..., Emulator]) -> None:
    """It matters for front-end SDKs only."""
    project = Project(cookies=CookieSettings(domain="example.com"))
    emulator = configure(project, DESCOPE_PUBLIC_URL="https://app.example.com")

    _, domain = await check(emulator)

    assert domain[0] is Severity.WARN
    assert "set DESCOPE_COOKIE_DOMAIN=example.com if" in domain[1]


@pytest.mark.anyio
async def test_a_refresh_token_that_descope_refuses(configure: Callable[..., Emulator]) -> None:
    """The message says what to look for."""
    emulator = configure()
    token = emulator.issue(ADA).refresh_jwt
    emulator.revoke_sessions(ADA)

    (result,) = await check(emulator, token)

    assert result[0] is Severity.FAIL
    assert result[1].startswith("Descope refuses the refresh token (status 401, code E")
    emulator.faults.add("refresh", status=400, body=b'{"errorCode": "odd"}')
    assert (await check(emulator, token))[0][1].startswith("Descope refuses the refresh token (status 400): ")


@pytest.mark.anyio
async def test_an_outage(configure: Callable[..., Emulator]) -> None:
    """The token is neither valid nor refused."""
    emulator = configure()
    emulator.faults.add("refresh", status=500)

    assert await check(emulator) == [
        (Severity.FAIL, "the refresh token cannot be checked (upstream_unavailable)")
    ]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("tenants", "directives"),
    [
        (1, None),
        (20, "proxy_buffer_size 8k"),
        (72, "proxy_buffer_size 16k and proxy_busy_buffers_size 16k"),
        (90, "proxy_buffer_size 16k and proxy_busy_buffers_size 16k and large_client_header_buffers 4 32k"),
    ],
)
async def test_ck14_size_of_the_cookies_is_compared_with_the_buffers_of_nginx(
    configure: Callable[..., Emulator], tenants: int, directives: str | None
) -> None:
    """A session token lists the user's tenants. The result is computed from a real token of the project."""
    ids = [f"T2abcdefghijklmnopqrstuvw{number:02d}" for number in range(tenants)]
    user = SeedUser(ADA, tenants={each: Grants(("Tenant Admin",)) for each in ids})
    emulator = configure(Project(tenants=tuple(SeedTenant(each, each) for each in ids), users=(user,)))
    token = emulator.issue(ADA, ids[0]).refresh_jwt

    transport = httpx.ASGITransport(emulator)
    results = await Doctor(variables={}, refresh_token=token, transport=transport).run_checks()

    [result] = [each for each in results if each.subject == "proxy"]
    assert result.severity is (Severity.WARN if directives else Severity.OK)
    assert (f": set {directives};" if directives else "fit the default buffers") in result.message


@pytest.mark.anyio
@pytest.mark.parametrize("text", ["", "no token", "ü.ü.ü"])
async def test_text_that_is_no_token(configure: Callable[..., Emulator], text: str) -> None:
    """It is not sent."""
    emulator = configure()

    assert await check(emulator, text) == [(Severity.FAIL, "the file does not contain a refresh token")]
    assert emulator.requests.count("refresh") == 0


def test_the_token_is_read_from_a_file_or_standard_input(
    variables: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """It is never printed. A line break at its end and bytes that are no text do not matter."""
    run, file, emulator = command_runner(capsys), tmp_path / "token", Emulator(signing_key=signing_key())
    tokens = [emulator.issue(ADA, "acme").refresh_jwt for _ in range(2)]
    file.write_text(tokens[0] + "\n", encoding="ascii")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(tokens[1].encode())))
    with running(emulator) as base_url:
        variables(DESCOPE_PROJECT_ID=emulator.project_id, DESCOPE_BASE_URL=base_url)
        outputs = [run("doctor", "--refresh-token-file", name) for name in (str(file), "-")]
        file.write_bytes(b"\xff\xfe")
        outputs.append(run("doctor", "--refresh-token-file", str(file)))

    assert [AGREE[1] in output.out for output in outputs] == [True, True, False]
    assert "the file does not contain a refresh token" in outputs[2].out
    assert not [token for token in tokens for output in outputs if token in output.out + output.err]


def test_a_file_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """The error does not repeat the name, which may be the token by mistake."""
    result = command_runner(capsys)("doctor", "--refresh-token-file", "/nonexistent")

    assert result == CommandResult(
        1, "", "Error: The file of --refresh-token-file cannot be read: No such file or directory\n"
    )
