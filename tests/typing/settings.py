"""Keyword arguments and attributes of the settings, checked by mypy and pyright and never run."""

# An ignored line must be an error, or the checkers report the comment.
# pyright: reportUnnecessaryTypeIgnoreComment=true

from pathlib import Path
from typing import Literal, assert_type

from pydantic import SecretStr

from fastapi_descope import DescopeSettings

settings = DescopeSettings()
DescopeSettings(
    project_id="P2example",
    trusted_origins=["https://a.example", "https://b.example"],
    extra_issuers=("https://old.example",),
    auth_management_key="key",
    redis_url=SecretStr("rediss://cache.example"),
    cookie_secure=None,
    login_methods=["sso", "google"],
    sign_up=True,
    cookie_samesite="strict",
    cookie_prefix="auto",
    upstream_timeout=2,
    _secrets_dir=Path("/run/secrets"),
)

assert_type(settings.project_id, str)
assert_type(settings.public_url, str | None)
assert_type(settings.trusted_origins, tuple[str, ...])
assert_type(settings.auth_management_key, SecretStr | None)
assert_type(settings.redis_url, SecretStr | None)
assert_type(settings.cookie_secure, bool | None)
assert_type(settings.login_methods, tuple[str, ...])
assert_type(settings.sign_up, bool)
assert_type(settings.cookie_prefix, Literal["", "__Host-", "__Secure-"])

DescopeSettings(leway=5)  # type: ignore[call-arg]
DescopeSettings("P2example")  # type: ignore[call-arg]
DescopeSettings(leeway="5")  # type: ignore[arg-type]
DescopeSettings(cookie_samesite="Strict")  # type: ignore[arg-type]
DescopeSettings(cookie_prefix="__Http-")  # type: ignore[arg-type]
DescopeSettings(trusted_origins=[5])  # type: ignore[list-item]
DescopeSettings(sign_up="true")  # type: ignore[arg-type]
DescopeSettings(redis_url=5)  # type: ignore[arg-type]


class AppSettings(DescopeSettings):
    shard: int = 1


AppSettings(project_id="P2example", shard=2)
AppSettings(shard="2")  # type: ignore[arg-type]
