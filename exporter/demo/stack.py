"""Prometheus, Alertmanager and a pager for the demo: `python -m exporter.demo.stack ADDRESS`.

In a process of its own, because the daemon has the parent's loop. It ends what it started
when standard input ends, as the issuers do.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from exporter.demo.lifeline import announce, end_of_input
from exporter.demo.pager import Pager
from exporter.demo.programs import Program, alertmanager, free_address, prometheus
from exporter.demo.wiring import DEPLOY, Addresses, alertmanager_config, prometheus_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_START_SECONDS = 20.0
# Both together less than the parent has patience for.
_STOP_SECONDS = 2.0


@asynccontextmanager
async def running(folder: Path, one: Program) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run *one* until the block ends; it is ready when the block begins.

    Raises:
        RuntimeError: It did not get ready; the end of its log says why.
    """
    log_file = folder / f"{one.name}.log"
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(*one.command, stdout=log, stderr=log)
    try:
        if not await _is_ready(process, one.address):
            last = log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
            raise RuntimeError("\n".join([f"{one.name} did not start", *last]))
        yield process
    finally:
        await _stop(process)


async def _is_ready(process: asyncio.subprocess.Process, address: str) -> bool:
    """Whether the server answers before its time is up, or it is gone."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START_SECONDS), aiohttp.ClientSession() as session:
            while process.returncode is None:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"http://{address}/-/ready") as response:
                        if response.ok:
                            return True
                await asyncio.sleep(0.05)
    return False


async def _stop(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _serve(folder: Path, exporter: str) -> None:
    runner = web.AppRunner(Pager().application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    addresses = Addresses(
        exporter=exporter,
        prometheus=free_address(),
        alertmanager=free_address(),
        receiver=f"127.0.0.1:{runner.addresses[0][1]}",
    )
    first = alertmanager(folder, alertmanager_config(addresses, folder), addresses.alertmanager)
    second = prometheus(folder, prometheus_config(addresses), addresses.prometheus)
    try:
        # Alertmanager first: what Prometheus cannot deliver at once comes a minute later.
        async with running(folder, first), running(folder, second):
            announce(
                {
                    "prometheus": f"http://{addresses.prometheus}",
                    "alertmanager": f"http://{addresses.alertmanager}",
                    "deploy": str(DEPLOY),
                }
            )
            await asyncio.Event().wait()
    finally:
        await runner.cleanup()


async def _serve_until_end(folder: Path, exporter: str) -> None:
    """Serve while the parent is there: it may go before everything stands."""
    serving = asyncio.create_task(_serve(folder, exporter))
    parting = asyncio.create_task(end_of_input())
    await asyncio.wait({serving, parting}, return_when=asyncio.FIRST_COMPLETED)
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


def main() -> int:
    """Serve until standard input ends, and return the exit code."""
    with tempfile.TemporaryDirectory(prefix="oidc-issuer-demo-alerts-") as directory:
        try:
            asyncio.run(_serve_until_end(Path(directory), sys.argv[1]))
        except RuntimeError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
