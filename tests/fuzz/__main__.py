"""Run one fuzz target under Atheris. The further arguments are those of libFuzzer."""

import sys
from importlib import import_module

# scripts/fuzz installs it. It has no types, and no wheels for the newest versions of Python.
atheris = import_module("atheris")

with atheris.instrument_imports(include=["fastapi_descope"]):
    from tests.fuzz.targets import TARGETS

_, name, *arguments = sys.argv
atheris.Setup([name, *arguments], TARGETS[name])
atheris.Fuzz()
