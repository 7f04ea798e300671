"""The pages about operations, and pages that repeat them, state the limits that the code has."""

from importlib import import_module
from pathlib import Path

import pytest

from fastapi_descope import DescopeSettings
from tests.soak.verdict import KEYS_AT_LEAST, KEYS_PER_ACTION, LASTING_FILES, LASTING_TASKS, LIMITS

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations"

_WORDS = {2: "two", 5: "five", 10: "ten"}
_MEBIBYTES = LIMITS["resident"].least / 1024
_BURST = "_tokens.verifier:_VERIFICATIONS_PER_ITERATION"


def _limit(name: str) -> str:
    """Return a constant as a page writes it: a small number as a word, a large one with commas."""
    module, _, constant = name.partition(":")
    value = int(vars(import_module(f"fastapi_descope.{module}"))[constant])
    return f"{value:,}"


def _in_words(name: str) -> str:
    return _WORDS[int(_limit(name))]


def _default(setting: str) -> str:
    return f"{DescopeSettings.model_fields[setting].default:,}"


@pytest.mark.parametrize(
    ("page", "claim"),
    [
        (
            "capacity.md",
            (
                f"Each process has {_limit('_upstream.api:_CONNECTIONS')} connections for sessions,"
                f" {_limit('_upstream.api:_LOGIN_CONNECTIONS')} for logins and"
                f" {_limit('_upstream.api:_KEY_CONNECTIONS')} for access keys. Up to"
                f" {_limit('_upstream.api:_MAX_WAITING')} further calls wait for a connection,"
                f" {_limit('_upstream.api:_LOGIN_MAX_WAITING')} logins and"
                f" {_limit('_upstream.api:_KEY_MAX_WAITING')} access keys"
            ),
        ),
        ("capacity.md", f"as many refresh tokens, {_default('token_cache_size')} by default"),
        ("capacity.md", f"One iteration verifies at most {_limit(_BURST)} tokens"),
        ("../security-model.md", f"of the event loop verifies at most {_limit(_BURST)} unknown tokens"),
        ("../../CHANGELOG.md", f"one iteration verifies at most {_limit(_BURST)} tokens"),
        ("capacity.md", f"runs at most {_limit('_refresh.redis.client:_MAX_CONCURRENT')} commands at once"),
        (
            "outages.md",
            (
                f"After {_in_words('_upstream.resilience:_FAILURES')} failures in a row within"
                f" {_in_words('_upstream.resilience:_WINDOW_SECONDS')} seconds a circuit breaker opens"
            ),
        ),
        ("outages.md", f"waits up to {_limit('_upstream.resilience:_MAX_DELAY_SECONDS')} seconds"),
        ("outages.md", f"kept, up to {_limit('_refresh.redis.outbox:_MAX_WRITES')}, and sent"),
        (
            "outages.md",
            f"waits for Descope for at most {_in_words('_auth.session_service:_LOGOUT_TIMEOUT')} seconds",
        ),
        ("outages.md", f"takes more than {_in_words('_auth.session_gate:_CHECK_TIMEOUT')} seconds"),
        ("outages.md", f"`DESCOPE_LEEWAY` ({_default('leeway')} seconds)"),
        ("upgrades.md", f"at most {_in_words('_auth.core_builder:_DRAIN_SECONDS')} seconds"),
        ("outages.md", f"at most {LIMITS['resident'].share:.0%} or {_MEBIBYTES:.0f} MiB for memory"),
        *(
            ("outages.md", f"{LIMITS[name].share:.0%} or {LIMITS[name].least:,} for {name}")
            for name in ("blocks", "files", "tasks")
        ),
        ("outages.md", f"at most {LASTING_TASKS} tasks more than before the load, and {LASTING_FILES} files"),
        ("outages.md", f"at most {KEYS_PER_ACTION} keys for each"),
        ("outages.md", f"of the last eleven minutes and {KEYS_AT_LEAST} more"),
    ],
)
def test_a_limit_on_a_page_is_the_one_in_the_code(page: str, claim: str) -> None:
    """Wherever the lines of the page break."""
    text = " ".join((OPERATIONS / page).read_text(encoding="utf-8").replace(" %", "%").split())

    assert claim in text
