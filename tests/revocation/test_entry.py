"""Entries of the revocation log: what is stored, and what a reader accepts."""

from hypothesis import given
from hypothesis import strategies as st

from fastapi_descope._revocation.entry import Revocation, token_id, user_key

_HEX = st.text("0123456789abcdef", min_size=1, max_size=64)
_SECONDS = st.integers(0, 4_000_000_000)


@given(
    st.builds(
        Revocation,
        kind=st.sampled_from(["token", "user", "stale"]),
        id=_HEX,
        user=_HEX,
        until=_SECONDS,
        before=_SECONDS,
    )
)
def test_stored_entry_is_read_again(entry: Revocation) -> None:
    """Of every kind."""
    assert Revocation.decode(entry.encode()) == entry


@given(st.binary(max_size=600) | st.text(max_size=200).map(str.encode))
def test_rv05_malformed_entry_is_ignored(text: bytes) -> None:
    """Whatever a key of the log contains."""
    assert Revocation.decode(text) is None


def test_entry_of_a_later_format_is_ignored() -> None:
    """Two releases share one log during a deploy."""
    text = Revocation.of_user("U2ada", before=1, until=2).encode()

    assert Revocation.decode(text.replace(b'"v":1', b'"v":2')) is None
    assert Revocation.decode(text.replace(b'"user",', b'"group",')) is None
    assert Revocation.decode(text.replace(b'"before":1', b'"before":1.5')) is None


def test_long_entry_is_ignored() -> None:
    """No entry of ours has more than 512 bytes."""
    entry = Revocation("token", "a" * 500, "b", 1)

    assert Revocation.decode(entry.encode()) is None


def test_rv05_entry_holds_digests_only() -> None:
    """Neither a token nor a user id is in an entry."""
    token = Revocation.of_token("header.payload.signature", "U2ada", until=100.5)
    user = Revocation.of_user("U2ada", before=50.9, until=100.5)

    assert token == Revocation("token", token_id("header.payload.signature"), user_key("U2ada"), 101)
    assert user == Revocation("user", user_key("U2ada"), user_key("U2ada"), 101, 50_900)
    for entry in (token, user):
        assert not any(part in entry.encode() for part in (b"header", b"payload", b"signature", b"U2ada"))
