"""The ``init`` command: writes a minimal app with its settings, seed file and test."""

from pathlib import Path

from ..errors import ConfigurationError

__all__ = ["write_project"]

_TEXTS = Path(__file__).with_name("new_project_files")
_PRIVATE, _NORMAL = 0o600, 0o644

_FILES = {
    "main.py": "main.py.txt",
    "test_main.py": "test_main.py.txt",
    "seed.toml": "seed.toml.txt",
    ".env": "env.txt",
    ".env.example": "env.example.txt",
    "pyproject.toml": "pyproject.toml.txt",
    ".gitignore": "gitignore.txt",
}
"""The files of a new project, and the names of their texts in the package."""

_NEXT_STEPS = """\
Run the tests, which need no network:

  pip install "fastapi-descope[testing]"
  python -m pytest

Sign in, with an emulator of Descope in another terminal:

  fastapi-descope emulator --seed seed.toml
  uvicorn main:app --env-file .env --reload

Then open http://127.0.0.1:8000/ and sign in to the organisation acme.
For a real project, edit .env as .env.example says, and check it:

  fastapi-descope --env-file .env doctor main:app
"""


def write_project(folder: Path) -> list[str]:
    """Write the files, and return the lines to print. Creates the folder. Overwrites nothing.

    Raises:
        ConfigurationError: A file exists already, and none has been written; or the folder cannot be written.
    """
    existing = [name for name in _FILES if (folder / name).exists() or (folder / name).is_symlink()]
    if existing:
        raise ConfigurationError(f"{folder} has {', '.join(existing)} already; choose an empty folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, source in _FILES.items():
            _write(folder / name, (_TEXTS / source).read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written: {error.strerror}") from None
    change = [] if folder.resolve() == Path.cwd() else [f"  cd {folder}\n"]
    return [*(f"wrote {folder / name}" for name in _FILES), "", *change, _NEXT_STEPS]


def _write(path: Path, text: str) -> None:
    path.touch(_PRIVATE if path.name == ".env" else _NORMAL, exist_ok=False)
    path.write_text(text, encoding="utf-8")
