"""Durations and sizes as an operator writes them: the only place that knows their grammar.

A duration is written as Prometheus writes it. A size has units of 1024 (`MiB`) and of 1000
(`MB`), as the standards have them; Prometheus itself reads `MB` as 1024 x 1024.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECOND = 1000
_DAY = 24 * 60 * 60 * _SECOND

#: In milliseconds, in the order they are written; a year is 365 days, as in Prometheus.
_DURATION_UNITS: Mapping[str, int] = MappingProxyType(
    {
        "y": 365 * _DAY,
        "w": 7 * _DAY,
        "d": _DAY,
        "h": 60 * 60 * _SECOND,
        "m": 60 * _SECOND,
        "s": _SECOND,
        "ms": 1,
    }
)

# Written only when nothing remains, as by Prometheus: 90d reads better than 12w6d.
_EXACT_UNITS = frozenset({"y", "w"})

#: Every unit at most once, the largest first. The anchors are for JSON Schema. The bound on
#: digits keeps int() away from numbers that it refuses with words of its own.
DURATION_PATTERN = (
    "^(?=[0-9])" + "".join(f"(?:[0-9]{{1,15}}{unit})?" for unit in _DURATION_UNITS) + "$"
)

_BYTE_UNITS: Mapping[str, int] = MappingProxyType(
    {
        "GiB": 1024**3,
        "GB": 1000**3,
        "MiB": 1024**2,
        "MB": 1000**2,
        "KiB": 1024,
        "KB": 1000,
        "B": 1,
    }
)

#: A number and its unit.
BYTES_PATTERN = f"^([0-9]{{1,15}})({'|'.join(_BYTE_UNITS)})$"


def parse_duration(text: str) -> float:
    """Read *text*, such as `5s`, `1m30s` or `500ms`; only a bare `0` needs no unit.

    Returns:
        Seconds.

    Raises:
        ValueError: For anything else.
    """
    if text == "0":
        return 0.0
    if not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError(f"{text!r} is no duration such as 5s, 1m30s or 1h")
    parts = re.findall("([0-9]+)([a-z]+)", text)
    return sum(int(number) * _DURATION_UNITS[unit] for number, unit in parts) / _SECOND


def format_duration(seconds: float) -> str:
    """Write *seconds*, rounded to the millisecond, so that `parse_duration` reads it back.

    Raises:
        ValueError: For a negative number; the grammar has no sign.
    """
    rest = round(seconds * _SECOND)
    if rest < 0:
        raise ValueError(f"{seconds} seconds are negative")
    text = ""
    for unit, size in _DURATION_UNITS.items():
        if rest >= size and not (unit in _EXACT_UNITS and rest % size):
            text += f"{rest // size}{unit}"
            rest %= size
    return text or "0s"


def parse_bytes(text: str) -> int:
    """Read *text*, such as `1MiB` (1024 x 1024 bytes) or `1MB` (1000 x 1000 bytes).

    Raises:
        ValueError: For anything else, a missing unit included.
    """
    match = re.fullmatch(BYTES_PATTERN, text)
    if match is None:
        raise ValueError(f"{text!r} is no size such as 512KiB or 1MiB")
    return int(match[1]) * _BYTE_UNITS[match[2]]


def format_bytes(count: int) -> str:
    """Write *count* bytes in the largest unit that leaves no rest: `1MiB`, `1500B`.

    Raises:
        ValueError: For a negative number.
    """
    if count < 0:
        raise ValueError(f"{count} bytes are negative")
    fitting = (u for u, size in _BYTE_UNITS.items() if count >= size and not count % size)
    unit = next(fitting, "B")
    return f"{count // _BYTE_UNITS[unit]}{unit}"
