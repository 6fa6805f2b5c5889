"""The checkout itself: what stands at its top, what its scripts and lock files promise."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
TOP = {
    # Fixed: users and packagers rely on these.
    *("pyproject.toml", "exporter", "config.example.yaml", "deploy", "tests", "grafana"),
    *("README.md", "CHANGELOG.md", "LICENSE", "Makefile", "docs", ".ci"),
    # What stands beside them.
    *(".gitignore", "bench", "requirements.lock", "requirements-dev.lock", "scripts"),
    *(".dockerignore", ".github", "CONTRIBUTING.md", "MANIFEST.in", "SECURITY.md"),
}
# Spelled in halves, so that this file does not name what it looks for.
REGISTRIES = re.compile(
    "|".join(
        f"{host}\\.{domain}"
        for host, domain in [
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("deb\\.debian", "org"),
            ("npmjs", "org"),
            ("crates", "io"),
            ("proxy\\.golang", "org"),
            ("repo1?\\.maven", "(org|apache)"),
            ("(docker|ghcr|quay)", "io"),
        ]
    )
)
# Folders of one machine, and numbers that mean something to one tracker only.
OF_ONE_PLACE = re.compile(r"(?<![.\w])/(work|farm)/|/tmp/bash[_]jobs|\bissue #?\d")


def tracked() -> list[Path]:
    assert shutil.which("git"), "install git: apt-get install git"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [Path(name) for name in listed.stdout.split("\0") if name]


def text_of(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def shebang(path: Path) -> str:
    content = (ROOT / path).read_bytes()
    return content.splitlines()[0].decode() if content.startswith(b"#!") else ""


FILES = [path for path in tracked() if (ROOT / path).is_file()]
SCRIPTS = [path for path in FILES if re.search(r"\b(ba)?sh$", shebang(path))]
LOCKS = ["requirements.lock", "requirements-dev.lock"]


def pins(lock: str) -> dict[str, Requirement]:
    lines = re.sub(r"\\\n\s*", " ", text_of(Path(lock))).splitlines()
    requirements = [Requirement(line.split(" --hash")[0]) for line in lines if line]
    return {canonicalize_name(pin.name): pin for pin in requirements}


def wanted() -> dict[str, list[str]]:
    project = tomllib.loads(text_of(Path("pyproject.toml")))
    groups = project["dependency-groups"]
    names = [entry["include-group"] for entry in groups["dev"] if isinstance(entry, dict)]
    tools = [entry for name in ["dev", *names] for entry in groups[name]]
    runtime = project["project"]["dependencies"]
    return {
        "requirements.lock": runtime,
        "requirements-dev.lock": [*runtime, *(t for t in tools if isinstance(t, str))],
    }


def test_nothing_unexpected_stands_at_the_top():
    assert {path.parts[0] for path in FILES} <= TOP


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_names_no_registry_and_no_place_of_its_makers(path):
    """Hosts belong to the settings of whoever installs, paths and numbers to nobody."""
    found = [*REGISTRIES.finditer(text_of(path)), *OF_ONE_PLACE.finditer(text_of(path))]

    assert [match.group() for match in found] == []


@pytest.mark.parametrize("path", SCRIPTS, ids=str)
def test_a_script_can_be_run_as_it_stands(path):
    shell = "bash" if shebang(path).endswith("bash") else "sh"
    parsed = subprocess.run(
        [shell, "-n", ROOT / path], check=False, capture_output=True, text=True
    )

    assert (parsed.returncode, parsed.stderr) == (0, "")
    assert os.access(ROOT / path, os.X_OK)


def test_continuous_integration_runs_what_the_readme_says():
    commands = re.findall(r"^make ([a-z-]+)", text_of(Path(".ci/run")), re.MULTILINE)

    assert sorted(commands) == ["check", "coverage"]
    assert re.search(r"^coverage: test ", text_of(Path("Makefile")), re.MULTILINE)


def test_every_make_target_that_is_written_about_exists():
    targets = set(re.findall(r"^([a-z-]+):", text_of(Path("Makefile")), re.MULTILINE))
    prose = [path for path in FILES if path.suffix == ".md" or path == Path(".ci/run")]
    named = {
        target
        for path in prose
        for target in re.findall(r"(?m)(?:^|`)make ([a-z-]+)", text_of(path))
    }

    assert named <= targets


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_pins_every_dependency_that_the_project_declares(lock):
    pinned = pins(lock)

    for wish in map(Requirement, wanted()[lock]):
        (pin,) = pinned[canonicalize_name(wish.name)].specifier

        assert pin.operator == "=="
        assert wish.specifier.contains(pin.version), wish


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_holds_a_hash_for_every_pin_and_no_address(lock):
    blocks = re.split(r"\n(?=\S)", text_of(Path(lock)).strip())

    assert [block for block in blocks if "--hash=sha256:" not in block] == []
    assert "://" not in text_of(Path(lock))


def test_what_is_tested_is_what_is_shipped():
    tested = pins("requirements-dev.lock")

    assert {name: str(tested.get(name)) for name, pin in pins("requirements.lock").items()} == {
        name: str(pin) for name, pin in pins("requirements.lock").items()
    }


def test_who_cannot_install_is_told_what_to_each_package_once(tmp_path):
    # A machine without apt-get, whoever runs this.
    (tmp_path / "id").symlink_to(shutil.which("id"))
    wanted = ["two:one-command", "two:another", "tw:a-third", "there:id"]
    found = subprocess.run(
        ["/bin/sh", ROOT / "scripts" / "packages.sh", *wanted],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    assert found.stderr.splitlines() == [
        "Missing here: two tw",
        "On Debian or Ubuntu: sudo apt-get install --no-install-recommends two tw",
    ]
