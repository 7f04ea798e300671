"""An order for a fault, from outside the process: what may be in it, and the fault that it means."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .faults import Faults
from .refusals import Refusal

__all__ = ["FaultOrder"]

_GARBAGE = b"<html><body><h1>502 Bad Gateway</h1></body>"
_MOST_SECONDS = 3600

_Seconds = Annotated[float, Field(ge=0, le=_MOST_SECONDS, allow_inf_nan=False)]


class FaultOrder(BaseModel):
    """The arguments of ``Faults.add`` that fit into JSON, and ``garbage``: HTML where JSON belongs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str
    times: Annotated[int, Field(ge=1, le=1000)] = 1
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    body: str | dict[str, object] | None = None
    garbage: bool = False
    retry_after: Annotated[int, Field(ge=0)] | None = None
    delay: _Seconds = 0
    drip: _Seconds = 0
    cut: Literal["reset", "close"] | None = None
    when: Literal["before", "after"] = "before"

    @classmethod
    def parsed(cls, given: dict[str, object]) -> "FaultOrder":
        """The order in a JSON object. Raises Refusal, which names the place and not what stood there."""
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise Refusal.invalid(_told(error)) from None

    @classmethod
    def of_form(cls, form: dict[str, str]) -> "FaultOrder":
        """The order in the console's form: one kind of fault, and the figures it needs. Raises Refusal."""
        seconds = form.get("seconds", "0")
        parts: dict[str, dict[str, object]] = {
            "status": {"status": form.get("status")},
            "limit": {"status": 429, "retry_after": seconds},
            "delay": {"delay": seconds},
            "drip": {"drip": seconds},
            "reset": {"cut": "reset"},
            "close": {"cut": "close"},
            "garbage": {"garbage": True},
        }
        order: dict[str, object] = {
            name: form[name] for name in ("endpoint", "times", "when") if name in form
        }
        return cls.parsed(order | parts.get(form.get("kind", ""), {}))

    def placed_with(self, faults: Faults) -> None:
        """Let it happen. Raises Refusal for an unknown endpoint, or an order for nothing."""
        body = self.body.encode() if isinstance(self.body, str) else self.body
        try:
            faults.add(
                self.endpoint,
                times=self.times,
                status=self.status,
                body=_GARBAGE if self.garbage else body,
                headers={"content-type": "text/html"} if self.garbage else None,
                retry_after=self.retry_after,
                delay=self.delay,
                drip=self.drip,
                cut=self.cut,
                when=self.when,
            )
        except ValueError as error:
            raise Refusal.invalid(str(error)) from None


def _told(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(step) for step in first["loc"]) or "the order"
    return f"{place}: {first['msg']}"
