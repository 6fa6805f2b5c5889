"""The web server as a process of its own, on the event loop that it has in earnest."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.authority import issue
from tests.daemon import PATIENCE_SECONDS, Daemon, daemon, environment
from tests.web import MUTUAL, NAME, PASSWORD, SERVERS, TLS, USERS, ca, put, server, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.authority import Identity


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps({"issuers": []}))
    return path


def curl(folder: Path, *options: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    if shutil.which("curl") is None:
        pytest.fail("curl is missing: apt-get install curl")
    base = ("curl", "--silent", "--show-error", "--max-time", "20", "--cacert", "servers.pem")
    done = subprocess.run(
        [*base, *options], capture_output=True, text=True, cwd=folder, check=False
    )
    return done.returncode, done.stdout, done.stderr


def port_of(running: Daemon) -> int:
    return int(running.started["listen_addresses"].split(", ")[0].rpartition(":")[2])


def over_tls(running: Daemon, path: str, *options: str) -> tuple[int, str, str]:
    port = port_of(running)
    resolved = ("--resolve", f"{NAME}:{port}:127.0.0.1")
    return curl(running.log_file.parent, *resolved, *options, f"https://{NAME}:{port}{path}")


CLIENT = ("--cert", "client.pem", "--key", "client.key")


def test_the_daemon_serves_by_its_web_configuration(tmp_path: Path, config: Path) -> None:
    web = write(tmp_path, MUTUAL + USERS)
    with daemon(tmp_path, config, f"--web.config.file={web}") as running:
        user = ("--user", f"alice:{PASSWORD}")
        status = ("--output", "/dev/null", "--write-out", "%{http_code}")
        assert over_tls(running, "/metrics", *CLIENT, *user, *status)[:2] == (0, "200")
        assert over_tls(running, "/metrics", *CLIENT, *status)[:2] == (0, "401")
        assert over_tls(running, "/-/healthy", *CLIENT)[:2] == (0, "healthy\n")
        assert over_tls(running, "/-/healthy")[0] != 0
        assert running.stop() == 0


def shown(running: Daemon) -> bytes:
    """The certificate on the wire, as openssl has it."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port_of(running)}"],
        capture_output=True,
        input=b"",
        check=False,
    )
    _, begin, rest = done.stdout.partition(b"-----BEGIN CERTIFICATE-----")
    return begin + rest.partition(b"-----END CERTIFICATE-----")[0]


def test_a_new_certificate_is_found_without_being_told(tmp_path: Path, config: Path) -> None:
    web = write(tmp_path, TLS)
    renewed = issue(NAME, ca(SERVERS), host=NAME)

    def is_shown(identity: Identity) -> bool:
        text: bytes = identity.certificate.public_bytes(Encoding.PEM)
        return shown(running) == text.partition(b"-----END")[0]

    with daemon(tmp_path, config, f"--web.config.file={web}") as running:
        assert is_shown(server())
        put(tmp_path, "server", renewed)
        running.until(lambda: is_shown(renewed))
        assert running.events("web_config.reloaded")


def test_a_reload_takes_both_files_and_each_by_itself(tmp_path: Path, config: Path) -> None:
    web = write(tmp_path, "")
    flags = (f"--web.config.file={web}", "--web.enable-lifecycle")
    with daemon(tmp_path, config, *flags) as running:
        gauge = "oidc_exporter_config_last_reload_successful"
        assert running.value(gauge) == 1

        web.write_text("nonsense: 1")
        config.write_text(json.dumps({"issuers": [], "vantage": "new"}))
        status, text = running.ask("/-/reload", "POST")
        assert (status, "web.yaml:1: nonsense: unknown key" in text) == (500, True)
        assert 'vantage="new"' in running.metrics()
        assert running.value(gauge) == 0

        config.write_text("x: 1")
        status, text = running.ask("/-/reload", "POST")
        assert (status, "web.yaml" in text, "config.yaml" in text) == (500, True, True)

        web.write_text(USERS)
        status, text = running.ask("/-/reload", "POST")
        assert (status, "web.yaml" in text, "config.yaml" in text) == (500, False, True)
        assert running.ask("/metrics")[0] == 401
        assert running.ask("/-/healthy")[0] == 200


def run(*flags: str, **more) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "exporter", *flags],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        env=environment(),
        check=False,
        **more,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("check", [(), ("--config.check",)])
def test_a_wrong_file_ends_it_before_it_begins(
    tmp_path: Path, config: Path, check: tuple[str, ...]
) -> None:
    web = write(tmp_path, "tls_server_config: {cert_file: server.pem, key_file: none}")
    flags = (f"--config.file={config}", "--web.listen-address=127.0.0.1:0")
    code, out, error = run(*flags, f"--web.config.file={web}", *check)

    assert (code, out) == (2, "")
    assert error == (
        f"oidc-issuer-exporter: {web}:1: tls_server_config.key_file: want a PEM file, got "
        f"'none'; {tmp_path}/none: No such file or directory\n"
    )


def test_a_right_file_is_said_to_be_so(tmp_path: Path, config: Path) -> None:
    web = write(tmp_path, MUTUAL)

    assert run(f"--config.file={config}", f"--web.config.file={web}", "--config.check") == (
        0,
        "valid: 0 issuers\n",
        "",
    )


