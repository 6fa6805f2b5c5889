"""A YAML or JSON file as plain values that know their lines: the only place that parses one.

Plain scalars are read by YAML 1.2, so YAML 1.1's surprises stay text: `no`, `on`, `1:30` and
`2026-01-01`. The values are built from the parser's events: composing nodes is four times
slower, and recursive in C, where deep nesting ends the process instead of raising.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

import yaml

from exporter.config.problems import Problem, path_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from exporter.config.problems import Loc

MAX_DEPTH: Final = 20
#: An alias counts for all that it stands for: nine short lines can name a billion values.
#: Ten thousand issuers with every key written out take a quarter of it.
MAX_VALUES: Final = 1_000_000

# PyYAML's events: its stubs make every mark optional, which no event of a parser has.
_Event: TypeAlias = Any

# The pure Python parser, where PyYAML was built without libyaml, is ten times slower.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# YAML 1.2.2 section 10.3.2, the core schema, less what no key takes: octal and hexadecimal
# numbers, .inf and .nan stay text. A longer integer becomes a float, which no key takes.
_PLAIN: tuple[tuple[re.Pattern[str], Callable[[str], object]], ...] = (
    (re.compile("null|Null|NULL|~|"), lambda _: None),
    (re.compile("true|True|TRUE"), lambda _: True),
    (re.compile("false|False|FALSE"), lambda _: False),
    (re.compile("[-+]?[0-9]{1,18}"), int),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
)
_MAYBE_NOT_TEXT = frozenset("nN~tTfF+-.0123456789")
_TEXT_TAGS = frozenset({None, "!", "tag:yaml.org,2002:str"})

# YAML 1.2.2 section 5.1. Asked before parsing: PyYAML names such a character without a line.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SURROGATES = re.compile(r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file that was parsed.

    Attributes:
        value: None for an empty file; else made of dict, list, str, int, float, bool, None.
        lines: Of every key and list entry, as far as it is written out.
    """

    path: Path
    value: object
    lines: Mapping[Loc, int]

    def problem(self, loc: Loc, message: str) -> Problem:
        """The *message* about what stands at *loc*, or should."""
        outwards = (loc[:length] for length in range(len(loc), 0, -1))
        line = next((self.lines[part] for part in outwards if part in self.lines), None)
        return Problem(file=self.path, line=line, path=path_to(loc), message=message)


def parse(path: Path, content: bytes) -> tuple[Source | None, list[Problem]]:
    """Parse *content* of the file *path*: one document of YAML, of which JSON is a part.

    Returns:
        What it says, and a problem for each repeated key; or None and the one problem that
        stopped the parser.
    """
    try:
        tree = _Tree(yaml.parse(_decode(content, path), Loader=_LOADER))
        source = Source(path=path, value=tree.document(), lines=tree.lines)
    except (_StopError, yaml.MarkedYAMLError) as error:
        return None, [_explain(error, path)]
    return source, tree.repeated(path)


