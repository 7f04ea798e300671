"""What the addresses of a login and of its callback say, parsed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from starlette.requests import Request

from ..._config.tenant_hint import TENANT_HINT

__all__ = ["LoginParams", "parameter"]

_HINT = re.compile(r"[ -~]{1,256}")
_TRUE = re.compile(r"true|1")


def parameter(request: Request, name: str, grammar: re.Pattern[str]) -> str | None:
    """The parameter, if it is there exactly once and well-formed; else None (CB-05, CB-12)."""
    values = request.query_params.getlist(name)
    return values[0] if len(values) == 1 and grammar.fullmatch(values[0]) else None


@dataclass(frozen=True, slots=True)
class LoginParams:
    """What a login may ask for beside tenant and way back; what is not well-formed is not asked for."""

    step_up: str | None = None
    mfa: str | None = None
    force_authn: str | None = None
    login_hint: str | None = None
    sso_id: str | None = None
    prompt: str | None = None

    @classmethod
    def of(cls, request: Request) -> Self:
        """The query of a request."""
        return cls(
            step_up=parameter(request, "step_up", _TRUE),
            mfa=parameter(request, "mfa", _TRUE),
            force_authn=parameter(request, "force_authn", _TRUE),
            login_hint=parameter(request, "login_hint", _HINT),
            sso_id=parameter(request, "sso_id", TENANT_HINT),
            prompt=parameter(request, "prompt", _HINT),
        )

    @property
    def as_query(self) -> Mapping[str, str]:
        """Names and values, to ask for the same again."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}
