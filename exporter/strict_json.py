"""Bytes to one JSON object, by RFC 8259: the only place that parses JSON from afar.

Python's `json` takes more than JSON allows and breaks on some of what it allows. Here, on
purpose: a byte order mark, UTF-16 and UTF-32 are refused (RFC 8259 8.1), and so are NaN and
Infinity; a member that is repeated counts as it stands last, as most parsers have it; a lone
surrogate is let in, and escaped wherever it is printed; a number is valid however long, and
its value is never worked out, as no member that matters is a number.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from exporter.reasons import Reason
from exporter.text import quoted

#: Objects, arrays and members in one text; RFC 8259 9 lets a parser set limits. A thousand
#: keys with certificates have 14,000. A megabyte of `{},` would hold the loop for 0.2 s.
MOST_PARTS = 20_000

_SPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")
# What names the page behind an HTML answer, or the error behind S3's XML.
_TITLE = re.compile(rb"<(?:title|code)\b[^<>]{0,200}>([^<]{1,300})", re.IGNORECASE)
_TITLE_WITHIN_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Malformed:
    """Why a body is not one JSON object; *reason* is one of the four of that form."""

    reason: Reason
    detail: str


def read_object(body: bytes, *, is_called_html: bool) -> dict[str, object] | Malformed:
    """Parse *body*; numbers come out as 0.0, whatever they were.

    *is_called_html* (by its content type) only matters to a body that is not JSON.

    Returns:
        The object or what is wrong, always.
    """
    bare = body.removeprefix(_BOM).lstrip(_SPACE)
    if bare.startswith(b"<"):
        return Malformed(Reason.HTML, _page(bare))
    text = _decode(body)
    if isinstance(text, Malformed):
        return text
    if not bare:
        return Malformed(Reason.INVALID_JSON, "the body is empty")
    # Those inside strings are counted as well: honest strings hold few of them.
    if sum(body.count(mark) for mark in (b"{", b"[", b",")) > MOST_PARTS:
        return Malformed(Reason.INVALID_JSON, f"it has more than {MOST_PARTS} parts: not read")
    return _parse(text, is_called_html=is_called_html)


def _decode(body: bytes) -> str | Malformed:
    if body.startswith(_BOM):
        return Malformed(Reason.ENCODING, "it begins with a byte order mark")
    # JSON begins with an ASCII character, so a NUL among the first bytes is half of one.
    if body.startswith(_WIDE_BOMS) or b"\0" in body[:4]:
        return Malformed(Reason.ENCODING, "it is UTF-16 or UTF-32, not UTF-8")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        return Malformed(Reason.ENCODING, f"it is not UTF-8 from byte {error.start} on")


def _parse(text: str, *, is_called_html: bool) -> dict[str, object] | Malformed:
    try:
        parsed = _DECODER.decode(text)
    except RecursionError:
        return Malformed(Reason.INVALID_JSON, "it is nested too deeply")
    except ValueError as error:
        if is_called_html:
            return Malformed(Reason.HTML, "it is sent as HTML and is not JSON")
        return Malformed(Reason.INVALID_JSON, _fault(error, text))
    if not isinstance(parsed, dict):
        return Malformed(Reason.NOT_OBJECT, f"it is {_KINDS[type(parsed)]}, not an object")
    return parsed


def _fault(error: ValueError, text: str) -> str:
    if not isinstance(error, json.JSONDecodeError):
        return str(error)
    where = f"{error.msg} at line {error.lineno}, column {error.colno}"
    rest = text[error.pos : error.pos + 20]
    return f"{where}: {quoted(rest)}" if rest else where


def _page(body: bytes) -> str:
    title = _TITLE.search(body[:_TITLE_WITHIN_BYTES])
    words = title[1].decode(errors="replace").strip() if title else ""
    return f"it is a page, {quoted(words, 80)}" if words else "it is a page, not JSON"


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _number(_: str) -> float:
    return 0.0


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_number, parse_int=_number)
_KINDS: dict[type, str] = {
    list: "an array",
    str: "a string",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}
