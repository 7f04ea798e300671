"""A Descope to develop against: a second opinion on the wire contract, never laxer than the real service.

It imports nothing of the package it serves, and needs the extra ``emulator``. Never expose it: it signs
in anybody without a password, which is why it only listens on, and answers to, the loopback.
"""

from .clock import Clock
from .faults import Faults
from .journal import Call, Journal
from .project import DEFAULT_PROJECT_ID, Grants, Project, Tenant, User
from .service import Emulator, Issued

__all__ = [
    "DEFAULT_PROJECT_ID",
    "Call",
    "Clock",
    "Emulator",
    "Faults",
    "Grants",
    "Issued",
    "Journal",
    "Project",
    "Tenant",
    "User",
]