def test_it_answers_on_every_address_it_is_given(tmp_path: Path, config: Path) -> None:
    path = tmp_path / "web.sock"
    web = write(tmp_path, USERS)
    flags = ("--web.listen-address=[::1]:0", f"--web.listen-address=unix:{path}?mode=0600")
    with daemon(tmp_path, config, *flags, f"--web.config.file={web}") as running:
        addresses = running.started["listen_addresses"].split(", ")
        assert addresses[2] == f"unix:{path}"
        for where in addresses[:2]:
            assert curl(tmp_path, f"http://{where}/-/healthy")[1] == "healthy\n"
        by_file = ("--unix-socket", str(path), "--user", f"alice:{PASSWORD}")
        assert "# HELP" in curl(tmp_path, *by_file, "http://x/metrics")[1]

        # Its listeners are replaced with the TLS; the file stays.
        web.write_text(TLS)
        running.signal(signal.SIGHUP)
        running.until(lambda: running.events("web_config.reloaded"))
        resolved = ("--unix-socket", str(path))
        healthy = curl(tmp_path, *resolved, f"https://{NAME}/-/healthy")
        assert healthy[:2] == (0, "healthy\n"), healthy
        assert running.stop() == 0

    assert not path.exists()


def test_a_killed_daemons_socket_is_taken_over(tmp_path: Path, config: Path) -> None:
    path = tmp_path / "web.sock"
    flag = f"--web.listen-address=unix:{path}"
    with daemon(tmp_path, config, flag) as running:
        code, _, error = run(f"--config.file={config}", flag)
        assert (code, "another process listens there" in error) == (1, True)
        running.process.kill()
        running.process.wait()
        assert path.exists()
    with daemon(tmp_path, config, flag):
        assert curl(tmp_path, "--unix-socket", str(path), "http://x/healthz")[1] == "healthy\n"


@contextmanager
def activated(
    folder: Path, config: Path, *sockets: socket.socket, **told: str
) -> Iterator[Daemon]:
    """The daemon, started as systemd starts it: its sockets from descriptor 3 on.

    A shell in between knows the process ID that the daemon will have, for it becomes it.
    """
    places = " ".join(f"{n}<&{sock.fileno()}" for n, sock in enumerate(sockets, 3))
    command = (
        f"LISTEN_PID=$$ LISTEN_FDS={len(sockets)} exec {sys.executable} -m exporter "
        f"--config.file={config} --log.level=debug --web.systemd-socket {places}"
    )
    log_file = folder / "daemon.log"
    with log_file.open("wb") as stream:
        process = subprocess.Popen(
            ["bash", "-c", command],
            stderr=stream,
            env={**environment(), **told},
            pass_fds=[sock.fileno() for sock in sockets],
        )
    running = Daemon(process, log_file)
    try:
        running.started = running.until(lambda: running.events("exporter.started"))[0]
        yield running
    finally:
        process.kill()
        process.wait()


def test_sockets_of_systemd_are_served_and_outlive_us(tmp_path: Path, config: Path) -> None:
    path = tmp_path / "web.sock"
    with socket.socket(socket.AF_UNIX) as file, socket.create_server(("127.0.0.1", 0)) as tcp:
        file.bind(str(path))
        file.listen()
        port = tcp.getsockname()[1]
        with activated(tmp_path, config, tcp, file) as running:
            assert running.started["listen_addresses"] == f"127.0.0.1:{port}, unix:{path}"
            assert running.ask("/-/healthy") == (200, "healthy\n")
            by_file = curl(tmp_path, "--unix-socket", str(path), "http://x/-/healthy")
            assert by_file[1] == "healthy\n"
            assert running.stop() == 0
        assert path.exists()
        # Nobody is turned away while we are being restarted.
        waiting = socket.create_connection(("127.0.0.1", port), timeout=5)
        waiting.close()


def test_without_sockets_of_systemd_it_ends(config: Path) -> None:
    code, _, error = run(f"--config.file={config}", "--web.systemd-socket")

    assert code == 1
    assert error == (
        "oidc-issuer-exporter: cannot listen on systemd's sockets: none was passed to this "
        "process; start it by a .socket unit\n"
    )


def test_systemd_hears_of_every_turn(tmp_path: Path, config: Path) -> None:
    """Ready once it listens; each reload from beginning to end, a refused one as well."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify.sock"))
        manager.settimeout(PATIENCE_SECONDS)

        def heard() -> str:
            while (message := manager.recv(4096).decode()) == "WATCHDOG=1":
                beats.append(message)
            return message

        beats: list[str] = []
        with socket.create_server(("127.0.0.1", 0)) as tcp:
            told = {
                "NOTIFY_SOCKET": str(tmp_path / "notify.sock"),
                "WATCHDOG_USEC": "100000",
            }
            with activated(tmp_path, config, tcp, **told) as running:
                assert heard() == "READY=1\nSTATUS=watching 0 issuers"
                assert running.ask("/-/healthy")[0] == 200
                for text in ('{"issuers": []}', "nonsense"):
                    config.write_text(text)
                    running.signal(signal.SIGHUP)
                    assert heard().startswith("RELOADING=1\nMONOTONIC_USEC=")
                    assert heard() == "READY=1\nSTATUS=watching 0 issuers"
                while len(beats) < 3:
                    beats.append(manager.recv(4096).decode())
                running.signal(signal.SIGTERM)
                assert heard() == "STOPPING=1\nSTATUS=stopping"

    assert set(beats) == {"WATCHDOG=1"}
