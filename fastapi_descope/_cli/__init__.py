"""The ``fastapi-descope`` command."""
