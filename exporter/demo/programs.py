"""Prometheus and Alertmanager as programs: whether they are installed, and how they are run."""

from __future__ import annotations

import json
import shutil
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Debian's name of the program, and its makers'.
PROMETHEUS = ("prometheus",)
ALERTMANAGER = ("prometheus-alertmanager", "alertmanager")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A server to be run: its command without addresses, and where it will listen."""

    name: str
    command: tuple[str, ...]
    address: str


def program(names: tuple[str, ...]) -> str | None:
    """The path of the first of *names* that is installed."""
    return next(filter(None, map(shutil.which, names)), None)


def free_address() -> str:
    """An address on loopback that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


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
