"""Prometheus and Alertmanager on the shipped files, and an inbox for what they deliver."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from exporter.durations import format_duration, parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from exporter.demo.programs import Program

PATIENCE_SECONDS = 60.0

#: Keys of rules, of Prometheus and of Alertmanager whose value is a time to wait.
WAITS = {
    *("for", "keep_firing_for", "interval"),
    *("scrape_interval", "scrape_timeout", "evaluation_interval"),
    *("group_wait", "group_interval", "repeat_interval"),
}
_WINDOW = re.compile(r"(?<=\[)\d\w*|(?<=:)\d\w*(?=\])|(?<=\boffset )\d\w*")


def tool(name: str, package: str) -> str:
    """The path of a program that the tests cannot do without."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is missing: apt-get install {package}")
    return found


def faster(value: Any, factor: float, key: str = "") -> Any:
    """*value*, parsed from YAML, in a world in which all that waits is *factor* times faster.

    Every waiting time (the keys of `WAITS`), and in an expression every window `[5m]` and
    every `offset`, is divided by the same number. Nothing else is touched: neither a
    comparison nor a label, neither a name nor a text. So an alert fires when it would have
    fired, just sooner, on an exporter whose intervals are shortened by its configuration.
    """
    match value:
        case dict():
            return {name: faster(item, factor, name) for name, item in value.items()}
        case list():
            return [faster(item, factor, key) for item in value]
        case str() if key in WAITS:
            return format_duration(max(parse_duration(value) / factor, 0.001))
        case str() if key == "expr":
            return _WINDOW.sub(
                lambda match: format_duration(parse_duration(match[0]) / factor), value
            )
        case _:
            return value


@dataclass
class Message:
    """What a receiver got: to which path, when, and the JSON."""

    path: str
    at: float
    content: Any

    @property
    def title(self) -> str:
        match self.path:
            case "/pagerduty":
                return str(self.content["payload"]["summary"])
            case "/slack":
                return str(self.content["attachments"][0]["title"])
        return ""

    @property
    def issuer(self) -> str:
        """The issuer that the whole message is about; empty for exporters."""
        if self.path.startswith("/webhook"):
            return str(self.content["groupLabels"].get("issuer", ""))
        about = self.title.partition("] ")[2].partition(": ")[0]
        return "" if "exporter" in about else about

    @property
    def is_resolved(self) -> bool:
        if self.path == "/pagerduty":
            return bool(self.content["event_action"] == "resolve")
        return self.title.startswith("[RESOLVED]") or self.content.get("status") == "resolved"

    @property
    def text(self) -> str:
        """All of it, as a person can search it."""
        return json.dumps(self.content, ensure_ascii=False).replace("\\n", "\n")


@dataclass
class Inbox:
    """A receiver for all receivers: it keeps every message."""

    address: str
    messages: list[Message] = field(default_factory=list)

    def at(self, path: str) -> list[Message]:
        """Messages to *path*, in the order they came."""
        return [message for message in list(self.messages) if message.path == path]


@contextmanager
def inbox() -> Iterator[Inbox]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.messages.append(Message(self.path, time.time(), json.loads(body)))
            self.send_response(202 if self.path == "/pagerduty" else 200)
            self.end_headers()
            self.wfile.write(b'{"status":"success"}')

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept = Inbox(f"127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def running(folder: Path, one: Program) -> Iterator[str]:
    """Run *one* until the block ends; yields its URL once it is ready."""
    log_file = folder / f"{one.name}.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(one.command, stdout=log, stderr=log)
    try:
        url = f"http://{one.address}"
        until(lambda: process.poll() is not None or _answers(f"{url}/-/ready"))
        assert process.poll() is None, log_file.read_text()
        yield url
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(what: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait for *what* to be true, and give it back; what it was last, when time is up."""
    deadline = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def ask(url: str, content: Any = None) -> Any:
    """The JSON at *url*, or what it answers to the JSON *content*."""
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
        body = response.read()
    return json.loads(body) if body else None


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False
