"""Whether this environment calls itself production, where an emulator has no business (EM-01)."""

import re
from collections.abc import Mapping

__all__ = ["production_variable"]

_VARIABLES = (
    "ENVIRONMENT",
    "ENV",
    "APP_ENV",
    "APP_ENVIRONMENT",
    "DEPLOY_ENV",
    "DEPLOYMENT_ENVIRONMENT",
    "STAGE",
    "FASTAPI_ENV",
    "PYTHON_ENV",
    "NODE_ENV",
)
_PRODUCTION = re.compile(r"(prod|production|live)([-_.].*)?", re.IGNORECASE | re.DOTALL)


def production_variable(variables: Mapping[str, str]) -> str | None:
    """The name of the first variable that says production, or None.

    ``production``, ``prod`` and ``live`` do, in any case and also as the first part of a name such as
    ``prod-eu``.
    """
    return next((name for name in _VARIABLES if _PRODUCTION.fullmatch(variables.get(name, "").strip())), None)
