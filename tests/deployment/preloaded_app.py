"""The same app, in a module that uses it while it is imported: before ``gunicorn --preload`` forks.

The requests open connections to Descope and to Redis, and fill the caches. A real module might do the same by
accident, for example with a warm-up.
"""

import os

from starlette.testclient import TestClient

from tests.deployment.app import app

__all__ = ["app"]

with TestClient(app, base_url=os.environ["DESCOPE_PUBLIC_URL"]) as _client:
    _response = _client.get("/me", headers={"cookie": os.environ["MATRIX_COOKIES"]})
    assert _response.status_code == 200, _response.text
