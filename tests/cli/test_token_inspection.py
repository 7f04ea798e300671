"""``token inspect``: what a token is, whether the app accepts it and why not, without its text."""

import asyncio
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fastapi_descope import DescopeSettings
from fastapi_descope._cli.token_inspection import inspect_token
from fastapi_descope._cli.token_remedies import REMEDIES
from fastapi_descope._encoding import base64url_encode
from fastapi_descope.emulator import Emulator, Project, SigningKey
from fastapi_descope.emulator.server import running
from fastapi_descope.errors import TokenReason
from tests.cli.cli_runner import CommandResult, command_runner
from tests.helpers.emulator import signing_key

NOW = 1_900_000_000
PROJECT = Project().project_id
KEY = signing_key()

Inspect = Callable[..., CommandResult]


def claims(**changes: object) -> dict[str, object]:
    """Return the claims of a session token."""
    given = {"drn": "DS", "exp": NOW + 600, "iat": NOW - 60, "iss": PROJECT, "sub": "U2ada", "amr": ["fed"]}
    return {**given, "tenants": {"acme": {}, "globex": {}}, "dct": "acme", **changes}


def key_set(key: SigningKey = KEY) -> bytes:
    """Return the document with a public key."""
    return json.dumps({"keys": [key.public]}).encode()


async def inspect(token: str, **values: object) -> dict[str, object]:
    """Return the document about a token, without a call to Descope."""
    found = DescopeSettings(project_id=PROJECT, **values)  # type: ignore[arg-type] # any setting, by keyword
    inspection = await inspect_token(token, found, key_set=key_set(), clock=lambda: float(NOW))
    assert all(
        part not in f"{inspection}{inspection.as_json()}" for part in token.split(".") if len(part) > 20
    )
    document: dict[str, object] = json.loads(inspection.as_json())
    return document


