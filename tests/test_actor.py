"""The claim ``act``: each form of it makes a session an impersonated one (IM-01)."""

import pytest

from fastapi_descope._encoding import FrozenDict
from fastapi_descope.session import UNKNOWN_ACTOR, AuthSession, RefreshToken

_FROZEN: FrozenDict[str, object] = FrozenDict({"sub": "U2sue"})
CLAIMS: dict[str, object] = {"sub": "U2ada", "iat": 1, "exp": 2}


@pytest.mark.parametrize(
    ("act", "actor"),
    [
        ({"sub": "U2sue"}, "U2sue"),
        ({"sub": "U2sue", "act": {"sub": "U2tim"}, "iss": "x"}, "U2sue"),
        (_FROZEN, "U2sue"),
        ("U2sue", "U2sue"),
        ("U", "U"),
        ("U" * 255, "U" * 255),
        ("U" * 256, UNKNOWN_ACTOR),
        ("", UNKNOWN_ACTOR),
        ("sue@support.example", UNKNOWN_ACTOR),
        ("U2\nsue", UNKNOWN_ACTOR),
        (None, UNKNOWN_ACTOR),
        (False, UNKNOWN_ACTOR),
        (17, UNKNOWN_ACTOR),
        ((), UNKNOWN_ACTOR),
        (("U2sue",), UNKNOWN_ACTOR),
        ({}, UNKNOWN_ACTOR),
        ({"sub": ""}, UNKNOWN_ACTOR),
        ({"sub": None}, UNKNOWN_ACTOR),
        ({"sub": {"sub": "U2sue"}}, UNKNOWN_ACTOR),
        ({"sub": "sue@support.example"}, UNKNOWN_ACTOR),
        ({"dsub": "U2sue"}, UNKNOWN_ACTOR),
    ],
)
def test_im01_any_claim_is_an_actor(act: object, actor: str) -> None:
    """If it names no user id, the actor is unknown. It is never read as no actor (IM-01)."""
    claims = {**CLAIMS, "act": act}
    assert AuthSession.from_claims(claims).actor == actor
    assert RefreshToken.from_claims("R", claims).actor == actor


def test_session_without_the_claim_has_no_actor() -> None:
    """The user acts."""
    assert AuthSession.from_claims(CLAIMS).actor is None
    assert RefreshToken.from_claims("R", CLAIMS).actor is None
