"""The container image as a runtime would run it: `make check-image` builds it first.

Neither Docker nor a registry is needed: its files are in a folder, its configuration in a
file, and a mount namespace with a read-only root does for a container.
"""

from __future__ import annotations

import json
import shutil
import signal
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from exporter import __version__
from exporter.demo.process import issuers
from tests.daemon import PATIENCE_SECONDS, Daemon, daemon

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE = Path(__file__).parents[2] / ".bench/image"
HOME = "opt/oidc-issuer-exporter"
ISSUER = "google"
UID = 10184

# Nothing of the image can be written, its shell is no program any more, and what it needs
# of a host is there. The process keeps its number from here to the daemon.
CONTAINER = """
set -eu
root=$1 share=$2
shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount --bind "$share" "$root/mnt"
mount --bind /proc "$root/proc"
mount --bind /dev "$root/dev"
for shell in dash bash; do
    [ ! -e "$root/usr/bin/$shell" ] || mount --bind /dev/null "$root/usr/bin/$shell"
done
mount -o remount,bind,ro "$root/mnt"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid \
    chroot --userspec=10184:10184 "$root" "$@"
"""


@pytest.fixture(scope="module")
def image() -> dict[str, Any]:
    assert (IMAGE / "root").is_dir(), "there is no image: run make check-image"
    loaded = json.loads((IMAGE / "image.json").read_text(encoding="utf-8"))
    return dict(loaded["Docker"]["config"])


@pytest.fixture(scope="module")
def root(image: dict[str, Any]) -> Path:
    assert image
    return (IMAGE / "root").resolve()


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What a container gets from its host: a configuration for the demo's issuers."""
    folder = tmp_path_factory.mktemp("share")
    with issuers() as running:
        shutil.copy(running.ca_file, folder)
        config = running.config(interval="1s").replace(str(running.directory), "/mnt")
        (folder / "config.yaml").write_text(config, encoding="utf-8")
        folder.chmod(0o755)
        for path in folder.iterdir():
            path.chmod(0o644)
        yield folder


@pytest.fixture
def command(image: dict[str, Any], root: Path, share: Path) -> list[str]:
    """Run what follows in the image, with its environment and no other."""
    return [
        *("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"),
        *("unshare", "--mount", "sh", "-c", CONTAINER, "sh", str(root), str(share)),
        *("/usr/bin/env", "-i", *image["Env"]),
    ]


@pytest.fixture
def running(command: list[str], image: dict[str, Any], tmp_path: Path) -> Iterator[Daemon]:
    config = Path("/mnt/config.yaml")
    with daemon(tmp_path, config, command=[*command, *image["Entrypoint"]]) as started:
        yield started


def test_it_says_what_it_is(image: dict[str, Any]):
    labels = {
        key.removeprefix("org.opencontainers.image."): value
        for key, value in image["Labels"].items()
    }

    assert labels["version"] == __version__
    assert labels["licenses"] == "Apache-2.0"
    assert {"title", "description", "source", "url", "documentation", "revision"} <= set(labels)
    assert list(image["ExposedPorts"]) == ["10184/tcp"]


def test_it_starts_without_a_shell_and_without_root(image: dict[str, Any]):
    assert image["User"] == f"{UID}:{UID}"
    assert image["Entrypoint"] == [f"/{HOME}/bin/oidc-issuer-exporter"]
    assert image["Cmd"] == ["--config.file=/etc/oidc-issuer-exporter/config.yaml"]
    assert image["Healthcheck"]["Test"][0] == "CMD"


def test_it_brings_the_exporter_and_no_tools_to_build_with(root: Path):
    (packages,) = (root / HOME / "lib").glob("python3.*/site-packages")
    installed = {path.name for path in packages.iterdir()}

    assert f"oidc_issuer_exporter-{__version__}.dist-info" in installed
    assert not installed & {"pip", "setuptools", "wheel", "tests", "_pytest"}
    assert not (root / "build").exists()
    assert not [
        tool for tool in ("cc", "gcc", "make", "ld") if (root / "usr/bin" / tool).exists()
    ]


def test_what_runs_cannot_change_what_it_runs(root: Path):
    """Also where the root is not mounted read-only."""
    loose = [
        path
        for path in (root / HOME).rglob("*")
        if path.lstat().st_uid == UID
        or (not path.is_symlink() and path.stat().st_mode & (stat.S_IWOTH | stat.S_ISUID))
    ]

    assert loose == []


def test_it_says_its_version(command: list[str], image: dict[str, Any]):
    done = subprocess.run(
        [*command, *image["Entrypoint"], "--version"],
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )

    assert done.stdout == f"oidc-issuer-exporter {__version__}\n"


def test_it_checks_an_issuer(command: list[str], image: dict[str, Any]):
    """Arguments take the place of the daemon's."""
    arguments = ["check", "--config.file=/mnt/config.yaml", "--output=json", ISSUER]
    done = subprocess.run(
        [*command, *image["Entrypoint"], *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["issuer"]["name"] == ISSUER


def test_the_daemon_probes_and_is_scraped(running: Daemon):
    running.until(lambda: running.value(f'oidc_probe_success{{issuer="{ISSUER}"}}'))

    assert running.value("process_start_time_seconds")
    assert running.ask("/")[0] == 200
    assert not [line for line in running.log if line["level"] == "error"]


def test_the_daemon_has_the_rights_of_nobody(running: Daemon):
    status = Path(f"/proc/{running.process.pid}/status").read_text(encoding="utf-8")
    said = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)

    assert said["Uid"].split() == said["Gid"].split() == [str(UID)] * 4
    assert said["Groups"].split() in ([], [str(UID)])
    assert (said["CapEff"], said["NoNewPrivs"]) == ("0" * 16, "1")


def test_the_health_check_tells_a_living_daemon_from_none(
    running: Daemon, command: list[str], image: dict[str, Any]
):
    """As the runtime asks, but for the port."""
    check = [*command, *image["Healthcheck"]["Test"][1:], f"{running.base}/-/healthy"]

    assert subprocess.run(check, check=False, capture_output=True).returncode == 0
    assert running.stop() == 0
    assert subprocess.run(check, check=False, capture_output=True).returncode == 1


def test_the_daemon_reloads_and_ends_as_it_is_told(running: Daemon):
    running.signal(signal.SIGHUP)
    running.until(lambda: running.events("config.reloaded"))

    assert running.stop() == 0


def test_nothing_was_left_behind(root: Path):
    """Neither mounts nor files: the root was read-only, and the namespace is gone."""
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")

    assert not list((root / "mnt").iterdir())
    assert f"{root}/mnt" not in mounts
    assert not list((root / "tmp").iterdir())
