"""Claims as models, and the current tenant, checked by mypy and pyright and never run."""

# An ignored line must be an error, or the checkers report the comment.
# pyright: reportUnnecessaryTypeIgnoreComment=true

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, assert_type

from fastapi import Depends, FastAPI
from pydantic import BaseModel
from typing_extensions import TypedDict

from fastapi_descope import CurrentSession, current_claims, tenant_id_var

app = FastAPI()


class Plan(BaseModel):
    plan: str
    seats: int = 1


@dataclass(frozen=True)
class PlanData:
    plan: str


class PlanDict(TypedDict):
    plan: str


CurrentPlan = Annotated[Plan, Depends(current_claims(Plan))]


@app.get("/plan")
async def plan(
    claims: CurrentPlan,
    data: Annotated[PlanData, Depends(current_claims(PlanData))],
    session: CurrentSession,
) -> None:
    assert_type(claims, Plan)
    assert_type(claims.seats, int)
    assert_type(data.plan, str)
    assert_type(session.claims_as(Plan), Plan)
    assert_type(session.claims_as(PlanData), PlanData)
    assert_type(session.claims_as(PlanDict), PlanDict)
    assert session.claims_as(Plan).size  # type: ignore[attr-defined]
    session.claims_as("Plan")  # type: ignore[arg-type]
    current_claims()  # type: ignore[call-arg]


assert_type(tenant_id_var, ContextVar[str | None])
assert_type(tenant_id_var.get(), str | None)
