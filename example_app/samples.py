"""The sample reports of a new database. The organisations are those of the Descope emulator."""

from datetime import date
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from .models import Finding, Report

__all__ = ["NAMES", "SAMPLE_TENANTS", "add_samples"]

NAMES = MappingProxyType({"acme": "Acme Corp", "globex": "Globex"})
"""The display names of the organisations, by tenant id. A product would have them in its database."""


class _Sample(NamedTuple):
    """The fields of a report."""

    id: str
    title: str
    site: str
    author: str
    filed: date
    finding: Finding
    summary: str
    notes: tuple[str, ...]


_ACME = (
    _Sample(
        "A-1042",
        "North bridge, spring inspection",
        "Bridge 7, river crossing",
        "Grace Hopper",
        date(2026, 11, 12),
        Finding.ATTENTION,
        "Expansion joint on the east side has lost its seal. No load limit needed yet.",
        (
            "All eight bearings were lifted and cleaned. Movement is within the tolerance of the drawing.",
            "The seal of the eastern expansion joint is torn over 40 cm. Replace it before the first frost.",
            "Railings, deck and drainage are in good order.",
        ),
    ),
    _Sample(
        "A-1041",
        "Boiler room, annual check",
        "Plant 2, building C",
        "Ada Lovelace",
        date(2026, 11, 9),
        Finding.CLEAR,
        "Both boilers pass. Safety valves were tested under pressure and resealed.",
        (
            "Flue gas values are in the lower third of the permitted range for both boilers.",
            "The safety valves open at 3.0 bar, as they should. Seals 4417 and 4418 were put on.",
        ),
    ),
    _Sample(
        "A-1038",
        "Roof anchors, warehouse",
        "Harbour warehouse",
        "Grace Hopper",
        date(2026, 10, 28),
        Finding.URGENT,
        "Two of twelve anchors gave way in the pull test. Work on the roof is suspended.",
        (
            "Anchors 5 and 6 pulled out at 4 kN; 9 kN are required. The other ten hold.",
            "The roof is closed until both are replaced and tested.",
        ),
    ),
    _Sample(
        "A-1033",
        "Fire doors, office floors",
        "Head office, floors 1 to 4",
        "Ada Lovelace",
        date(2026, 10, 15),
        Finding.CLEAR,
        "All 22 doors close by themselves and latch.",
        ("Door 3.07 was slow; its closer was adjusted during the visit.",),
    ),
)

_GLOBEX = (
    _Sample(
        "G-311",
        "Cooling tower, water quality",
        "Volcano site, tower 1",
        "Hank Scorpio",
        date(2026, 11, 14),
        Finding.ATTENTION,
        "Conductivity is above target. Bleed-off was raised; sample again in a week.",
        (
            "Conductivity 2,150 µS/cm against a target of 1,800. No biological findings.",
            "The bleed-off valve was set from 20 to 30 per cent.",
        ),
    ),
    _Sample(
        "G-309",
        "Crane, monthly inspection",
        "Dock 4",
        "Hank Scorpio",
        date(2026, 11, 3),
        Finding.CLEAR,
        "Rope, hook and limit switches are in order.",
        ("The wire rope has two broken strands on 30 m, far from the limit of ten.",),
    ),
)


_REPORTS = {"acme": _ACME, "globex": _GLOBEX}

SAMPLE_TENANTS = tuple(_REPORTS)
"""The ids of the organisations that have sample reports."""


async def add_samples(db: AsyncSession, tenant_id: str) -> None:
    """Add the sample reports of an organisation that has no report yet."""
    if not await db.scalar(select(func.count()).select_from(Report)):
        db.add_all(Report(*sample[:-1], notes=[*sample.notes]) for sample in _REPORTS[tenant_id])
        await db.commit()
