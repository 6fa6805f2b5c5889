"""Names looked up: by whom, how late, and with what means."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pycares
import pytest
import uvloop

from exporter.clock import Stopwatch
from exporter.faults import Stopped
from exporter.resolve import _NO_HOSTS, resolve
from tests.servers import dns_hosts, dns_reply


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_an_answer_that_came_in_time_is_taken_by_a_loop_that_comes_late(farm, factory):
    """uvloop runs its timers first: they must look before they give up."""
    server = farm.nameserver(dns_hosts("127.0.0.1"), delay=0.2)

    async def held() -> tuple[str, ...]:
        watch = Stopwatch(1.0)
        asyncio.get_running_loop().call_later(0.1, time.sleep, 1.2)
        return await resolve("issuer.test", family=None, nameservers=(server,), stopwatch=watch)

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(held()) == ("127.0.0.1",)


async def test_nobody_at_the_name_servers_address_is_told_from_a_refusal(farm):
    saying_no = farm.nameserver(lambda question, _: dns_reply(question, rcode=5))
    details = []
    for server in (saying_no, "127.0.0.1:1"):
        with pytest.raises(Stopped) as stopped:
            await resolve(
                "issuer.test", family=None, nameservers=(server,), stopwatch=Stopwatch(4)
            )
        assert (stopped.value.stage, stopped.value.reason) == ("dns", "refused")
        details.append(stopped.value.detail)

    assert "nobody answers" not in details[0]
    assert details[1] == "issuer.test: nobody answers at the name server's address"


async def test_a_lookup_leaves_no_descriptor_behind(farm):
    server = farm.nameserver(dns_hosts("127.0.0.1"))

    await resolve("issuer.test", family=None, nameservers=(server,), stopwatch=Stopwatch(4))
    await asyncio.sleep(0.1)
    before = len(_open_fds())
    for _ in range(20):
        await resolve("issuer.test", family=None, nameservers=(server,), stopwatch=Stopwatch(4))
    for _ in range(50):
        if len(_open_fds()) <= before:
            break
        await asyncio.sleep(0.1)

    assert len(_open_fds()) <= before


def _open_fds() -> list[Path]:
    return list(Path("/proc/self/fd").iterdir())


async def test_the_hosts_file_is_read_by_nobody(monkeypatch):
    """STS has no such file of ours; `localhost` is known without one (RFC 6761)."""
    flags = []
    ask = pycares.Channel.getaddrinfo

    def noted(channel: pycares.Channel, *args: Any, **settings: Any) -> None:
        flags.append(settings["flags"])
        ask(channel, *args, **settings)

    monkeypatch.setattr(pycares.Channel, "getaddrinfo", noted)
    for servers in ((), ("127.0.0.1:1",)):
        got = await resolve(
            "localhost", family=None, nameservers=servers, stopwatch=Stopwatch(4)
        )
        assert set(got) <= {"127.0.0.1", "::1"}

    assert os.environ["CARES_HOSTS"] == os.devnull
    assert flags == [_NO_HOSTS, _NO_HOSTS]
