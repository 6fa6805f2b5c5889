"""Child processes that are metered, and that never outlive the benchmark."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOST = "127.0.0.1"
ROOT = Path(__file__).parent.parent
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STOP_SECONDS = 5.0


class BenchError(Exception):
    """The benchmark cannot be run here, or measured something that means nothing."""


@dataclass(frozen=True, slots=True)
class Process:
    """A running child and its log."""

    pid: int
    log: Path
    popen: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        """User and system time of all its threads so far, in steps of 10 ms (proc(5))."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND

    def resident_bytes(self) -> int:
        """Memory held now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE_BYTES

    def check_alive(self) -> None:
        """Raise `BenchError` with the end of its log when the process has ended."""
        if (code := self.popen.poll()) is not None:
            tail = self.log.read_text(errors="replace")[-1500:]
            raise BenchError(f"{self.popen.args!r} ended with {code}:\n{tail}")


def need(tool: str, package: str) -> str:
    """The path of *tool*, or a `BenchError` that says how to get it."""
    found = shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")
    if found is None:
        raise BenchError(f"{tool} is missing: apt-get install --yes {package}")
    return found


@contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[Process]:
    """Run *command*, its output in *log*, until the block is left.

    setpriv ties its life to ours, so that not even a killed benchmark leaves a child.
    """
    tied = [need("setpriv", "util-linux"), "--pdeathsig", "TERM", "--", *command]
    with log.open("ab") as output:
        popen = subprocess.Popen(
            tied, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT
        )
    try:
        yield Process(popen.pid, log, popen)
    finally:
        _stop(popen)


def _stop(popen: subprocess.Popen[bytes]) -> None:
    popen.terminate()
    try:
        popen.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()


def wait_for_port(process: Process, port: int, *, timeout_seconds: float = 20) -> None:
    """Return once *process* accepts connections on *port*."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        process.check_alive()
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.005)
        else:
            return
    raise BenchError(f"{process.popen.args!r} did not listen on {port}")
