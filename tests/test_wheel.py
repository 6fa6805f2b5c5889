"""The wheel as it would be shipped: what is in it, and that it does what it is for."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exporter import __version__
from exporter.demo.process import issuers
from tests.daemon import PATIENCE_SECONDS, daemon

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.demo.process import Running

ROOT = Path(__file__).parent.parent
GOOD, BAD = "google", "no-keys"


@dataclass(frozen=True)
class Installed:
    """What was built, and an environment that has it beside the locked dependencies."""

    archive: Path
    wheel: Path
    bin: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.bin / "oidc-issuer-exporter", *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    build = ["sh", "scripts/dist.sh", sys.executable, str(folder / "dist")]
    built = subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    archive, wheel = map(Path, built.stdout.splitlines())

    venv.create(folder / "venv", symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "venv/bin/python")]
    options = ["--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, "install", *options, str(wheel)], check=True)
    # Of what is installed here only the packages: a path in a .pth file is not asked for
    # .pth files of its own, and so the checkout, installed by one, is out of reach.
    (own,) = (folder / "venv/lib").glob("python3.*/site-packages")
    (own / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return Installed(archive, wheel, folder / "venv/bin")


@pytest.fixture(scope="module")
def demo() -> Iterator[Running]:
    with issuers() as running:
        yield running


def tracked(folder: str) -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", folder], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return set(listed.stdout.split("\0")) - {""}


def test_it_holds_the_package_whole_and_nothing_else(installed: Installed):
    """Data above all, which a build forgets silently; and no tests."""
    packed = set(zipfile.ZipFile(installed.wheel).namelist())
    about = f"oidc_issuer_exporter-{__version__}.dist-info"

    assert packed - tracked("exporter") == {
        f"{about}/{name}"
        for name in (
            *("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"),
            "top_level.txt",
        )
    }
    assert tracked("exporter") <= packed
    assert "exporter/py.typed" in packed
    assert any(name.startswith("exporter/demo/data/") for name in packed)


def test_the_source_archive_holds_what_a_build_needs_and_what_its_reader_wants(
    installed: Installed,
):
    with tarfile.open(installed.archive) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert tracked("exporter") <= names
    assert {name for name in names if "/" not in name and "." in name} == {
        *("CHANGELOG.md", "MANIFEST.in", "README.md", "config.example.yaml", "pyproject.toml"),
        *("requirements.lock", "oidc_issuer_exporter.egg-info", "setup.cfg"),
    }
    assert {"LICENSE", "PKG-INFO"} <= names
    assert not any(name.startswith("tests") for name in names)


def test_it_asks_for_what_the_project_declares(installed: Installed):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with zipfile.ZipFile(installed.wheel) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
        lines = wheel.read(name).decode().splitlines()

    needs = [line for line in lines if line.startswith("Requires-Dist: ")]
    assert len(needs) == len(project["dependencies"])
    assert f"Requires-Python: {project['requires-python']}" in lines
    assert f"Version: {__version__}" in lines
    assert "License-Expression: Apache-2.0" in lines


def test_the_command_says_its_version(installed: Installed):
    done = installed.run("--version")

    assert (done.returncode, done.stdout) == (0, f"oidc-issuer-exporter {__version__}\n")


def test_it_is_the_wheel_that_runs_and_not_the_checkout(installed: Installed):
    """Otherwise nothing here would say anything about the wheel."""
    code = "import exporter, sys; print(exporter.__file__); print(*sys.path, sep='\\n')"
    asked = subprocess.run(
        [installed.bin / "python", "-c", code],
        cwd=installed.bin,
        check=True,
        capture_output=True,
        text=True,
    )
    place, *path = asked.stdout.splitlines()

    assert Path(place).is_relative_to(installed.bin.parent)
    assert str(ROOT) not in path


@pytest.mark.parametrize(("name", "code"), [(GOOD, 0), (BAD, 1)])
def test_it_checks_an_issuer(installed: Installed, demo: Running, tmp_path: Path, name, code):
    config = tmp_path / "config.yaml"
    config.write_text(demo.config(), encoding="utf-8")

    done = installed.run("check", f"--config.file={config}", "--output=json", name)

    assert done.returncode == code, done.stderr
    assert json.loads(done.stdout)["issuer"]["name"] == name


def test_it_runs_the_daemon(installed: Installed, demo: Running, tmp_path: Path):
    config = tmp_path / "config.yaml"
    config.write_text(demo.config(interval="1s"), encoding="utf-8")
    command = (str(installed.bin / "oidc-issuer-exporter"),)

    with daemon(tmp_path, config, command=command) as running:
        running.until(lambda: running.value(f'oidc_probe_success{{issuer="{GOOD}"}}'))
        status, page = running.ask("/")

        assert (status, "<html" in page) == (200, True)
        assert running.stop() == 0
