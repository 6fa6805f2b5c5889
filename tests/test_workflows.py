"""Continuous integration on GitHub: no more than .ci/run, no rights to spare, nothing loose."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yaml"))
each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"])


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in jobs(path).values():
        yield from job.get("steps", ())


@each_workflow
def test_an_action_is_held_by_its_commit_and_says_its_version(path):
    """A tag can be moved to other code by whoever owns the action, or steals it."""
    used = re.findall(r"uses: (?!\./)(.+)", path.read_text(encoding="utf-8"))

    assert used
    assert [
        line for line in used if not re.fullmatch(r"\S+@[0-9a-f]{40} # v[\d.]+", line)
    ] == []


@each_workflow
def test_a_workflow_may_only_read_and_a_job_says_what_else(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    more = {
        name: job["permissions"] for name, job in jobs(path).items() if "permissions" in job
    }

    assert workflow["permissions"] == {"contents": "read"}
    assert more == ({"draft": {"contents": "write"}} if path.name == "release.yaml" else {})


@each_workflow
def test_a_checkout_leaves_no_credentials_behind(path):
    checkouts = [step for step in steps(path) if "actions/checkout@" in step.get("uses", "")]

    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@each_workflow
def test_nothing_that_somebody_else_wrote_becomes_part_of_a_command(path):
    """A branch or a title in `${{ }}` is pasted into the script before a shell reads it."""
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


def test_what_is_run_for_every_change_is_the_script_that_anybody_can_run():
    (ci,) = (path for path in WORKFLOWS if path.name == "ci.yaml")
    *preparations, last = [step["run"] for step in steps(ci) if "run" in step]

    assert last == ".ci/run"
    assert [line.split()[0] for line in preparations] == ["apt-get", "git"]


def test_a_release_begins_with_the_same_and_waits_for_it():
    (release,) = (path for path in WORKFLOWS if path.name == "release.yaml")
    first, *others = jobs(release).items()

    assert first == ("check", {"uses": "./.github/workflows/ci.yaml"})
    assert all(job["needs"] for _, job in others)
