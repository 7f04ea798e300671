"""Speaks ASGI and FastAPI; decides nothing about tokens."""
