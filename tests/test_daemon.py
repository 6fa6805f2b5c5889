"""The daemon as people run it: a process, a YAML file, signals, and what it answers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from exporter import __version__
from exporter.deadlines import offset_seconds
from tests import builders
from tests.daemon import COMMAND, PATIENCE_SECONDS, Daemon, daemon, environment
from tests.probing import URL
from tests.servers import answering, http

if TYPE_CHECKING:
    from pathlib import Path

    from tests.probing import Bench


def early_name(prefix: str) -> str:
    """A name whose place is in the first thousandth of the interval."""
    names = (f"{prefix}-{number}" for number in range(100_000))
    return next(n for n in names if offset_seconds(builders.issuer(name=n)) < 0.06)


GOOD, SLOW, CLOSED, NEW = (early_name(prefix) for prefix in ("good", "slow", "closed", "new"))


class World:
    """Issuers on loopback, and a configuration that watches them."""

    def __init__(self, folder: Path, bench: Bench) -> None:
        self.config = folder / "config.yaml"
        self.good = self._entry(GOOD, bench, bench.serve())
        self.slow = self._entry(SLOW, bench, bench.serve(answering(0.3, http("{}"))))
        self.stuck = self._entry("stuck", bench, bench.serve(answering("stall")), timeout="60s")
        self.closed = {"url": "https://127.0.0.1:1", "name": CLOSED}

    def _entry(self, name: str, bench: Bench, port: int, **more: Any) -> dict[str, Any]:
        return {
            "url": URL,
            "name": name,
            "connect_to": f"127.0.0.1:{port}",
            "ca_file": str(bench.pki / "root.pem"),
            **more,
        }

    def write(self, *issuers: dict[str, Any]) -> None:
        """Replaced in one step, as every careful editor does it."""
        content = {"defaults": {"interval": "5m"}, "issuers": issuers}
        draft = self.config.with_suffix(".new")
        draft.write_text(json.dumps(content), encoding="utf-8")
        draft.replace(self.config)


@pytest.fixture
def world(tmp_path: Path, bench: Bench) -> World:
    return World(tmp_path, bench)


def success(name: str) -> str:
    return f'oidc_probe_success{{issuer="{name}"}}'


def probes(name: str) -> str:
    return f'oidc_probes_total{{issuer="{name}"}}'


def test_a_list_of_issuers_becomes_gauges_and_a_signal_changes_it(
    world: World, tmp_path: Path
) -> None:
    """YAML in, gauges out; SIGHUP, POST and content each bring a new list; SIGTERM ends it."""
    world.write(world.good, world.slow, world.closed)
    flags = ("--web.enable-lifecycle", "--config.auto-reload-interval=1s")
    with daemon(tmp_path, world.config, *flags) as running:
        assert running.started["version"] == __version__
        running.until(lambda: running.ask("/-/ready")[0] == 200)
        assert [running.value(success(n)) for n in (GOOD, SLOW, CLOSED)] == [1, 0, 0]
        why = 'document="discovery",stage="tcp",reason="refused"'
        assert running.value(f'oidc_probe_failure_info{{issuer="{CLOSED}",{why}}}') == 1
        assert GOOD in running.ask("/")[1]

        follow_a_signal(world, running)
        follow_a_post(world, running)
        follow_the_content(world, running)

        assert running.value(probes(GOOD)) == 1, "an unchanged issuer is left alone"
        begun = time.monotonic()
        assert running.stop() == 0
        # Promised is a second; a loaded machine may take longer, a timeout would take 60 s.
        assert time.monotonic() - begun < 10
        assert [line["event"] for line in running.log][-2:] == [
            "exporter.stopping",
            "exporter.stopped",
        ]


def follow_a_signal(world: World, running: Daemon) -> None:
    world.write(world.good, {**world.closed, "name": NEW})
    running.signal(signal.SIGHUP)
    running.until(lambda: running.value(probes(NEW)) is not None)

    text = running.metrics()
    assert SLOW not in text
    assert CLOSED not in text


def follow_a_post(world: World, running: Daemon) -> None:
    world.config.write_text("issuers: [{ulr: x}]", encoding="utf-8")
    status, text = running.ask("/-/reload", "POST")
    assert status == 500
    assert "did you mean url?" in text
    assert running.value("oidc_exporter_config_last_reload_successful") == 0
    assert running.value("oidc_exporter_issuers") == 2

    world.write(world.good)
    assert running.ask("/-/reload", "POST") == (200, "reloaded\n")
    assert running.value("oidc_exporter_config_last_reload_successful") == 1
    assert running.value("oidc_exporter_issuers") == 1


def follow_the_content(world: World, running: Daemon) -> None:
    world.write(world.good, world.stuck)
    running.until(lambda: running.value("oidc_exporter_issuers") == 2)


def test_a_file_that_does_not_answer_does_not_hold_the_end_up(
    world: World, tmp_path: Path
) -> None:
    """As on a network file system that has gone."""
    world.write(world.closed)
    with daemon(tmp_path, world.config) as running:
        world.config.unlink()
        os.mkfifo(world.config)
        running.signal(signal.SIGHUP)
        writer = running.until(lambda: writing_to(world.config))

        assert running.stop() == 0
        assert running.log[-1]["event"] == "exporter.stopped"
    os.close(writer)


def writing_to(fifo: Path) -> int | None:
    """A descriptor, once somebody waits for what is written."""
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def test_closed_standard_streams_change_nothing(world: World, tmp_path: Path) -> None:
    """As some supervisors start it: what is opened next would be given their numbers."""
    world.write(world.closed)
    shell = ("/bin/sh", "-c", 'exec "$@" <&- >&-', "sh", *COMMAND)
    with daemon(tmp_path, world.config, command=shell) as running:
        assert running.ask("/-/healthy")[0] == 200
        assert running.stop() == 0


def test_a_log_that_nobody_takes_keeps_nothing_from_running(
    world: World, tmp_path: Path
) -> None:
    world.write(world.closed)
    path = tmp_path / "web.socket"
    flags = (f"--config.file={world.config}", f"--web.listen-address=unix:{path}")
    command = ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *COMMAND, *flags]
    with subprocess.Popen(command, env=environment()) as process:
        try:
            with connected(path) as visitor:
                visitor.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
                assert b" 200 " in visitor.recv(100)
            process.send_signal(signal.SIGTERM)

            assert process.wait(PATIENCE_SECONDS) == 0
        finally:
            process.kill()


def connected(path: Path) -> socket.socket:
    """A connection to who is about to listen on *path*; the file is there before he does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        visitor = socket.socket(socket.AF_UNIX)
        try:
            visitor.connect(str(path))
        except OSError:
            visitor.close()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return visitor


