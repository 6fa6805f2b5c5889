"""What one value of the configuration may be: the only place that reads one.

Each kind says itself three times: as a reader, as a wish in words, and as JSON Schema for
editors. Refused is what is certainly a slip. An issuer that STS could never use, by plain
http say, is none: the probe says so, and the rest of the configuration goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import core_schema

from exporter.config.problems import shown
from exporter.durations import BYTES_PATTERN, DURATION_PATTERN, parse_bytes, parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class HintError(ValueError):
    """A value is refused for a reason that the wish alone does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of value, to annotate a pydantic field with.

    Attributes:
        wish: What is taken, in words that follow "want".
        read: From what YAML gave to what the exporter keeps. Raises ValueError for all else.
        schema: The same as JSON Schema, as far as that can say it.
    """

    wish: str
    read: Callable[[object], object]
    schema: Mapping[str, object]

    def check(self, value: object) -> object:
        """What *value* means. Raises ValueError with a sentence for the operator."""
        try:
            return self.read(value)
        except ValueError as error:
            hint = f"; {error}" if isinstance(error, HintError) else ""
            raise ValueError(f"want {self.wish}, got {shown(value)}{hint}") from None

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> Any:  # noqa: ANN401
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(self, _schema: object, _handler: object) -> dict[str, Any]:
        return dict(self.schema)


def or_null(kind: Kind, meaning: str) -> Kind:
    """*kind*, or null, which stands for *meaning*."""
    return Kind(
        wish=f"{kind.wish}, or null for {meaning}",
        read=lambda value: None if value is None else kind.read(value),
        schema={"anyOf": [kind.schema, {"type": "null"}]},
    )


def string(value: object) -> str:
    """*value*, if it is text. Raises ValueError if it is not."""
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - pydantic takes no TypeError
    return value


def text(least: int, most: int, *, is_ascii: bool = False) -> Kind:
    """Printable text of *least* to *most* characters, without spaces around it."""
    script = "ASCII" if is_ascii else "printable"
    count = f"{least} to {most}" if least else f"at most {most}"

    def read(value: object) -> str:
        if isinstance(value, bool | int | float):
            raise HintError(f"text needs quotes here: '{shown(value)}'")
        checked = string(value)
        if not checked.isprintable() or checked != checked.strip():
            raise HintError("it holds or ends with what cannot be seen")
        if is_ascii and not checked.isascii():
            raise ValueError
        if not least <= len(checked) <= most:
            raise HintError(f"it has {len(checked)} of them")
        return checked

    return Kind(
        wish=f"{count} {script} characters",
        read=read,
        schema={"type": "string", "minLength": least, "maxLength": most},
    )


def whole(least: int, most: int) -> Kind:
    """A whole number from *least* to *most*."""

    def read(value: object) -> int:
        # Not isinstance: True is an int as well.
        if type(value) is not int or not least <= value <= most:
            raise ValueError
        return value

    return Kind(
        wish=f"a whole number from {least} to {most}",
        read=read,
        schema={"type": "integer", "minimum": least, "maximum": most},
    )


def duration(least: str, most: str) -> Kind:
    """A duration, read as seconds; *least* and *most* are written as durations too."""
    shortest, longest = parse_duration(least), parse_duration(most)

    def read(value: object) -> float:
        if type(value) is int:
            raise HintError(f"write its unit: {value}s")
        seconds = parse_duration(string(value))
        if not shortest <= seconds <= longest:
            raise ValueError
        return seconds

    return Kind(
        wish=f"a duration from {least} to {most}, such as 1m30s",
        read=read,
        schema={"type": "string", "pattern": DURATION_PATTERN},
    )


def size(least: str, most: str) -> Kind:
    """A number of bytes; *least* and *most* are written with their units."""
    fewest, greatest = parse_bytes(least), parse_bytes(most)

    def read(value: object) -> int:
        count = value if type(value) is int else parse_bytes(string(value))
        if not fewest <= count <= greatest:
            raise ValueError
        return count

    number = {"type": "integer", "minimum": fewest, "maximum": greatest}
    return Kind(
        wish=f"a size from {least} to {most}, such as 512KiB",
        read=read,
        schema={"anyOf": [{"type": "string", "pattern": BYTES_PATTERN}, number]},
    )


def choice(meanings: Mapping[str, object]) -> Kind:
    """One of a few words, read as what it stands for."""

    def read(value: object) -> object:
        if value not in list(meanings):
            raise ValueError
        return meanings[string(value)]

    *others, last = meanings
    return Kind(
        wish=f"{', '.join(others)} or {last}" if others else last,
        read=read,
        schema={"type": "string", "enum": list(meanings)},
    )


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - pydantic takes no TypeError
    return value


SWITCH = Kind(wish="true or false", read=_switch, schema={"type": "boolean"})
