"""The claims of a token: kind, issuer, audience, subject and times.

Requirements TV-11 to TV-16, KD-01 to KD-03, KD-07, KD-09 and KD-10. Every token here has a valid signature.
The clock is frozen, and the leeway is five seconds unless a test sets it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from fastapi_descope._tokens.claims import TokenKind
from fastapi_descope.errors import TokenError, TokenExpired, TokenReason
from fastapi_descope.session import Claims
from tests.helpers.tampering import NOW, POLICY, PROJECT, Forge
from tests.hostile.tables.claims import AUDIENCES, ISSUERS, KINDS, NOT_TIMES, SUBJECTS

ErrorOf = Callable[..., TokenError]
Verify = Callable[..., Claims]


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", NOT_TIMES.values(), ids=NOT_TIMES)
def test_tv11_tv12_a_time_that_is_not_a_plain_number_is_rejected(
    error_of: ErrorOf, forge: Forge, claim: str, value: object
) -> None:
    """Anything but a number of seconds before the year 10000 is rejected, never converted."""
    token = forge.token(forge.claims(**{claim: value}))
    assert error_of(token).reason is TokenReason.CLAIMS


@pytest.mark.parametrize(("claim", "value"), [("iat", 0), ("nbf", 0), ("nbf", 0.5), ("exp", 253_402_300_799)])
def test_tv11_tv12_any_time_before_the_year_10000_is_accepted(
    verify_token: Verify, forge: Forge, claim: str, value: float
) -> None:
    """The first second of the epoch and the last second of the year 9999 are valid."""
    assert verify_token(forge.token(forge.claims(**{claim: value})))[claim] == value


@pytest.mark.parametrize("claim", ["exp", "iat"])
def test_tv11_tv12_exp_and_iat_are_required(error_of: ErrorOf, forge: Forge, claim: str) -> None:
    """A token without ``exp`` or without ``iat`` is rejected."""
    assert error_of(forge.token(forge.claims(**{claim: ...}))).reason is TokenReason.CLAIMS


@pytest.mark.parametrize(
    ("exp", "alive"), [(-4, True), (-4.5, True), (-5, False), (-6, False), (-600, False)]
)
def test_tv11_expiry_is_exclusive(verify_token: Verify, forge: Forge, exp: float, *, alive: bool) -> None:
    """A token is valid while ``now < exp + leeway``, and expired at exactly that second."""
    token = forge.token(forge.claims(exp=NOW + exp, iat=NOW - 1000))
    if alive:
        assert verify_token(token)["exp"] == NOW + exp
    else:
        with pytest.raises(TokenExpired) as caught:
            verify_token(token)
        assert caught.value.reason is TokenReason.EXPIRED


@pytest.mark.parametrize("leeway", [0, 5, 60])
def test_tv11_tv12_leeway_extends_both_ends(
    verify_token: Verify, error_of: ErrorOf, forge: Forge, leeway: int
) -> None:
    """The leeway counts after ``exp`` and before ``iat``, and may be zero."""
    policy = replace(POLICY, leeway=leeway)
    token = forge.token()
    for now in (NOW - leeway, NOW + 600 + leeway - 1):
        assert verify_token(token, now=now, policy=policy)["iat"] == NOW
    early = error_of(token, now=NOW - leeway - 1, policy=policy)
    late = error_of(token, now=NOW + 600 + leeway, policy=policy)
    assert (early.reason, late.reason) == (TokenReason.NOT_YET_VALID, TokenReason.EXPIRED)


@pytest.mark.parametrize("exp", [NOW, NOW - 1, 0])
def test_tv11_a_token_that_expires_before_it_is_issued_is_rejected(
    error_of: ErrorOf, forge: Forge, exp: int
) -> None:
    """``exp <= iat`` is an invalid claim, which is not the same as an expired token."""
    assert error_of(forge.token(forge.claims(exp=exp))).reason is TokenReason.CLAIMS


@pytest.mark.parametrize("claim", ["iat", "nbf"])
@pytest.mark.parametrize(("ahead", "valid"), [(4, True), (5, True), (6, False), (3600, False)])
def test_tv12_a_token_is_not_valid_before_iat_and_nbf(
    verify_token: Verify, error_of: ErrorOf, forge: Forge, claim: str, ahead: int, *, valid: bool
) -> None:
    """``iat`` and ``nbf`` may be in the future by the leeway, and not by a second more."""
    token = forge.token(forge.claims(**{"nbf": NOW, claim: NOW + ahead, "exp": NOW + 7200}))
    if valid:
        assert verify_token(token)["sub"] == "U2forge"
    else:
        assert error_of(token).reason is TokenReason.NOT_YET_VALID


@pytest.mark.parametrize("issuer", [PROJECT, f"https://api.descope.com/{PROJECT}"])
def test_tv13_every_issuer_of_the_project_is_accepted(
    verify_token: Verify, forge: Forge, issuer: str
) -> None:
    """All issuers of the policy are accepted."""
    assert verify_token(forge.token(forge.claims(iss=issuer)))["iss"] == issuer


@pytest.mark.parametrize("issuer", ISSUERS.values(), ids=ISSUERS)
def test_tv13_any_other_issuer_is_rejected(error_of: ErrorOf, forge: Forge, issuer: object) -> None:
    """The whole issuer is compared, not its end or its host, and with case."""
    assert error_of(forge.token(forge.claims(iss=issuer))).reason is TokenReason.ISSUER


@pytest.mark.parametrize("audience", [PROJECT, [PROJECT], ["other", PROJECT]])
def test_tv14_an_audience_with_the_project_is_accepted(
    verify_token: Verify, forge: Forge, audience: object
) -> None:
    """An audience is one name or a list of names; one of them must be the project id."""
    assert verify_token(forge.token(forge.claims(aud=audience)))["sub"] == "U2forge"


@pytest.mark.parametrize("audience", AUDIENCES.values(), ids=AUDIENCES)
def test_tv14_a_token_for_another_audience_is_rejected(
    error_of: ErrorOf, forge: Forge, audience: object
) -> None:
    """An audience that is malformed, or lacks the project id, is never ignored."""
    assert error_of(forge.token(forge.claims(aud=audience))).reason is TokenReason.AUDIENCE


def test_tv14_a_configured_audience_is_required(
    verify_token: Verify, error_of: ErrorOf, forge: Forge
) -> None:
    """If an audience is configured, a token without it is rejected, also one for the project alone."""
    policy = replace(POLICY, audience="api")
    assert verify_token(forge.token(forge.claims(aud=["api"])), policy=policy)["aud"] == ("api",)
    for claims in (forge.claims(), forge.claims(aud=PROJECT), forge.claims(aud=None)):
        assert error_of(forge.token(claims), policy=policy).reason is TokenReason.AUDIENCE


@pytest.mark.parametrize("claim", ["sub", "dsub"])
@pytest.mark.parametrize("value", SUBJECTS.values(), ids=SUBJECTS)
def test_tv15_an_invalid_user_id_is_rejected(
    error_of: ErrorOf, forge: Forge, claim: str, value: object
) -> None:
    """A user id that is not a string, is empty or too long, or has control characters is rejected."""
    token = forge.token(forge.claims(**{claim: value}))
    assert error_of(token).reason is TokenReason.SUBJECT


def test_tv15_sub_is_required_even_with_dsub(error_of: ErrorOf, forge: Forge) -> None:
    """``dsub`` does not replace a missing ``sub``."""
    for claims in (forge.claims(sub=...), forge.claims(sub=..., dsub="U2forge")):
        assert error_of(forge.token(claims)).reason is TokenReason.SUBJECT


@pytest.mark.parametrize(
    "subject", ["u", "u" * 255, "user.example.com", "Zo\u00eb \U0001f600", "a b", "a\u00a0b"]
)
def test_tv15_a_user_id_may_be_any_other_text(verify_token: Verify, forge: Forge, subject: str) -> None:
    """A JWT template may put any text without control characters there."""
    assert verify_token(forge.token(forge.claims(sub=subject)))["sub"] == subject


@pytest.mark.parametrize(
    ("changes", "subject"), [({}, "U2forge"), ({"sub": "me@example.com", "dsub": "U2real"}, "U2real")]
)
def test_kd05_the_error_of_an_expired_token_has_its_user_id(
    error_of: ErrorOf, forge: Forge, changes: Mapping[str, str], subject: str
) -> None:
    """The error has ``dsub``, else ``sub``, so that a refresh token of another user is noticed."""
    error = error_of(forge.token(forge.claims(**changes)), now=NOW + 605)
    assert isinstance(error, TokenExpired)
    assert error.subject == subject


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"drn": "DSR"}, TokenReason.KIND),
        ({"iss": "evil"}, TokenReason.ISSUER),
        ({"aud": "evil"}, TokenReason.AUDIENCE),
        ({"sub": ""}, TokenReason.SUBJECT),
        ({"iat": None}, TokenReason.CLAIMS),
        ({"nbf": NOW + 9000}, TokenReason.NOT_YET_VALID),
    ],
)
def test_expiry_is_checked_last(
    error_of: ErrorOf, forge: Forge, changes: Mapping[str, object], reason: TokenReason
) -> None:
    """TokenExpired starts a refresh, so any other fault of the token takes precedence."""
    token = forge.token(forge.claims(**changes))
    assert error_of(token, now=NOW + 6000).reason is reason


@pytest.mark.parametrize(("drn", "kind"), [("DS", TokenKind.SESSION), ("DSR", TokenKind.REFRESH)])
def test_kd01_kd02_a_token_of_one_kind_is_rejected_as_the_other(
    verify_token: Verify, error_of: ErrorOf, forge: Forge, drn: str, kind: TokenKind
) -> None:
    """A refresh token is not a session token, and vice versa, although both signatures are valid."""
    token = forge.token(forge.claims(drn=drn))
    (other,) = {TokenKind.SESSION, TokenKind.REFRESH} - {kind}
    assert verify_token(token, kind)["drn"] == drn
    assert error_of(token, other).reason is TokenReason.KIND


@pytest.mark.parametrize("kind", [TokenKind.SESSION, TokenKind.REFRESH])
@pytest.mark.parametrize("drn", KINDS.values(), ids=KINDS)
def test_kd03_kd07_a_token_of_an_unknown_kind_is_rejected(
    error_of: ErrorOf, forge: Forge, drn: object, kind: TokenKind
) -> None:
    """A token without an exact, known ``drn`` is neither a session token nor a refresh token."""
    assert error_of(forge.token(forge.claims(drn=drn)), kind).reason is TokenReason.KIND


def test_kd03_renamed_cookies_rename_the_kinds(verify_token: Verify, error_of: ErrorOf, forge: Forge) -> None:
    """Descope puts the cookie name into ``drn``. The names of the policy are accepted, and no others."""
    policy = replace(POLICY, session_names=frozenset({"app"}))
    assert verify_token(forge.token(forge.claims(drn="app")), policy=policy)["drn"] == "app"
    assert error_of(forge.token(), policy=policy).reason is TokenReason.KIND


@pytest.mark.parametrize("kind", TokenKind)
@pytest.mark.parametrize("cnf", [{"jkt": "x"}, {"x5t#S256": "x"}, {}, None, ""], ids=repr)
def test_kd09_sender_constrained_token_is_rejected(
    error_of: ErrorOf, forge: Forge, kind: TokenKind, cnf: object
) -> None:
    """Accepting it without the proof of its key would turn it into a bearer token."""
    drn = "DSR" if kind is TokenKind.REFRESH else "DS"
    token = forge.token(forge.claims(drn=drn, azp=PROJECT, aud=PROJECT, cnf=cnf))

    error = error_of(token, kind)

    assert (error.reason, error.code) == (TokenReason.SENDER_CONSTRAINED, "sender_constrained")


@pytest.mark.parametrize(
    "azp",
    ["TPA2other", PROJECT.lower(), f"{PROJECT} ", f" {PROJECT}", "", None, 7, True, [PROJECT], {}],
    ids=repr,
)
def test_kd10_token_of_a_third_party_application_is_rejected(
    error_of: ErrorOf, forge: Forge, azp: object
) -> None:
    """The user has consented to scopes of that application and not to a session."""
    assert error_of(forge.token(forge.claims(azp=azp))).reason is TokenReason.CLIENT


@pytest.mark.parametrize(
    "changes", [{}, {"scope": "openid email"}, {"azp": PROJECT, "scope": "openid"}], ids=repr
)
def test_kd10_token_of_the_project_itself_is_accepted(
    verify_token: Verify, forge: Forge, changes: Mapping[str, object]
) -> None:
    """Scopes alone do not make an application a third party."""
    assert verify_token(forge.token(forge.claims(**changes)))["sub"] == "U2forge"


def test_kd10_listed_clients_are_accepted(verify_token: Verify, error_of: ErrorOf, forge: Forge) -> None:
    """They are applications of the same operator. The project itself is accepted all the same."""
    policy = replace(POLICY, clients=frozenset({"TPA2own"}))
    for azp in ("TPA2own", PROJECT):
        assert verify_token(forge.token(forge.claims(azp=azp)), policy=policy)["azp"] == azp
    assert error_of(forge.token(forge.claims(azp="TPA2other")), policy=policy).reason is TokenReason.CLIENT


@pytest.mark.parametrize(
    "changes",
    [{"sub": "me@example.com"}, {"dsub": "me@example.com"}, {"sub": "@"}, {"sub": "me%40x@y"}],
    ids=repr,
)
def test_tv15_email_address_is_no_user_id(
    error_of: ErrorOf, forge: Forge, changes: Mapping[str, object]
) -> None:
    """An address can be given to another user later."""
    assert error_of(forge.token(forge.claims(**changes))).reason is TokenReason.SUBJECT
