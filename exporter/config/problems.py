"""How an operator's mistake reads: the only place that words where it is and what was found."""

from __future__ import annotations

import re
from dataclasses import dataclass
from reprlib import Repr
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

#: Where a value stands in a file: keys and list positions, from the top.
Loc: TypeAlias = tuple[str | int, ...]

_BARE_KEY = re.compile("[A-Za-z0-9_-]{1,64}")
# What stands between // and the last @ may be a password, and may hold a slash.
_CREDENTIALS = re.compile(r"(?<=//)\S*(?=@)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong in a file, where, and what is wished instead.

    Attributes:
        file: As the operator named it.
        line: None when the file as a whole is meant.
        path: As in `issuers[3].url`; empty when the file as a whole is meant.
    """

    file: Path
    line: int | None = None
    path: str = ""
    message: str

    def __str__(self) -> str:
        place = f"{self.file}" if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(filter(None, (place, self.path, self.message)))


class _Short(Repr):
    """What `repr` gives, of bounded length at bounded cost, passwords hidden."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 120

    def repr_str(self, x: str, level: int) -> str:
        # Hidden before it is cut, or the cut could take the @ away.
        return super().repr_str(_CREDENTIALS.sub("***", x[:2000]), level)


_SHORT = _Short()


def path_to(loc: Loc) -> str:
    """*loc* as an operator reads it: `issuers[3].url`."""
    text = ""
    for step in loc:
        if isinstance(step, str) and _BARE_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{_SHORT.repr(step)}]"
    return text


def shown(value: object) -> str:
    """*value* as YAML would have it, on one line, cut to a bounded length, passwords hidden."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case _:
            return _SHORT.repr(value)
