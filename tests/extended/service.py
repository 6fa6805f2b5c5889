"""The service under a real systemd, on a Debian of its own: `make check-service` makes it.

Only there it shows that what the unit forbids is not needed, and that systemd and the daemon
understand each other.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from exporter.demo.process import issuers
from exporter.demo.programs import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
MACHINE = ROOT / ".bench/machine/root"
UNIT = "oidc-issuer-exporter.service"
ISSUER = "google"
# A machine boots, and a loaded one takes its time.
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Machine:
    """A booted systemd that shares our network, and the files it lives on."""

    leader: int
    share: Path
    log_file: Path
    port: int

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        inside = ["nsenter", f"--target={self.leader}", "--all", "--", *command]
        return subprocess.run(inside, check=False, capture_output=True, text=True)

    def systemctl(self, *words: str) -> int:
        return self.run("systemctl", *words).returncode

    def show(self, name: str) -> str:
        return self.run(
            "systemctl", "show", "--value", f"--property={name}", UNIT
        ).stdout.strip()

    @property
    def is_up(self) -> bool:
        # Degraded: some service of Debian's may not like a machine in a folder.
        said = self.run("systemctl", "is-system-running").stdout.strip()
        return said in {"running", "degraded"}

    @property
    def main(self) -> psutil.Process:
        """The daemon, by its number on this side."""
        lines = Path(f"/proc/{self.leader}/root/proc/{self.show('MainPID')}/status")
        assert lines.exists()
        for process in psutil.Process(self.leader).children(recursive=True):
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
            if status.split("NSpid:")[1].split("\n")[0].split()[1] == self.show("MainPID"):
                return process
        raise AssertionError(self.journal())

    def ask(self, path: str) -> str:
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as response:
            return str(response.read().decode())

    def journal(self) -> str:
        return self.run(
            "journalctl", "--boot", "--no-pager", "--lines=50", f"--unit={UNIT}"
        ).stdout

    def until(self, what: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := what()):
            assert time.monotonic() < deadline, self.journal()
            time.sleep(0.1)
        return found

    def configure(self, *arguments: str, drop_in: str = "") -> None:
        """Set the daemon's arguments, and what is to differ from the shipped unit."""
        line = f'ARGS="{" ".join(arguments)}"\n'
        (MACHINE / "etc/default/oidc-issuer-exporter").write_text(line, encoding="utf-8")
        folder = MACHINE / f"etc/systemd/system/{UNIT}.d"
        folder.mkdir(exist_ok=True)
        (folder / "test.conf").write_text(f"[Service]\n{drop_in}\n", encoding="utf-8")
        assert self.systemctl("daemon-reload") == 0


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The machine's /etc/oidc-issuer-exporter, with issuers on this side of it."""
    folder = tmp_path_factory.mktemp("share")
    with issuers() as running:
        shutil.copy(running.ca_file, folder)
        config = running.config(interval="1s")
        config = config.replace(str(running.directory), "/etc/oidc-issuer-exporter")
        (folder / "config.yaml").write_text(config, encoding="utf-8")
        folder.chmod(0o755)
        for path in folder.iterdir():
            path.chmod(0o644)
        yield folder


@pytest.fixture(scope="module")
def machine(share: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    assert MACHINE.is_dir(), "there is no machine: run make check-service"
    log_file = tmp_path_factory.mktemp("machine") / "console.log"
    command = [
        *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit"),
        *(f"--directory={MACHINE}", "--machine=oidc-test", "--console=pipe"),
        f"--bind={share}:/etc/oidc-issuer-exporter",
    ]
    with log_file.open("wb") as console:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT
        )
    booted = None
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while booted is None or not booted.is_up:
            assert time.monotonic() < deadline, log_file.read_text(encoding="utf-8")
            assert process.poll() is None, log_file.read_text(encoding="utf-8")
            time.sleep(0.2)
            if children := psutil.Process(process.pid).children():
                booted = Machine(children[-1].pid, share, log_file, free_port())
        yield booted
    finally:
        if booted:
            booted.systemctl("poweroff", "--force", "--force")
        process.kill()
        process.wait()


@pytest.fixture
def service(machine: Machine) -> Iterator[Machine]:
    """The shipped unit, listening at a free port."""
    machine.configure(f"--web.listen-address=127.0.0.1:{machine.port}")
    assert machine.systemctl("start", UNIT) == 0, machine.journal()
    yield machine
    machine.systemctl("stop", UNIT, UNIT.replace("service", "socket"))
    machine.systemctl("reset-failed", UNIT)


def test_a_start_ends_when_the_exporter_answers(service: Machine):
    """Without a word from the daemon, `systemctl start` would have failed after a minute."""
    assert service.show("ActiveState") == "active"
    assert "healthy" in service.ask("/-/healthy")


