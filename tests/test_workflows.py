"""The workflows and the hooks: pinned actions, few permissions (SC-05), and the tools of scripts/check."""

import re
import subprocess
import sys
from pathlib import Path
from typing import NotRequired, TypedDict, cast

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

_USES = re.compile(r"uses: (\S+)(.*)")
_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
_VERSION = re.compile(r" # v\d+\.\d+\.\d+")

Step = TypedDict(
    "Step", {"uses": NotRequired[str], "run": NotRequired[str], "with": NotRequired[dict[str, object]]}
)


class Job(TypedDict):
    """A job of a workflow."""

    permissions: dict[str, str]
    steps: list[Step]
    environment: NotRequired[str]


class Workflow(TypedDict):
    """A workflow."""

    permissions: dict[str, str]
    jobs: dict[str, Job]


class Hook(TypedDict):
    """A hook that runs before a commit."""

    id: str
    entry: str
    language: str


def _read(path: Path) -> object:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _workflow(path: Path) -> Workflow:
    return cast("Workflow", _read(path))


def _jobs() -> list[tuple[str, Job]]:
    return [
        (f"{path.name}: {name}", job) for path in WORKFLOWS for name, job in _workflow(path)["jobs"].items()
    ]


def _hooks() -> list[Hook]:
    config = cast("dict[str, list[dict[str, list[Hook]]]]", _read(ROOT / ".pre-commit-config.yaml"))
    return [hook for repository in config["repos"] for hook in repository["hooks"]]


def _uses() -> list[tuple[str, str]]:
    return [match for path in WORKFLOWS for match in _USES.findall(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("action", "comment"), sorted(set(_uses())))
def test_sc05_actions_are_pinned_by_commit_with_their_version(action: str, comment: str) -> None:
    """A tag of an action can be moved, a commit cannot. Dependabot reads the version from the comment."""
    assert _PINNED.fullmatch(action)
    assert _VERSION.fullmatch(comment)


def test_an_action_has_one_version_in_all_workflows() -> None:
    """Otherwise an update was forgotten."""
    versions = {(action.split("@")[0], action.split("@")[1]) for action, _ in _uses()}

    assert len({name for name, _ in versions}) == len(versions)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_permissions_are_granted_to_single_jobs(path: Path) -> None:
    """A workflow grants none."""
    assert _workflow(path)["permissions"] == {}


def test_only_publishing_jobs_have_more_than_read_permissions() -> None:
    """CodeQL uploads its findings, and the release has a job for each thing that it writes."""
    writing = {
        name: sorted(scope for scope, access in job["permissions"].items() if access == "write")
        for name, job in _jobs()
    }

    assert {name: scopes for name, scopes in writing.items() if scopes} == {
        "codeql.yml: analyze": ["security-events"],
        "release.yml: attest": ["attestations", "id-token"],
        "release.yml: publish": ["id-token"],
        "release.yml: announce": ["contents"],
    }


def test_jobs_that_publish_run_no_code_of_the_repository() -> None:
    """They handle files that a job without permissions has built."""
    publishing = [
        job
        for name, job in _jobs()
        if name.startswith("release.yml") and "write" in job["permissions"].values()
    ]
    actions = {step.get("uses", "").split("@")[0] for job in publishing for step in job["steps"]}

    assert len(publishing) == 3
    assert "actions/checkout" not in actions


def test_the_package_is_published_from_a_protected_environment_and_by_tags_only() -> None:
    """The environment asks a maintainer. No secret is in any workflow."""
    release = ROOT / ".github" / "workflows" / "release.yml"
    text = release.read_text(encoding="utf-8")

    assert _workflow(release)["jobs"]["publish"].get("environment") == "pypi"
    assert 'on:\n  push:\n    tags: ["v*"]\n\n' in text
    assert [path.name for path in WORKFLOWS if "secrets." in path.read_text(encoding="utf-8")] == []


def test_checkouts_leave_no_credentials_behind() -> None:
    """A later step could read them from .git/config."""
    checkouts = [step for _, job in _jobs() for step in job["steps"] if "checkout@" in step.get("uses", "")]

    assert checkouts
    assert {step.get("with", {}).get("persist-credentials") for step in checkouts} == {False}


def test_every_script_of_a_workflow_exists() -> None:
    """The workflows call the scripts that contributors run, and contain no commands of their own."""
    runs = {step["run"].split()[0] for _, job in _jobs() for step in job["steps"] if "run" in step}
    scripts = {name for name in runs if name.startswith("scripts/")}

    assert {"scripts/test", "scripts/matrix", "scripts/docs", "scripts/audit", "scripts/release"} == scripts
    assert [name for name in sorted(scripts) if not (ROOT / name).is_file()] == []
    assert runs - scripts == {"sudo", "docker", "curl", "gh"}


@pytest.mark.parametrize("hook", _hooks(), ids=lambda hook: hook["id"])
def test_hooks_run_the_tools_of_the_quick_check(hook: Hook) -> None:
    """Their versions are in pyproject.toml only."""
    tool = hook["entry"].removeprefix(".venv/bin/")
    check = (ROOT / "scripts" / "check").read_text(encoding="utf-8")

    assert hook["language"] == "system"
    assert f"\nstep {tool}" in check


def test_hooks_stop_a_commit_with_a_mistake(tmp_path: Path) -> None:
    """The hooks run in a repository with one file, which has an unused import."""
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    for name in ("pyproject.toml", ".pre-commit-config.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "module.py").write_text('"""A module."""\n\nimport os\n', encoding="utf-8")
    for command in ("init --quiet", "add module.py pyproject.toml .pre-commit-config.yaml"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    prek = Path(sys.executable).with_name("prek")

    statuses = {
        hook: subprocess.run(
            [prek, "run", hook], cwd=tmp_path, capture_output=True, text=True, check=False
        ).returncode
        for hook in ("ruff-format", "ruff-check", "codespell")
    }

    assert statuses == {"ruff-format": 0, "ruff-check": 1, "codespell": 0}


def test_dependabot_waits_a_week_before_it_proposes_a_version() -> None:
    """A malicious version is usually found in that time. All updates of a kind are one pull request."""
    config = cast("dict[str, list[dict[str, object]]]", _read(ROOT / ".github" / "dependabot.yml"))

    assert [update["package-ecosystem"] for update in config["updates"]] == [
        "uv",
        "github-actions",
        "docker",
        "docker-compose",
    ]
    assert all(update["cooldown"] == {"default-days": 7} for update in config["updates"])
    assert all("groups" in update for update in config["updates"])
