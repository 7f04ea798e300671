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
        ConfigurationError: The name is malformed, cannot be imported, or does not name an app; or what the
            app raises for wrong settings.
    """
    sys.path.insert(0, str(Path.cwd()))
    try:
        app: object = import_from_string(name)
    except ImportFromStringError as error:
        raise ConfigurationError(str(error)) from None
    except ConfigurationError:
        raise
    except Exception as error:  # noqa: BLE001 - any error of the app's own code, whose text may be a secret
        module, problem = name.partition(":")[0], type(error).__name__
        raise ConfigurationError(
            f"{name} raised {problem}; to see the traceback, run: python -c 'import {module}'"
        ) from None
    if not isinstance(app, Starlette):
        raise ConfigurationError(f"{name}: expected a FastAPI or Starlette app, found {type(app).__name__}")
    return app
