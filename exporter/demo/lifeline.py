"""A process of the demo and its parent: one line when it stands, a pipe until it ends."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def announce(place: Mapping[str, Any]) -> None:
    """Tell the parent where things are to be found, as a line of JSON."""
    sys.stdout.write(json.dumps(place) + "\n")
    sys.stdout.flush()


async def end_of_input() -> None:
    """Wait until the parent closes standard input, or dies."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    await reader.read()
