"""A token's claims: who, for whom, from when and until when.

Requirements TV-11 to TV-16, KD-01 to KD-03 and KD-07. Every token here is genuinely signed; the clock is
frozen, and the leeway is the default of five seconds unless said otherwise.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from fastapi_descope._tokens.claims import TokenKind
from fastapi_descope.errors import TokenError, TokenExpired, TokenReason
from fastapi_descope.session import Claims
from tests.helpers.tampering import NOW, POLICY, PROJECT, Forge
from tests.hostile.tables.claims import AUDIENCES, ISSUERS, KINDS, NOT_TIMES, SUBJECTS

Refusal = Callable[..., TokenError]
Verify = Callable[..., Claims]


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", NOT_TIMES.values(), ids=NOT_TIMES)
def test_tv11_tv12_a_time_is_a_plain_number(
    token_refusal: Refusal, forge: Forge, claim: str, value: object
) -> None:
    """What is not a number of seconds before the year 10000 is refused, never converted."""
    token = forge.token(forge.claims(**{claim: value}))
    assert token_refusal(token).reason is TokenReason.CLAIMS


@pytest.mark.parametrize(("claim", "value"), [("iat", 0), ("nbf", 0), ("nbf", 0.5), ("exp", 253_402_300_799)])
def test_tv11_tv12_a_time_may_be_any_in_the_calendar(
    token_verify: Verify, forge: Forge, claim: str, value: float
) -> None:
    """From the first second of the epoch to the last of the year 9999."""
    assert token_verify(forge.token(forge.claims(**{claim: value})))[claim] == value


@pytest.mark.parametrize("claim", ["exp", "iat"])
def test_tv11_tv12_both_times_are_required(token_refusal: Refusal, forge: Forge, claim: str) -> None:
    """A token without an end, or without a beginning, is refused."""
    assert token_refusal(forge.token(forge.claims(**{claim: ...}))).reason is TokenReason.CLAIMS


@pytest.mark.parametrize(
    ("exp", "alive"), [(-4, True), (-4.5, True), (-5, False), (-6, False), (-600, False)]
)
def test_tv11_expiry_is_exclusive(token_verify: Verify, forge: Forge, exp: float, *, alive: bool) -> None:
    """A token lives while ``now < exp + leeway``: not at that second any more."""
    token = forge.token(forge.claims(exp=NOW + exp, iat=NOW - 1000))
    if alive:
        assert token_verify(token)["exp"] == NOW + exp
    else:
        with pytest.raises(TokenExpired) as caught:
            token_verify(token)
        assert caught.value.reason is TokenReason.EXPIRED


@pytest.mark.parametrize("leeway", [0, 5, 60])
def test_tv11_tv12_leeway_widens_both_ends_alike(
    token_verify: Verify, token_refusal: Refusal, forge: Forge, leeway: int
) -> None:
    """Leeway is added to the end and taken from the beginning, and zero is a leeway."""
    policy = replace(POLICY, leeway=leeway)
    token = forge.token()
    for now in (NOW - leeway, NOW + 600 + leeway - 1):
        assert token_verify(token, now=now, policy=policy)["iat"] == NOW
    early = token_refusal(token, now=NOW - leeway - 1, policy=policy)
    late = token_refusal(token, now=NOW + 600 + leeway, policy=policy)
    assert (early.reason, late.reason) == (TokenReason.NOT_YET_VALID, TokenReason.EXPIRED)


@pytest.mark.parametrize("exp", [NOW, NOW - 1, 0])
def test_tv11_a_token_that_ends_before_it_begins_is_no_token(
    token_refusal: Refusal, forge: Forge, exp: int
) -> None:
    """``exp <= iat`` is nonsense, which is not the same as expired."""
    assert token_refusal(forge.token(forge.claims(exp=exp))).reason is TokenReason.CLAIMS


@pytest.mark.parametrize("claim", ["iat", "nbf"])
@pytest.mark.parametrize(("ahead", "valid"), [(4, True), (5, True), (6, False), (3600, False)])
def test_tv12_a_token_of_the_future_waits(
    token_verify: Verify, token_refusal: Refusal, forge: Forge, claim: str, ahead: int, *, valid: bool
) -> None:
    """``iat`` and ``nbf`` may be ahead by the leeway and not by a second more."""
    token = forge.token(forge.claims(**{claim: NOW + ahead, "exp": NOW + 7200}))
    if valid:
        assert token_verify(token)["sub"] == "U2forge"
    else:
        assert token_refusal(token).reason is TokenReason.NOT_YET_VALID


@pytest.mark.parametrize("issuer", [PROJECT, f"https://api.descope.com/{PROJECT}"])
def test_tv13_each_issuer_of_the_project_counts(token_verify: Verify, forge: Forge, issuer: str) -> None:
    """All the forms that the policy lists are accepted."""
    assert token_verify(forge.token(forge.claims(iss=issuer)))["iss"] == issuer


@pytest.mark.parametrize("issuer", ISSUERS.values(), ids=ISSUERS)
def test_tv13_no_other_issuer_counts(token_refusal: Refusal, forge: Forge, issuer: object) -> None:
    """An issuer is compared as a whole, not by its end, its host or its case."""
    assert token_refusal(forge.token(forge.claims(iss=issuer))).reason is TokenReason.ISSUER


@pytest.mark.parametrize("audience", [PROJECT, [PROJECT], ["other", PROJECT]])
def test_tv14_an_audience_names_the_project(token_verify: Verify, forge: Forge, audience: object) -> None:
    """An audience is one name or a list of them; one of them has to be the project."""
    assert token_verify(forge.token(forge.claims(aud=audience)))["sub"] == "U2forge"


@pytest.mark.parametrize("audience", AUDIENCES.values(), ids=AUDIENCES)
def test_tv14_a_token_for_somebody_else_is_refused(
    token_refusal: Refusal, forge: Forge, audience: object
) -> None:
    """A present audience that is not well-formed and ours is never overlooked."""
    assert token_refusal(forge.token(forge.claims(aud=audience))).reason is TokenReason.AUDIENCE


def test_tv14_a_configured_audience_is_required(
    token_verify: Verify, token_refusal: Refusal, forge: Forge
) -> None:
    """With an audience of its own, an app takes no token that lacks it, nor one for the project alone."""
    policy = replace(POLICY, audience="api")
    assert token_verify(forge.token(forge.claims(aud=["api"])), policy=policy)["aud"] == ("api",)
    for claims in (forge.claims(), forge.claims(aud=PROJECT), forge.claims(aud=None)):
        assert token_refusal(forge.token(claims), policy=policy).reason is TokenReason.AUDIENCE


@pytest.mark.parametrize("claim", ["sub", "dsub"])
@pytest.mark.parametrize("value", SUBJECTS.values(), ids=SUBJECTS)
def test_tv15_a_user_id_is_a_short_clean_text(
    token_refusal: Refusal, forge: Forge, claim: str, value: object
) -> None:
    """A user id that could be nobody, or could write into a log, is refused."""
    token = forge.token(forge.claims(**{claim: value}))
    assert token_refusal(token).reason is TokenReason.SUBJECT


def test_tv15_a_subject_is_required_beside_dsub(token_refusal: Refusal, forge: Forge) -> None:
    """``dsub`` does not stand in for an absent ``sub``."""
    for claims in (forge.claims(sub=...), forge.claims(sub=..., dsub="U2forge")):
        assert token_refusal(forge.token(claims)).reason is TokenReason.SUBJECT


@pytest.mark.parametrize("subject", ["u", "u" * 255, "user@example.com", "Zo\u00eb \U0001f600", "a b"])
def test_tv15_other_texts_are_user_ids(token_verify: Verify, forge: Forge, subject: str) -> None:
    """A JWT template may put any clean text there."""
    assert token_verify(forge.token(forge.claims(sub=subject)))["sub"] == subject


@pytest.mark.parametrize(
    ("changes", "subject"), [({}, "U2forge"), ({"sub": "me@example.com", "dsub": "U2real"}, "U2real")]
)
def test_kd05_an_expired_token_says_whose_it_was(
    token_refusal: Refusal, forge: Forge, changes: Mapping[str, str], subject: str
) -> None:
    """Expiry carries the user id, ``dsub`` first, so that a refresh for another user is noticed."""
    error = token_refusal(forge.token(forge.claims(**changes)), now=NOW + 605)
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
def test_expiry_is_judged_last(
    token_refusal: Refusal, forge: Forge, changes: Mapping[str, object], reason: TokenReason
) -> None:
    """TokenExpired starts a refresh, so whatever else is wrong with a token is said instead."""
    token = forge.token(forge.claims(**changes))
    assert token_refusal(token, now=NOW + 6000).reason is reason


@pytest.mark.parametrize(("drn", "kind"), [("DS", TokenKind.SESSION), ("DSR", TokenKind.REFRESH)])
def test_kd01_kd02_a_token_is_of_one_kind(
    token_verify: Verify, token_refusal: Refusal, forge: Forge, drn: str, kind: TokenKind
) -> None:
    """A refresh token is no session, and a session no refresh token, though both are genuine."""
    token = forge.token(forge.claims(drn=drn))
    (other,) = set(TokenKind) - {kind}
    assert token_verify(token, kind)["drn"] == drn
    assert token_refusal(token, other).reason is TokenReason.KIND


@pytest.mark.parametrize("kind", TokenKind)
@pytest.mark.parametrize("drn", KINDS.values(), ids=KINDS)
def test_kd03_kd07_a_token_of_no_known_kind_is_neither(
    token_refusal: Refusal, forge: Forge, drn: object, kind: TokenKind
) -> None:
    """What does not name its kind exactly is neither a session nor a refresh token."""
    assert token_refusal(forge.token(forge.claims(drn=drn)), kind).reason is TokenReason.KIND


def test_kd03_renamed_cookies_rename_the_kinds(
    token_verify: Verify, token_refusal: Refusal, forge: Forge
) -> None:
    """Descope puts the cookie's name into the token; a policy lists those that count, and no others do."""
    policy = replace(POLICY, session_names=frozenset({"app"}))
    assert token_verify(forge.token(forge.claims(drn="app")), policy=policy)["drn"] == "app"
    assert token_refusal(forge.token(), policy=policy).reason is TokenReason.KIND