def test_what_the_unit_forbids_is_not_needed(service: Machine):
    service.until(
        lambda: f'oidc_probe_success{{issuer="{ISSUER}"}} 1' in service.ask("/metrics")
    )
    scrape = service.ask("/metrics")

    assert "\nprocess_start_time_seconds " in scrape
    assert "\nprocess_open_fds " in scrape
    assert "Traceback" not in service.journal()


def test_the_daemon_has_the_rights_of_nobody(service: Machine):
    status = Path(f"/proc/{service.main.pid}/status").read_text(encoding="utf-8")
    said = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)

    # Where systemd makes users for as long as a service runs.
    assert 61184 <= int(said["Uid"].split()[0]) <= 65519
    assert (said["CapEff"], said["CapBnd"]) == ("0" * 16, "0" * 16)
    assert (said["NoNewPrivs"], said["Seccomp"]) == ("1", "2")


def test_a_reload_is_one(service: Machine):
    before = service.main.pid

    reloaded = service.run("systemctl", "reload", UNIT)

    assert reloaded.returncode == 0, reloaded.stderr + service.journal()
    service.until(lambda: "config.reloaded" in service.journal())
    assert service.main.pid == before
    assert service.show("ActiveState") == "active"


def test_a_daemon_that_hangs_is_started_again(service: Machine):
    """The shipped unit gives it thirty seconds; two make a test."""
    address = f"--web.listen-address=127.0.0.1:{service.port}"
    service.configure(address, drop_in="WatchdogSec=2s\nRestartSec=100ms")
    assert service.systemctl("restart", UNIT) == 0
    hung = service.main
    hung.send_signal(signal.SIGSTOP)

    service.until(lambda: service.show("NRestarts") == "1")
    service.until(lambda: service.show("ActiveState") == "active")
    assert service.main.pid != hung.pid
    assert "Watchdog timeout" in service.journal()


def test_a_daemon_that_runs_is_left_alone_by_the_watchdog(service: Machine):
    address = f"--web.listen-address=127.0.0.1:{service.port}"
    service.configure(address, drop_in="WatchdogSec=1s")
    assert service.systemctl("restart", UNIT) == 0
    before = service.main.pid
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        assert "healthy" in service.ask("/-/healthy")
        time.sleep(0.2)

    assert (service.main.pid, service.show("NRestarts")) == (before, "0")


def test_a_configuration_that_is_wrong_is_not_tried_again(service: Machine):
    config = service.share / "config.yaml"
    good = config.read_text(encoding="utf-8")
    config.write_text("issuers: [{ulr: x}]\n", encoding="utf-8")
    try:
        assert service.systemctl("restart", UNIT) != 0
        assert service.show("ActiveState") == "failed"
        assert (service.show("ExecMainStatus"), service.show("NRestarts")) == ("2", "0")
    finally:
        config.write_text(good, encoding="utf-8")


def test_a_stop_is_prompt_and_clean(service: Machine):
    assert service.systemctl("stop", UNIT) == 0
    assert (service.show("Result"), service.show("ExecMainStatus")) == ("success", "0")
    assert "exporter.stopped" in service.journal()


def test_systemd_can_open_the_port(service: Machine):
    """Before the exporter has started: a first scrape waits instead of failing."""
    assert service.systemctl("stop", UNIT) == 0
    service.configure("--web.systemd-socket")
    folder = MACHINE / "etc/systemd/system/oidc-issuer-exporter.socket.d"
    folder.mkdir(exist_ok=True)
    (folder / "test.conf").write_text(
        f"[Socket]\nListenStream=\nListenStream=127.0.0.1:{service.port}\n", encoding="utf-8"
    )
    assert service.systemctl("daemon-reload") == 0
    assert service.systemctl("start", "oidc-issuer-exporter.socket") == 0
    assert service.show("ActiveState") == "inactive"

    assert "healthy" in service.ask("/-/healthy")
    assert service.show("ActiveState") == "active"


def test_secrets_are_handed_over(service: Machine):
    """Only root can read them; the daemon gets copies, by the shipped drop-in."""
    drop_in = ROOT / f"deploy/systemd/{UNIT}.d/credentials.conf"
    place = MACHINE / f"etc/systemd/system/{UNIT}.d" / drop_in.name
    secrets = service.share / "secrets"
    secrets.mkdir(mode=0o700, exist_ok=True)
    (secrets / "web.yaml").write_text(
        "http_server_config: {headers: {X-Frame-Options: deny}}\n", encoding="utf-8"
    )
    for name in ("tls.crt", "tls.key"):
        (secrets / name).touch(0o600)
    (secrets / "web.yaml").chmod(0o600)
    shutil.copy(drop_in, place)
    try:
        assert service.systemctl("daemon-reload") == 0
        assert service.systemctl("restart", UNIT) == 0, service.journal()
        with urllib.request.urlopen(f"http://127.0.0.1:{service.port}/-/healthy") as response:
            assert response.headers["X-Frame-Options"] == "deny"
    finally:
        place.unlink()
