"""The app that a command gets as ``module:attribute``."""

import sys
from pathlib import Path

from starlette.applications import Starlette
from uvicorn.importer import ImportFromStringError, import_from_string

from ..errors import ConfigurationError

__all__ = ["load_app"]


def load_app(name: str) -> Starlette:
    """Import the app that ``module:attribute`` names. The current directory is on the import path.

    Raises:
        ConfigurationError: The name is malformed, cannot be imported, or does not name an app.
    """
    sys.path.insert(0, str(Path.cwd()))
    try:
        app: object = import_from_string(name)
    except ImportFromStringError as error:
        raise ConfigurationError(str(error)) from None
    if not isinstance(app, Starlette):
        raise ConfigurationError(f"{name}: expected a FastAPI or Starlette app, found {type(app).__name__}")
    return app
