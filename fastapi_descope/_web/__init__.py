"""The ASGI middleware, the dependencies and the routes."""
