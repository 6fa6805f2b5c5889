"""A headless Chromium, driven over the DevTools protocol as a test needs it."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

#: What a loaded machine may need; a good run needs a fraction of it.
PATIENCE_SECONDS = 60.0
INSTALL = "apt-get install -y --no-install-recommends chromium"

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # /dev/shm is small in a container.
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-port=0"),
)
_KEYS = {"Tab": 9, "Enter": 13}


@contextmanager
def chromium(folder: Path) -> Iterator[str]:
    """Run a browser whose profile is *folder*; yield the address of its DevTools."""
    program = shutil.which("chromium")
    assert program, f"the pages are tested in Chromium: {INSTALL}"
    command = [program, *_FLAGS, f"--user-data-dir={folder}", "about:blank"]
    # What it leaves behind goes with this. Not in *folder*: a socket's path has to be short.
    with (
        tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as left,
        (folder / "chromium.log").open("wb") as log,
    ):
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "TMPDIR": left},
        )
        try:
            yield _address(process, folder)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(process: subprocess.Popen[bytes], folder: Path) -> str:
    written = folder / "DevToolsActivePort"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        lines = written.read_text().splitlines() if written.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        log = (folder / "chromium.log").read_text(errors="replace")
        assert process.poll() is None, log
        assert time.monotonic() < deadline, log
        time.sleep(0.05)


class Browser:
    """A connection to a running browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._pages: dict[str, Page] = {}
        self._reader = asyncio.create_task(self._read())

    @classmethod
    @asynccontextmanager
    async def connect(cls, address: str) -> AsyncIterator[Browser]:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(address, max_msg_size=0) as socket,
        ):
            browser = cls(socket)
            yield browser
            browser._reader.cancel()

    async def call(self, method: str, session: str | None = None, **params: Any) -> Any:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": params}
        await self._socket.send_json({**message, "sessionId": session} if session else message)
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await answer

    @asynccontextmanager
    async def page(
        self,
        *,
        width: int = 1280,
        height: int = 900,
        scheme: str = "light",
        scripts: bool = True,
    ) -> AsyncIterator[Page]:
        """A page with a profile of its own; without *scripts*, pages cannot run any."""
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        target = await self.call(
            "Target.createTarget", url="about:blank", browserContextId=context
        )
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        page = self._pages[attached["sessionId"]] = Page(self, attached["sessionId"])
        await page.prepare(width, height, scheme, scripts=scripts)
        yield page
        await self.call("Target.disposeBrowserContext", browserContextId=context)

    async def _read(self) -> None:
        async for message in self._socket:
            content = json.loads(message.data)
            if "id" not in content:
                if page := self._pages.get(content.get("sessionId", "")):
                    page.hear(content["method"], content["params"])
                continue
            answer = self._answers.pop(content["id"])
            if answer.cancelled():
                continue
            if "error" in content:
                answer.set_exception(RuntimeError(content["error"]["message"]))
            else:
                answer.set_result(content["result"])


@dataclass
class Page:
    """One page, and what it had to complain about.

    Attributes:
        complaints: Errors and warnings of the console, policy violations, exceptions.
        requests: Every URL that was asked for.
        statuses: Of the documents that came.
    """

    browser: Browser
    session: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    _loaded: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(self, method: str, **params: Any) -> Any:
        return await self.browser.call(method, self.session, **params)

    async def prepare(self, width: int, height: int, scheme: str, *, scripts: bool) -> None:
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            await self.call(f"{domain}.enable")
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        await self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        await self.call("Emulation.setScriptExecutionDisabled", value=not scripts)

    def hear(self, method: str, params: Any) -> None:
        match method:
            case "Page.loadEventFired":
                self._loaded.set()
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Network.responseReceived" if params["type"] == "Document":
                self.statuses.append(params["response"]["status"])
            case "Log.entryAdded":
                self.complaints.append(params["entry"]["text"])
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Audits.issueAdded":
                self.complaints.append(json.dumps(params))

    async def open(self, url: str) -> None:
        """Go to *url* and wait until all of it is there."""
        self._loaded.clear()
        await self.call("Page.navigate", url=url)
        await self.loaded()

    async def loaded(self) -> None:
        """Wait for a page to come, after a link or a key led to it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._loaded.wait()
        self._loaded.clear()

    async def value(self, expression: str) -> Any:
        """What *expression* comes to in the page: our own script, not the page's."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def press(self, key: str) -> None:
        for kind in ("rawKeyDown", "char", "keyUp") if key == "Enter" else ("keyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=_KEYS[key],
                **({"text": "\r"} if kind == "char" else {}),
            )

    async def screenshot(self, path: Path, *, whole: bool = False) -> None:
        size = (await self.call("Page.getLayoutMetrics"))["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = await self.call(
            "Page.captureScreenshot",
            captureBeyondViewport=whole,
            **({"clip": clip} if whole else {}),
        )
        path.write_bytes(base64.b64decode(shot["data"]))  # noqa: ASYNC240 - nothing waits