def test_nothing_is_listened_on_when_the_configuration_is_wrong(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("issuers:\n  - url: nonsense\n  - ulr: x\n", encoding="utf-8")

    ended = run(f"--config.file={config}")

    assert ended.returncode == 2
    first, second, *_ = ended.stderr.splitlines()
    assert first.startswith(f"oidc-issuer-exporter: {config}:2: issuers[0].url: want a URL")
    assert "issuers[1]" in second
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_a_failure_that_says_what_to_do(world: World, tmp_path: Path) -> None:
    world.write(world.closed)
    with daemon(tmp_path, world.config) as running:
        taken = running.started["listen_addresses"]
        ended = run(f"--config.file={world.config}", f"--web.listen-address={taken}")

        assert running.ask("/-/healthy")[0] == 200
    assert ended.returncode == 1
    assert f"cannot listen on {taken}: the port is taken" in ended.stderr
    assert "choose another with --web.listen-address=" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_several_addresses_all_answer_and_ctrl_c_ends_in_peace(
    world: World, tmp_path: Path
) -> None:
    world.write(world.closed)
    flags = ("--web.listen-address=[::1]:0", "--web.telemetry-path=/m", "--log.format=json")
    with daemon(tmp_path, world.config, *flags) as running:
        first, second = running.started["listen_addresses"].split(", ")
        assert second.startswith("[::1]:")
        for address in (first, second):
            running.started["listen_addresses"] = address
            assert "oidc_issuer_info{" in running.ask("/m")[1]

        running.signal(signal.SIGINT)
        assert running.process.wait(PATIENCE_SECONDS) == 0


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "exporter", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        env=environment(),
        check=False,
    )
