"""Descope's JavaScript SDKs, where scripts/setup has installed them."""

from pathlib import Path

SDKS = Path(__file__).parents[2] / ".tools" / "node"
