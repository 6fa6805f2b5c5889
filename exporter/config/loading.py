"""What was gathered, made one frozen `Config`, or refused with every problem at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter.config.gathering import gather, sha256
from exporter.config.problems import path_to, shown
from exporter.config.schema import LONGEST_NAME, ConfigFile
from exporter.durations import format_duration
from exporter.model import Issuer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from exporter.config.gathering import Entry, Gathered
    from exporter.config.problems import Loc, Problem
    from exporter.config.schema import Settings
    from exporter.config.yamlfile import Source


class ConfigError(Exception):
    """The operator's configuration cannot be used.

    Attributes:
        problems: All of them, each as `file:line: path: what is wanted, what was got`.
    """

    def __init__(self, problems: Iterable[Problem] | Iterable[str]) -> None:
        self.problems = tuple(map(str, problems))
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many probes may be under way at once: in all, and of issuers on one host."""

    concurrency: int
    concurrency_per_host: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A configuration in which nothing is wrong.

    Attributes:
        vantage: Where the exporter stands; empty when nobody says.
        issuers: In the order of the files; their names differ.
        sha256: Over the content of every file that was read, in hex.
    """

    vantage: str
    limits: Limits
    issuers: tuple[Issuer, ...]
    sha256: str


def load(paths: Sequence[Path]) -> Config:
    """Read the configuration files *paths*, one at least, and the issuer files they name.

    `vantage`, `defaults` and `limits` are given in one file at most, and hold for all.

    Raises:
        ConfigError: With everything that is wrong, in the order of files and lines.
    """
    found = gather(paths)
    top = _joined(found)
    problems = [
        *found.problems,
        *_section_problems(found),
        *_name_problems(found.entries),
        *_timeout_problems(found, top.defaults),
    ]
    if problems:
        raise ConfigError(sorted(dict.fromkeys(problems), key=found.place))
    return Config(
        vantage=top.vantage,
        limits=Limits(**dict(top.limits)),
        issuers=tuple(_issuer(entry, top.defaults) for entry in found.entries),
        sha256=sha256(found.contents),
    )


def _joined(found: Gathered) -> ConfigFile:
    given = {
        key: getattr(top, key) for _, top in found.sections for key in top.model_fields_set
    }
    return ConfigFile().model_copy(update=given)


def _issuer(entry: Entry, defaults: Settings) -> Issuer:
    own = entry.issuer
    labels = tuple(sorted(own.labels.items()))
    return Issuer(**{**_settled(defaults, own), "name": entry.name, "labels": labels})


def _settled(defaults: Settings, own: Settings) -> dict[str, Any]:
    """What holds for an issuer whose *own* settings go before the *defaults*."""
    settings: dict[str, Any] = dict(defaults)
    settings |= {name: getattr(own, name) for name in own.model_fields_set}
    if settings["interval_failing_seconds"] is None:
        settings["interval_failing_seconds"] = settings["interval_seconds"]
    if settings["timeout_seconds"] is None:
        settings["timeout_seconds"] = 2 * settings["budget_seconds"]
    return settings


def _section_problems(found: Gathered) -> Iterator[Problem]:
    for key in ("vantage", "defaults", "limits"):
        holders = [source for source in found.configs if (key,) in source.lines]
        for source in holders[1:]:
            yield source.problem((key,), f"want it in one file, it is in {holders[0].path} too")
    # Not beside other problems: the key may stand in a file that could not be read.
    if not found.problems and not any(
        {"issuers", "issuer_files"} & top.model_fields_set for _, top in found.sections
    ):
        yield found.configs[0].problem((), "want issuers or issuer_files, got neither")


def _name_problems(entries: Iterable[Entry]) -> Iterator[Problem]:
    taken: dict[str, Entry] = {}
    for entry in entries:
        name = entry.name
        first = taken.setdefault(name, entry)
        if first is not entry:
            place = f"{path_to(first.name_loc)} in {first.source.path}"
            message = f"want a name of its own, {shown(name)} is taken by {place}"
            yield entry.source.problem(entry.name_loc, message)
        if len(name) > LONGEST_NAME:
            message = f"want a name of its own beside a URL of {len(name)} characters"
            yield entry.source.problem(entry.name_loc, message)


def _timeout_problems(found: Gathered, defaults: Settings) -> Iterator[Problem]:
    # Defaults that could not be read would be blamed for what they do not say.
    if len(found.sections) < len(found.configs):
        return
    for source, top in found.sections:
        if "defaults" in top.model_fields_set:
            yield from _timeout_problem(source, ("defaults",), defaults, defaults)
    for entry in found.entries:
        yield from _timeout_problem(entry.source, entry.loc, defaults, entry.issuer)


def _timeout_problem(
    source: Source, loc: Loc, defaults: Settings, own: Settings
) -> Iterator[Problem]:
    given = [key for key in ("timeout", "budget") if f"{key}_seconds" in own.model_fields_set]
    settings = _settled(defaults, own) if given else {}
    if given and settings["budget_seconds"] > settings["timeout_seconds"]:
        budget = format_duration(settings["budget_seconds"])
        timeout = format_duration(settings["timeout_seconds"])
        message = f"want the budget within the timeout, got {budget} and {timeout}"
        yield source.problem((*loc, given[0]), message)