@pytest.fixture
def run_inspect(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Inspect:
    """Return a function that runs the command with a token on standard input."""
    run = command_runner(capsys)

    def run_with_input(token: str, *options: str) -> CommandResult:
        standard_input = SimpleNamespace(buffer=io.BytesIO(token.encode()), isatty=lambda: False)
        monkeypatch.setattr(sys, "stdin", standard_input)
        return run("token", "inspect", *options)

    return run_with_input


@pytest.fixture
def emulator(variables: Callable[..., None]) -> Iterator[Emulator]:
    """Run an emulator, which the variables name as Descope's API."""
    emulator = Emulator(signing_key=signing_key())
    with running(emulator) as url:
        variables(DESCOPE_BASE_URL=url, DESCOPE_PROJECT_ID=emulator.project_id)
        yield emulator


def test_a_session_token(run_inspect: Inspect, emulator: Emulator) -> None:
    """It is accepted, and described without e-mail address and user id."""
    token = emulator.issue("ada@acme.example", "acme").session_jwt
    result = run_inspect(f"Bearer {token}\n")
    assert (result.status, result.err) == (0, "")
    assert [line.split(maxsplit=1) for line in result.out.splitlines()] == [
        ["token", "a session token of this project"],
        ["signature", "valid: a key of the project has signed what follows"],
        ["issuer", emulator.project_id],
        ["audience", "none"],
        ["issued", result.out.split("issued")[1].splitlines()[0].strip()],
        ["expires", "in 10 min"],
        ["tenants", "2, one of them current"],
        ["claims", "amr, dct, drn, email, exp, iat, iss, name, rexp, sub, tenants"],
        ["session", "accepted"],
        ["refresh", "refused (kind)"],
    ]
    assert "ada" not in result.out.lower()


def test_a_refresh_token(run_inspect: Inspect, emulator: Emulator) -> None:
    """It is no session, so the command fails."""
    result = run_inspect(emulator.issue("ada@acme.example", "acme").refresh_jwt, "--json")
    document = json.loads(result.out)
    assert (result.status, document["type"], document["verified"]) == (1, "refresh", True)
    assert document["session"] == {"accepted": False, "reason": "kind", "remedy": REMEDIES[TokenReason.KIND]}
    assert document["refresh"] == {"accepted": True, "reason": None, "remedy": None}


def test_a_token_in_a_file_and_a_key_set_in_another(
    capsys: pytest.CaptureFixture[str], variables: Callable[..., None], tmp_path: Path
) -> None:
    """No call to Descope is made."""
    emulator = Emulator(signing_key=signing_key())
    (tmp_path / "token").write_text(emulator.issue("ada@acme.example", "acme").session_jwt)
    (tmp_path / "keys.json").write_text(json.dumps({"keys": list(emulator.public_keys)}))
    variables(DESCOPE_PROJECT_ID=emulator.project_id, DESCOPE_BASE_URL="http://127.0.0.1:1")
    run = command_runner(capsys)
    arguments = ("token", "inspect", "--file", str(tmp_path / "token"), "--jwks")
    assert run(*arguments, str(tmp_path / "keys.json")).status == 0
    assert run(*arguments, str(tmp_path / "token")) == CommandResult(
        1, "", "Error: --jwks: expected a key set with a usable RSA key (not_a_key_set)\n"
    )
    assert run(*arguments, str(tmp_path)) == CommandResult(
        1, "", "Error: The file of --jwks cannot be read: Is a directory\n"
    )


def test_a_terminal_gets_a_hint(
    capsys: pytest.CaptureFixture[str], variables: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command would else wait in silence."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"x"), isatty=lambda: True))
    variables(DESCOPE_PROJECT_ID=PROJECT)
    result = command_runner(capsys)("token", "inspect")
    assert (result.status, result.err) == (1, "Paste the token, then press Enter and Ctrl+D.\n")
    assert result.out.splitlines()[0] == "token       not a JWT"


def test_lg09_token_in_the_wrong_place_is_not_echoed(
    capsys: pytest.CaptureFixture[str], variables: Callable[..., None]
) -> None:
    """As an argument, or as the name of a file: the error says where it belongs."""
    variables(DESCOPE_PROJECT_ID=PROJECT)
    token, run = KEY.sign(claims()), command_runner(capsys)
    arguments = [
        ("token", "inspect", token),
        ("token", "inspect", "Bearer", token),
        ("token", "inspect", "--token", token),
        ("token", "inspect", f"--token={token}"),
        ("token", "inspect", "--file", token),
        ("token", "inspect", "--jwks", token),
        ("doctor", "--refresh-token-file", token),
    ]
    for each in arguments:
        result = run(*each)
        assert (result.status in {1, 2}, result.out) == (True, "")
        causes = ("standard input", "No such option: --token", "cannot be read: File name too long")
        assert any(cause in result.err for cause in causes)
        assert token[:10] not in result.err


def test_wrong_settings(run_inspect: Inspect) -> None:
    """Without them it is unknown what the app would accept."""
    assert run_inspect("x").err.startswith("Error: DESCOPE_PROJECT_ID is missing.")


def test_an_api_that_cannot_be_reached(run_inspect: Inspect, variables: Callable[..., None]) -> None:
    """The token may be valid: the output says that it was not verified."""
    variables(DESCOPE_PROJECT_ID=PROJECT, DESCOPE_BASE_URL="http://127.0.0.1:1")
    result = run_inspect(KEY.sign(claims()))
    assert result.status == 1
    assert "signature   NOT VERIFIED: anyone could have written what follows" in result.out
    assert "session     refused (keys_unavailable): run fastapi-descope doctor, or pass" in result.out


TYPES: dict[str, tuple[dict[str, object], str, str, str]] = {
    "session": ({}, "session", "this", "accepted"),
    "access key": ({"sub": "K2key"}, "access_key_session", "this", "accepted"),
    "refresh": ({"drn": "DSR"}, "refresh", "this", "kind"),
    "trusted device": ({"drn": "DTD"}, "trusted_device", "this", "kind"),
    "inbound app": ({"azp": "TPA2x"}, "inbound_app", "this", "client"),
    "an azp that is no text": ({"azp": [{}]}, "inbound_app", "this", "client"),
    "bound to a key": ({"cnf": {"jkt": "x"}}, "session", "this", "sender_constrained"),
    "ID token": ({"drn": None, "aud": PROJECT}, "id_token", "this", "kind"),
    "another token": ({"drn": None}, "other_descope", "this", "kind"),
    "another cookie name": ({"drn": "sid"}, "other_descope", "this", "kind"),
    "issuer with a path": ({"iss": f"https://x.example/v1/apps/{PROJECT}/y"}, "session", "this", "issuer"),
    "another project": ({"iss": "P2" + "x" * 26}, "session", "another", "issuer"),
    "another issuer": ({"iss": "https://accounts.example.com"}, "other_issuer", "none", "issuer"),
    "no issuer": ({"iss": 7}, "other_issuer", "none", "issuer"),
    "another audience": ({"aud": ["crm"]}, "session", "this", "audience"),
    "an e-mail address as the user": ({"sub": "a@b.example"}, "session", "this", "subject"),
    "no times": ({"iat": "x", "exp": True}, "session", "this", "claims"),
    "a time far away": ({"exp": 1e300}, "session", "this", "claims"),
    "not yet valid": ({"iat": NOW + 60}, "session", "this", "not_yet_valid"),
    "expired": ({"exp": NOW - 5}, "session", "this", "expired"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", TYPES)
async def test_a_signed_token(name: str) -> None:
    """Type, project and the exact reason of the verifier, with its remedy."""
    changes, token_type, project, reason = TYPES[name]
    document = await inspect(KEY.sign({k: v for k, v in claims(**changes).items() if v is not None}))
    session = document["session"]
    assert isinstance(session, dict)
    assert (document["type"], document["project"]) == (token_type, project)
    assert (session["reason"] or "accepted") == reason
    assert session["remedy"] == (REMEDIES[TokenReason(reason)] if reason != "accepted" else None)
    assert document["verified"] is True


@pytest.mark.anyio
async def test_lg09_tokens_that_no_key_of_the_project_has_signed_are_unverified() -> None:
    """They are described, and the description is labelled as unverified."""
    header, payload, signature = KEY.sign(claims()).split(".")
    forged = f"{header}.{payload}.{'A' * len(signature)}"
    unsigned = f"{base64url_encode(b'{}')}.{payload}.{signature}"
    other = signing_key().sign(claims())
    for token, reason in ((forged, "signature"), (unsigned, "algorithm"), (other, "unknown_key")):
        document = await inspect(token)
        assert (document["type"], document["verified"]) == ("session", False)
        assert document["session"] == {
            "accepted": False,
            "reason": reason,
            "remedy": REMEDIES[TokenReason(reason)],
        }


@pytest.mark.anyio
async def test_text_that_is_no_token() -> None:
    """Also too much of it, and JSON that is no object."""
    signed = KEY.sign(claims())
    for text in ("", "a.b", "a.b.c.d", "🙂", f"{base64url_encode(b'[]')}.{signed.partition('.')[2]}"):
        document = await inspect(text)
        assert (document["type"], document["verified"]) == ("not_a_jwt", False)
    large = await inspect("a" * 9_000)
    assert large["session"] == {
        "accepted": False,
        "reason": "too_large",
        "remedy": REMEDIES[TokenReason.TOO_LARGE],
    }


@pytest.mark.anyio
async def test_what_is_printed_has_bounds() -> None:
    """Names and values that are no identifiers are counted, not printed."""
    names = {f"claim{number}": 1 for number in range(80)} | {"\x1b[31m": 1, "e@mail.example": 1}
    extra = {"aud": [f"{'x' * 201}", "ok", "\x07"], "iss": "\x1b]0;title\x07", "tenants": [], "dct": ""}
    settings = DescopeSettings(project_id=PROJECT)
    token = KEY.sign(claims(**names, **extra))
    inspection = await inspect_token(token, settings, key_set=key_set(), clock=lambda: float(NOW))
    assert len(inspection.facts.claims) == 64
    assert inspection.facts.other_claims == 27
    assert inspection.facts.audience == ("ok",)
    assert "issuer      none that can be printed" in str(inspection)
    assert "tenants     0\n" in str(inspection)
    assert "27 more" in str(inspection)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("expires", "text"),
    [(3 * 86_400, "in 3 d"), (3 * 3_600, "in 3 h"), (300, "in 5 min"), (60, "in 60 s"), (-7_200, "2 h ago")],
)
async def test_times_are_relative(expires: int, text: str) -> None:
    """To the clock of this host, like the verifier's."""
    token = KEY.sign(claims(exp=NOW + expires, iat=NOW - 10_000))
    found = DescopeSettings(project_id=PROJECT)
    inspection = await inspect_token(token, found, key_set=key_set(), clock=lambda: float(NOW))
    assert f"expires     {text}\n" in str(inspection)


@pytest.mark.anyio
async def test_times_that_are_missing() -> None:
    """They are unknown."""
    found = DescopeSettings(project_id=PROJECT)
    token = KEY.sign({"iss": PROJECT})
    inspection = await inspect_token(token, found, key_set=key_set(), clock=lambda: float(NOW))
    assert "expires     unknown: the claim is missing or malformed" in str(inspection)
    assert inspection.facts.claims == ("iss",)


@pytest.mark.anyio
async def test_renamed_cookies_and_further_clients() -> None:
    """The settings decide, as in the app."""
    document = await inspect(KEY.sign(claims(drn="sid")), session_cookie_name="sid")
    assert (document["type"], document["session"]) == (
        "session",
        {"accepted": True, "reason": None, "remedy": None},
    )
    document = await inspect(KEY.sign(claims(azp="TPA2x")), first_party_clients=["TPA2x"])
    assert document["type"] == "session"


def test_every_reason_has_a_remedy() -> None:
    """Of one line without a value."""
    assert set(REMEDIES) == set(TokenReason)
    assert all(remedy.isprintable() for remedy in REMEDIES.values())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
claim_names = st.sampled_from(["iss", "aud", "sub", "drn", "azp", "exp", "iat", "tenants", "dct", "cnf"])
claim_sets = st.dictionaries(claim_names | st.text(max_size=8), json_values, max_size=12)


def compact(header: object, payload: object, signature: bytes) -> str:
    """Return a compact JWS with any contents."""
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(base64url_encode(part) for part in parts)


tokens = (
    st.text()
    | st.binary().map(lambda raw: raw.decode("latin-1"))
    | st.builds(compact, claim_sets, claim_sets, st.binary(max_size=256))
    | claim_sets.map(lambda changes: KEY.sign({**claims(), **changes}))
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(token=tokens)
@example(token="." * 65_536)
@example(token=compact({"alg": "\x1b[2J"}, {"iss": "\x9b31m", "\x00": 1}, b"x"))
def test_lg09_hostile_input_has_bounds_and_is_not_echoed(token: str) -> None:
    """No crash, no control character, no part of the token, a bounded size (LG-09)."""
    found = DescopeSettings(project_id=PROJECT)
    inspection = asyncio.run(inspect_token(token, found, key_set=key_set(), clock=lambda: float(NOW)))
    for output in (str(inspection), inspection.as_json()):
        assert output.isascii()
        assert output.replace("\n", "").isprintable()
        assert len(output) < 25_000
        assert all(part not in output for part in token.split(".")[1:] if len(part) > 32)
