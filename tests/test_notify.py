"""What systemd hears, through a socket as real as its own."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import time
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from exporter.notify import Notifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify.sock"))
        sock.settimeout(20)
        yield sock


def heard(manager: socket.socket) -> str:
    return manager.recv(4096).decode()


def address(manager: socket.socket) -> str:
    return str(manager.getsockname())


def test_each_turn_is_told_in_one_message(manager: socket.socket) -> None:
    notifier = Notifier(address(manager))
    notifier.ready("watching 3 issuers")
    notifier.stopping()

    assert heard(manager) == "READY=1\nSTATUS=watching 3 issuers"
    assert heard(manager) == "STOPPING=1\nSTATUS=stopping"


def test_a_reload_is_told_with_its_time(manager: socket.socket) -> None:
    """By it systemd knows which SIGHUP is meant, in microseconds of its own clock."""
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    Notifier(address(manager)).reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000

    first, second = heard(manager).split("\n")
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= after


def test_a_name_that_is_no_files_is_reached_too() -> None:
    name = f"exporter-notify-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name}")
        sock.settimeout(20)
        Notifier(f"@{name}").ready("here")

        assert heard(sock).startswith("READY=1")


async def test_the_watchdog_is_fed_twice_as_often_as_it_needs(manager: socket.socket) -> None:
    sleeps: list[float] = []

    class Over(Exception):  # noqa: N818
        pass

    async def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        if len(sleeps) == 3:
            raise Over

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "sleep", sleep)
        with pytest.raises(Over):
            await Notifier(address(manager), watchdog_seconds=30.0).beat()

    assert [heard(manager) for _ in range(3)] == ["WATCHDOG=1"] * 3
    assert sleeps == [15.0] * 3


async def test_a_loop_that_is_stuck_is_silent(manager: socket.socket) -> None:
    """It is what the watchdog is for; a beat from a thread would keep it from biting."""
    beat = asyncio.create_task(Notifier(address(manager), watchdog_seconds=0.002).beat())
    await asyncio.sleep(0.05)
    manager.setblocking(False)  # noqa: FBT003
    drained = drain(manager)
    time.sleep(0.05)  # noqa: ASYNC251 - the stuck loop itself
    silent = drain(manager)
    beat.cancel()

    assert drained > 1
    assert silent == 0


def drain(manager: socket.socket) -> int:
    for count in itertools.count():
        try:
            manager.recv(4096)
        except BlockingIOError:
            return count
    raise AssertionError


async def test_without_a_watchdog_nothing_beats(manager: socket.socket) -> None:
    await Notifier(address(manager)).beat()

    manager.setblocking(False)  # noqa: FBT003
    with pytest.raises(BlockingIOError):
        heard(manager)


def told(**variables: str) -> tuple[Notifier, dict[str, str]]:
    environment = {"HOME": "/", **variables}
    return Notifier.from_environment(environment), environment


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "x"}, None),
        ({}, None),
    ],
)
def test_the_environment_is_read_and_not_handed_on(
    variables: dict[str, str], seconds: float | None
) -> None:
    notifier, environment = told(NOTIFY_SOCKET="/run/systemd/notify", **variables)

    assert (notifier._address, notifier._watchdog_seconds) == ("/run/systemd/notify", seconds)
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize("where", ["", "vsock:2:1234", "relative"])
def test_who_does_not_listen_is_not_spoken_to(where: str) -> None:
    notifier, _ = told(NOTIFY_SOCKET=where, WATCHDOG_USEC="1000000")
    with capture_logs() as logs:
        notifier.ready("")

    assert (notifier._watchdog_seconds, logs) == (None, [])


def test_a_manager_that_does_not_hear_holds_nobody(
    tmp_path: Path, manager: socket.socket
) -> None:
    """Not when it has gone, and not when its queue is full."""
    with capture_logs() as logs:
        Notifier(str(tmp_path / "nobody")).ready("here")
        notifier = Notifier(address(manager))
        manager.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        for _ in range(1000):
            notifier.stopping()

    assert {(line["event"], line["log_level"]) for line in logs} == {
        ("notify.failed", "warning")
    }
    assert logs[0]["state"] == "READY=1"
    assert any("unavailable" in line["error"] for line in logs)
