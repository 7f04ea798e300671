"""Shell completion, in a real bash; the scripts of zsh and fish."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent

COMPLETE = """
{script}
COMP_WORDS=({words})
COMP_CWORD={position}
_fastapi_descope_completion fastapi-descope
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def bash(script: str) -> str:
    """Return what a bash prints, with the command on its path."""
    done = subprocess.run(
        ["/bin/bash", "--norc", "-c", script],
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def script() -> str:
    """Return the script that the command prints in a bash, which it finds among its parent processes."""
    return bash("fastapi-descope --show-completion; true")


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("fastapi-descope ''", ["init", "emulator", "doctor", "routes", "token"]),
        ("fastapi-descope do", ["doctor"]),
        ("fastapi-descope token i", ["issue", "inspect"]),
        ("fastapi-descope doctor --j", ["--json"]),
        ("fastapi-descope token inspect --", ["--file", "--jwks", "--json", "--help"]),
    ],
)
def test_bash_completes_commands_and_options(script: str, words: str, completed: list[str]) -> None:
    """As after pressing Tab."""
    position = len(words.split()) - 1
    assert bash(COMPLETE.format(script=script, words=words, position=position)).split() == completed


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", "complete -o default -F _fastapi_descope_completion fastapi-descope"),
        ("zsh", "compdef _fastapi_descope_completion fastapi-descope"),
        ("fish", "complete --command fastapi-descope --no-files"),
    ],
)
def test_completion_is_installed_for_each_shell(tmp_path: Path, shell: str, line: str) -> None:
    """Into the files of the user, and no other. A variable of typer names the shell."""
    done = subprocess.run(
        [BIN / "fastapi-descope", "--install-completion", shell],
        env={**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    written = [path.read_text("utf-8") for path in tmp_path.rglob("*") if path.is_file()]
    assert any(line in text for text in written)


def test_help_and_completion_import_no_framework() -> None:
    """A user waits for them with each Tab."""
    code = (
        "import sys\n"
        "from fastapi_descope._cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "slow = ('fastapi', 'starlette', 'pydantic', 'cryptography', 'httpx', 'redis', 'jinja2', 'rich')\n"
        "print('\\n', *(name for name in slow if name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == []
