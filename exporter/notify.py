"""What systemd is told of this process: the only place that speaks its notify protocol.

Without `$NOTIFY_SOCKET` nobody listens, and nothing is said.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")

_logger = structlog.get_logger()


class Notifier:
    """Tells the service manager at *address* how the process fares.

    Source: sd_notify(3), sd_watchdog_enabled(3).
    """

    def __init__(self, address: str = "", *, watchdog_seconds: float | None = None) -> None:
        """*watchdog_seconds* without a sign of life end the process; None for never."""
        # "@" stands for the zero byte of a name that is no file's.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_seconds = watchdog_seconds

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> Notifier:
        """As systemd has set the *environment*, which forgets it, lest a child speak for us."""
        told = {name: environment.pop(name, "") for name in _VARIABLES}
        address, limit, pid = told.values()
        if address[:1] not in {"/", "@"}:  # empty; vsock, between machines
            return cls()
        is_ours = limit.isdecimal() and int(limit) > 0 and pid in {"", str(os.getpid())}
        return cls(address, watchdog_seconds=int(limit) / 1e6 if is_ours else None)

    def ready(self, status: str) -> None:
        """It works, for the first time or after a reload."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """A reload begins; `ready` says when it is over, however it went."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """The end begins."""
        self._send("STOPPING=1", "STATUS=stopping")

    async def beat(self) -> None:
        """Say for ever that the event loop runs, twice as often as has to be.

        A loop that is stuck sends nothing, and systemd starts the process anew.
        """
        if self._watchdog_seconds is None:
            return
        while True:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self._watchdog_seconds / 2)

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                # A manager that does not read must not hold the loop.
                sock.setblocking(False)  # noqa: FBT003
                sock.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            _logger.warning("notify.failed", state=lines[0], error=str(error))
