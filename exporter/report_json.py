"""One report as JSON: the same facts as on the terminal, for programs.

The shape follows `exporter.model` name by name, with these differences:

- `verdict` is the word, `sentence` its reason, `is_usable` the truth of it.
- `issuer` is its name, URL and limits; a proxy's password has no place here.
- `fetches`, and within them `caching`, stand under the name of their document.
- A key set has `published` and `usable` counts instead of `ids`.
- Beside every Unix time `..._timestamp_seconds` stands the same as RFC 3339, `..._time`.
- Failures and findings carry their `advice`.

A member whose fact was not learnt is null. No number is NaN or infinite, and every string can
be encoded.
"""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from exporter.advice import CAUSES
from exporter.wording import caching, failure_advice, finding_advice, usable_keys, verdict

if TYPE_CHECKING:
    from exporter.advice import Advice
    from exporter.model import CachePolicy, Fetch, Issuer, KeySet, Report

_TIMESTAMP = "_timestamp_seconds"


def to_json(report: Report) -> dict[str, object]:
    """*report* as what `json.dumps` takes, of the shape that the module describes."""
    word, sentence = verdict(report)
    policies = dict(report.caching)
    key_set = report.key_set
    return {
        "verdict": word,
        "sentence": sentence,
        "is_usable": report.is_success,
        "issuer": _issuer(report.issuer),
        **time_members("started", report.started_timestamp_seconds),
        **time_members("ended", report.ended_timestamp_seconds),
        # Nothing was measured where nothing was fetched.
        "duration_seconds": _plain(report.duration_seconds) if report.fetches else None,
        "attempt": report.attempt,
        **time_members("retry_after", report.retry_after_timestamp_seconds),
        "failure": _failure(report),
        "findings": _findings(report),
        "fetches": {
            f.document.value: _fetch(f, policies.get(f.document)) for f in report.fetches
        },
        "discovery": _plain(report.discovery),
        "key_set": None if key_set is None else _key_set(key_set),
    }


def _issuer(issuer: Issuer) -> dict[str, object]:
    return {
        "name": _plain(issuer.name),
        "url": _plain(issuer.url),
        "budget_seconds": issuer.budget_seconds,
        "timeout_seconds": issuer.timeout_seconds,
    }


def _failure(report: Report) -> object:
    if report.failure is None:
        return None
    advice = failure_advice(report, report.failure)
    return {**members(report.failure), "advice": _advice(advice)}


def _findings(report: Report) -> list[object]:
    return [
        {**members(found), "advice": _advice(finding_advice(report, found))}
        for found in report.findings
    ]


def _advice(advice: Advice) -> dict[str, object]:
    return {**members(advice), "cause_sentence": CAUSES[advice.cause]}


def _fetch(fetch: Fetch, policy: CachePolicy | None) -> dict[str, object]:
    facts = members(fetch)
    if policy is None:
        return {**facts, "caching": None}
    words = caching(policy, fetch.document)
    return {**facts, "caching": {**members(policy), "meaning": words}}


def _key_set(key_set: KeySet) -> dict[str, object]:
    return {
        "sha256": key_set.sha256,
        "published": key_set.published.total(),
        "usable": usable_keys(key_set),
        "keys": [{"is_usable": key.is_usable, **members(key)} for key in key_set.keys],
    }


def members(fact: object) -> dict[str, object]:
    """The fields of a frozen fact, its Unix times also as RFC 3339."""
    assert is_dataclass(fact)  # noqa: S101 - our own nouns, and nothing else
    found: dict[str, object] = {}
    for field in fields(fact):
        value = getattr(fact, field.name)
        name = field.name.removesuffix(_TIMESTAMP)
        found |= {name: _plain(value)} if name == field.name else time_members(name, value)
    return found


def time_members(name: str, timestamp_seconds: float | None) -> dict[str, object]:
    """The two members that tell the time called *name*; null when it is unknown."""
    return {
        f"{name}{_TIMESTAMP}": _plain(timestamp_seconds),
        f"{name}_time": _rfc3339(timestamp_seconds),
    }


def _rfc3339(timestamp_seconds: float | None) -> str | None:
    if timestamp_seconds is None:
        return None
    try:
        return datetime.fromtimestamp(timestamp_seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):  # beyond the calendar, or not a number
        return None


def _plain(value: object) -> object:
    if isinstance(value, str):
        # A lone surrogate cannot be written as UTF-8, and not every parser reads its escape.
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return members(value) if is_dataclass(value) else value