class _StopError(Exception):
    """Nothing after *line* can be read."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def _decode(content: bytes, path: Path) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _StopError(content[: error.start].count(b"\n") + 1, "not UTF-8") from None
    if found := _FORBIDDEN.search(text):
        line = text[: found.start()].count("\n") + 1
        raise _StopError(line, f"not YAML: the character {found[0]!r} must not stand there")
    return _SURROGATES.sub(_joined, text) if path.suffix == ".json" else text


def _joined(found: re.Match[str]) -> str:
    # JSON escapes what lies beyond U+FFFF in two halves, YAML only as a whole.
    return bytes.fromhex(found[1] + found[2]).decode("utf-16-be")


def _explain(error: _StopError | yaml.MarkedYAMLError, path: Path) -> Problem:
    if isinstance(error, _StopError):
        return Problem(file=path, line=error.line, message=str(error))
    mark = error.problem_mark
    assert mark is not None  # noqa: S101 - only an emitter's errors have none
    message = f"not YAML: {error.problem} (column {mark.column + 1})"
    if "cannot start any token" in message:
        message += "; indent with spaces, and quote text that begins with @, ` or %"
    return Problem(file=path, line=mark.line + 1, message=message)


class _Tree:
    """Values built from one parser's events."""

    def __init__(self, events: Iterator[_Event]) -> None:
        self.lines: dict[Loc, int] = {}
        self._again: list[tuple[int, Loc]] = []
        self._events = events
        self._anchors: dict[str, tuple[object, int]] = {}
        self._count = 0

    def document(self) -> object:
        next(self._events)  # the stream begins
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        value = self._value(next(self._events), ())
        next(self._events)  # the document ends
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            _stop(event, "want one document, got another one")
        return value

    def repeated(self, path: Path) -> list[Problem]:
        return [
            Problem(
                file=path,
                line=line,
                path=path_to(loc),
                message=f"stands twice, first in line {self.lines[loc]}",
            )
            for line, loc in self._again
        ]

    def _value(self, event: _Event, loc: Loc) -> object:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before = self._count
        self._add(1, event)
        value = (
            _scalar(event) if isinstance(event, yaml.ScalarEvent) else self._many(event, loc)
        )
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._count - before)
        return value

    def _many(self, event: _Event, loc: Loc) -> object:
        if event.tag is not None:
            _stop(event, f"want no tag, got {event.tag!r:.70}")
        if len(loc) >= MAX_DEPTH:
            _stop(event, f"nested more than {MAX_DEPTH} deep")
        is_list = isinstance(event, yaml.SequenceStartEvent)
        return self._list(loc) if is_list else self._mapping(loc)

    def _list(self, loc: Loc) -> list[object]:
        values: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            here = (*loc, len(values))
            self.lines[here] = event.start_mark.line + 1
            values.append(self._value(event, here))
        return values

    def _mapping(self, loc: Loc) -> dict[str, object]:
        values: dict[str, object] = {}
        merged: list[dict[str, object]] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = _key(event)
            here, line = (*loc, key), event.start_mark.line + 1
            if key in values:
                self._again.append((line, here))
            else:
                self.lines[here] = line
            value = self._value(next(self._events), here)
            if key == "<<" and event.implicit[0]:
                merged += _mappings(event, value)
            else:
                values[key] = value
        # What an entry says itself goes before what it merges.
        for mapping in merged:
            values = mapping | values
        return values

    def _alias(self, event: _Event) -> object:
        # An anchor is known once its value is complete, so nothing can contain itself.
        if event.anchor not in self._anchors:
            _stop(event, f"the alias *{event.anchor:.70} has no anchor above it")
        value, count = self._anchors[event.anchor]
        self._add(count, event)
        return value

    def _add(self, count: int, event: _Event) -> None:
        self._count += count
        if self._count > MAX_VALUES:
            _stop(event, f"more than {MAX_VALUES} values, counting an alias for all it names")


def _scalar(event: _Event) -> object:
    text: str = event.value
    if event.tag not in _TEXT_TAGS:
        _stop(event, f"want no tag, got {event.tag!r:.70}")
    if not event.implicit[0] or (text and text[0] not in _MAYBE_NOT_TEXT):
        return text
    return next((read(text) for form, read in _PLAIN if form.fullmatch(text)), text)


def _key(event: _Event) -> str:
    key = _scalar(event) if isinstance(event, yaml.ScalarEvent) else None
    if not isinstance(key, str):
        _stop(event, "want text as a key")
    return key


def _mappings(event: _Event, value: object) -> list[dict[str, object]]:
    values = value if isinstance(value, list) else [value]
    mappings = [mapping for mapping in values if isinstance(mapping, dict)]
    if len(mappings) < len(values):
        _stop(event, "want << to name a mapping, or a list of mappings")
    return mappings


def _stop(event: _Event, message: str) -> NoReturn:
    raise _StopError(event.start_mark.line + 1, message)
