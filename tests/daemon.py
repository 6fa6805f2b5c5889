"""The real daemon as a process of its own, held by a test."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

#: What a loaded machine may need; a good run needs a fraction of it.
PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.02
#: The daemon of this checkout.
COMMAND = (sys.executable, "-m", "exporter")


@dataclass
class Daemon:
    """A running daemon: its log so far, and what it answers."""

    process: subprocess.Popen[bytes]
    log_file: Path
    started: dict[str, Any] = field(default_factory=dict)

    @property
    def log(self) -> list[dict[str, Any]]:
        lines = self.log_file.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.log if line["event"] == name]

    @property
    def base(self) -> str:
        return f"http://{self.started['listen_addresses'].split(', ')[0]}"

    def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        request = urllib.request.Request(self.base + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metrics(self) -> str:
        return self.ask("/metrics")[1]

    def value(self, series: str) -> float | None:
        """The sample of *series*, written as in the text format; None when there is none."""
        found = re.search(rf"^{re.escape(series)} (\S+)$", self.metrics(), re.MULTILINE)
        return float(found[1]) if found else None

    def until(self, what: Callable[[], object]) -> Any:
        """Wait for *what* to be true, and give it back."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := what()):
            assert self.process.poll() is None, self.log_file.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, self.log_file.read_text(encoding="utf-8")
            time.sleep(_POLL_SECONDS)
        return found

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def daemon(
    folder: Path, config: Path, *flags: str, command: Sequence[str] = COMMAND
) -> Iterator[Daemon]:
    """Run the daemon, by its *command*, on *config* at a free port, until the block ends."""
    log_file = folder / "daemon.log"
    arguments = [
        f"--config.file={config}",
        *("--web.listen-address=127.0.0.1:0", "--log.level=debug", *flags),
    ]
    with log_file.open("wb") as stream:
        process = subprocess.Popen([*command, *arguments], stderr=stream, env=environment())
    running = Daemon(process, log_file)
    try:
        running.started = running.until(lambda: running.events("exporter.started"))[0]
        yield running
    finally:
        process.kill()
        process.wait()


def environment() -> dict[str, str]:
    """Of a child: what it measures of itself goes where its parent's does."""
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
