"""Times, names and links as the pages write them: the only place that makes a link."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlencode

from exporter.facts import moment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

#: Where people read on about a failure or a finding; alerts lead there as well.
CAUSES_PAGE = (
    "https://github.com/oidc-issuer-exporter/oidc-issuer-exporter/blob/main/docs/runbooks"
    "/causes.md"
)

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
#: Days of which hours still matter.
_FEW = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """A moment: how long from now in words, when in words, and for a machine."""

    ago: str
    words: str
    machine: str


def when(timestamp_seconds: float | None, now: float) -> When | None:
    """The moment *timestamp_seconds*; None when it is unknown or beyond the calendar."""
    if timestamp_seconds is None:
        return None
    try:
        machine = f"{datetime.fromtimestamp(timestamp_seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return None
    ago = span(abs(now - timestamp_seconds))
    return When(ago=ago, words=moment(timestamp_seconds), machine=machine)


def span(seconds: float) -> str:
    """A length of time as people say it: `8 s`, `12 min`, `2 h 5 min`, `4 d 3 h`, `63 d`."""
    rest = int(seconds)
    if rest < _MINUTE:
        return f"{rest} s"
    if rest < _HOUR:
        return f"{rest // _MINUTE} min"
    if rest < _DAY:
        return _pair(rest // _HOUR, "h", rest % _HOUR // _MINUTE, "min")
    days = rest // _DAY
    return _pair(days, "d", rest % _DAY // _HOUR if days < _FEW else 0, "h")


def _pair(more: int, unit: str, less: int, part: str) -> str:
    return f"{more:,} {unit}" + (f" {less} {part}" if less else "")


def issuer_path(name: str, root: str = "/issuers/") -> str:
    """The path of the page, or with another *root* of the document, about issuer *name*.

    Slashes stand as they are where nobody on the way would take them for something else: a
    client or a proxy resolves `.` and `..` and may join what is empty, escaped or not.
    """
    if any(part in ("", ".", "..") for part in name.split("/")):
        return f"{root}?{urlencode({'name': name})}"
    return root + quote(name)


def asked_name(request: web.Request, root: str) -> str:
    """The name of the issuer that *request* asks for, whichever way `issuer_path` wrote it.

    *root* is where the prefix of the external URL ends.
    """
    # The path as it was sent: of what aiohttp matches, `%2F` and `%25` are not told apart.
    raw = request.rel_url.raw_path.partition(root)[2]
    return unquote(raw) or request.query.get("name", "")


def link(path: str, query: Mapping[str, object]) -> str:
    """*path*, which may have a query of its own, with what of *query* is not empty."""
    left = {key: str(value) for key, value in query.items() if value}
    glue = "&" if "?" in path else "?"
    return f"{path}{glue}{urlencode(left)}" if left else path
