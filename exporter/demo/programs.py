"""Prometheus and Alertmanager as programs: whether they are installed, and how they are run."""

from __future__ import annotations

import errno
import json
import shutil
import socket
from contextlib import suppress
from dataclasses import dataclass
from random import SystemRandom
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Debian's name of the program, and its makers'.
PROMETHEUS = ("prometheus",)
ALERTMANAGER = ("prometheus-alertmanager", "alertmanager")

_HOST = "127.0.0.1"
# Linux gives those from 32768 on to connections, others from 49152 on; Kubernetes those from
# 30000 on to services.
_PORTS = range(20_000, 30_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A server to be run: its command without addresses, and where it will listen."""

    name: str
    command: tuple[str, ...]
    address: str


def program(names: tuple[str, ...]) -> str | None:
    """The path of the first of *names* that is installed."""
    return next(filter(None, map(shutil.which, names)), None)


def free_port() -> int:
    """A port of loopback that nobody listens on at this moment.

    It is below those that a kernel gives to whoever wants any: one of them may be somebody
    else's before the program that it is for has started.

    Raises:
        OSError: a hundred ports were taken.
    """
    for port in SystemRandom().sample(_PORTS, 100):
        with suppress(OSError), socket.create_server((_HOST, port)):
            return port
    raise OSError(errno.EADDRINUSE, f"hardly a port from {_PORTS[0]} to {_PORTS[-1]} is free")


def free_address() -> str:
    """The loopback address with a `free_port`."""
    return f"{_HOST}:{free_port()}"


def prometheus(folder: Path, config: Mapping[str, object], address: str) -> Program:
    """Prometheus on *config*, with all that it writes in *folder*."""
    return Program(
        name="prometheus",
        command=(
            program(PROMETHEUS) or PROMETHEUS[0],
            f"--config.file={_written(folder / 'prometheus.yaml', config)}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address={address}",
            f"--web.external-url=http://{address}",
            # What is sent in the first seconds, before Alertmanager is discovered, is lost;
            # by default it would be sent again after a minute.
            "--rules.alert.resend-delay=2s",
            "--log.level=warn",
        ),
        address=address,
    )


def alertmanager(folder: Path, config: Mapping[str, object], address: str) -> Program:
    """Alertmanager, alone, on *config*, with all that it writes in *folder*."""
    return Program(
        name="alertmanager",
        command=(
            program(ALERTMANAGER) or ALERTMANAGER[0],
            f"--config.file={_written(folder / 'alertmanager.yaml', config)}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address={address}",
            f"--web.external-url=http://{address}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ),
        address=address,
    )


def _written(path: Path, config: Mapping[str, object]) -> Path:
    # JSON is YAML, and has nothing that could be read in two ways.
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")
    return path
