"""One probe now, and what it found: the diagnosis that a newcomer tries first."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import uvloop
from rich.console import Console

from exporter.config import ConfigError, Limits, load
from exporter.guard import Caps, Clock, Guard
from exporter.model import Issuer
from exporter.probe import Prober
from exporter.report_json import to_json
from exporter.terminal import render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from exporter.model import Report

# Handshakes of one machine disturb each other's times when more are under way.
_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be checked, and how.

    Attributes:
        targets: URLs, or names of configured issuers; none means all that are configured.
        config_files: Where the settings of issuers come from; none means the defaults.
        settings: Fields of `Issuer` that take precedence over the configured ones.
        is_json: For programs rather than for people.
    """

    targets: tuple[str, ...]
    config_files: tuple[Path, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_json: bool = False


def check(question: Question) -> bool:
    """Probe once, and print the reports in the order of the targets.

    Returns:
        True when STS could use every issuer.

    Raises:
        ConfigError: A configuration was given and is not valid, or there is nothing to check.
    """
    issuers = _issuers(question)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(issuers, is_json=question.is_json))


def _issuers(question: Question) -> list[Issuer]:
    configured = load(question.config_files).issuers if question.config_files else ()
    known = {issuer.url: issuer for issuer in configured}
    known |= {issuer.name: issuer for issuer in configured}
    found = [known.get(t) or _unknown(t) for t in question.targets] or list(configured)
    if not found:
        files = ", ".join(map(str, question.config_files))
        raise ConfigError([f"{files}: issuers: want one at least to check, got none"])
    settings = dict(question.settings)
    if "budget_seconds" in settings:
        # The configuration's own rule: what comes too late is still waited for.
        settings.setdefault("timeout_seconds", 2 * settings["budget_seconds"])
    return [replace(issuer, **settings) for issuer in found]


def _unknown(target: str) -> Issuer:
    url = target if "://" in target else f"https://{target}"
    return Issuer(url=url, name=url.removeprefix("https://"))


class _NoBook:
    """What happened stands in the reports, and a panic in the log."""

    def _write(self, *_: object, **__: object) -> None:
        pass

    started = record = skipped = held = panicked = _write


async def _run(issuers: Sequence[Issuer], *, is_json: bool) -> bool:
    prober = Prober()
    guard = Guard(
        lambda issuer, attempt: prober.probe(issuer, attempt=attempt),
        _NoBook(),
        Caps(Limits(concurrency=_AT_ONCE, concurrency_per_host=_AT_ONCE)),
        Clock(),
    )
    # No task group: it would wrap what printing raises. The runner cancels what is left.
    tasks = [asyncio.create_task(guard.run(issuer, 1, None)) for issuer in issuers]
    for number, task in enumerate(tasks):
        _show(await task, is_json=is_json, is_first=number == 0)
    return all(task.result().is_success for task in tasks)


def _show(report: Report, *, is_json: bool, is_first: bool) -> None:
    if is_json:
        # One after the other, each over several lines: what jq and people read.
        json.dump(to_json(report), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        sys.stdout.write("" if is_first else "\n")
        render(report, console=Console(file=sys.stdout))
    sys.stdout.flush()
