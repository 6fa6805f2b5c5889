"""What one argument may be: text in, value out, or a sentence that says what was wished."""

from __future__ import annotations

import argparse
import re
import ssl
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from exporter.durations import parse_duration
from exporter.web import RESERVED_PATHS
from exporter.web.listen import parse

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# What stands for itself in a URL's path; braces would be a pattern to the router.
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]*)+")
_LONGEST_LIMIT_SECONDS = 600
_MOST_REQUESTS = 100_000
_MOST_SHARDS = 1000


def _argument(read: Callable[[str], T]) -> Callable[[str], T]:
    """*read*, so that argparse shows the sentence of its ValueError, which it would hide."""

    def checked(text: str) -> T:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def configured(kind: str) -> Callable[[str], object]:
    """What the configuration takes as *kind* of address."""

    def read(text: str) -> object:
        # Costs a tenth of a second, which who asks for help should not wait.
        from exporter.config import addresses  # noqa: PLC0415

        return getattr(addresses, kind).check(text)

    return _argument(read)


#: Where to listen.
address = _argument(parse)


@_argument
def interval(text: str) -> float:
    """Seconds between two looks at files; 0 for none."""
    seconds = parse_duration(text)
    if 0 < seconds < 1:
        raise ValueError(f"want 0 or at least 1s, got {text}")
    return seconds


@_argument
def limit(text: str) -> float:
    """Seconds that a probe may take."""
    seconds = parse_duration(text)
    if not 0 < seconds <= _LONGEST_LIMIT_SECONDS:
        raise ValueError(f"want a duration from 1ms to 10m, got {text}")
    return seconds


@_argument
def ordinal(text: str) -> int:
    """The number of a shard, counted from 0."""
    return _number(text, 0, _MOST_SHARDS - 1)


@_argument
def requests(text: str) -> int:
    """How many requests at once; 0 for no limit."""
    return _number(text, 0, _MOST_REQUESTS)


@_argument
def shards(text: str) -> int:
    """How many shards there are."""
    return _number(text, 1, _MOST_SHARDS)


def _number(text: str, least: int, most: int) -> int:
    # Not `int` alone: that takes `1_0`, ` 1` and other scripts' digits.
    if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
        raise ValueError(f"want a whole number from {least} to {most}, got {text!r}")
    return int(text)


@_argument
def telemetry_path(text: str) -> str:
    """Where the metrics are."""
    if not _PATH.fullmatch(text):
        raise ValueError(f"{text!r} is not a path such as /metrics")
    if text in RESERVED_PATHS:
        raise ValueError(f"{text} is taken by the exporter itself")
    return text


@_argument
def prefix(text: str) -> str:
    """The path of a URL, without a slash at its end; no URL has none."""
    parts = urlsplit(text)
    path = parts.path.rstrip("/")
    if not text:
        return ""
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"{text!r} is not a URL such as https://example.com/oidc")
    if path and not _PATH.fullmatch(path):
        raise ValueError(f"{path!r} holds characters that a path of ours cannot have")
    return path


@_argument
def certificates(text: str) -> str:
    """A file of certificates that OpenSSL can read."""
    try:
        ssl.create_default_context(cafile=text)
    except OSError as error:  # SSLError is one
        raise ValueError(f"{text} cannot be read as PEM certificates: {error}") from None
    return text
