"""The tables of causes, failures and findings in the documentation, made from the advice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from exporter.advice import CAUSES, FAILURES, FINDINGS
from exporter.reasons import LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def refreshed(text: str) -> str:
    """*text* with everything between its `BEGIN` and `END` markers written anew.

    Raises:
        KeyError: A marker names a table that does not exist.
    """
    return _MARKED.sub(lambda match: _marked(match["name"]), text)


def causes() -> str:
    """A Markdown table of the causes."""
    return _table(("cause", "in a sentence"), ((cause, CAUSES[cause]) for cause in CAUSES))


def failures() -> str:
    """A Markdown table of every stage and reason."""
    return _table(
        ("stage", "reason", "in words", "cause", "known"),
        (
            (f"`{stage}`", _anchored(a.anchor, reason), a.title, a.cause, a.mark)
            for (stage, reason), a in FAILURES.items()
        ),
    )


def findings() -> str:
    """A Markdown table of every code."""
    return _table(
        ("code", "level", "in words", "cause", "known"),
        (
            (_anchored(a.anchor, code), LEVELS[code], a.title, a.cause, a.mark)
            for code, a in FINDINGS.items()
        ),
    )


_TABLES = {"causes": causes, "failures": failures, "findings": findings}
_MARKED = re.compile(r"<!-- BEGIN (?P<name>\w+) -->.*?<!-- END (?P=name) -->", re.DOTALL)


def _marked(name: str) -> str:
    return f"<!-- BEGIN {name} -->\n{_TABLES[name]()}\n<!-- END {name} -->"


def _anchored(anchor: str, word: str) -> str:
    return f'<a id="{anchor}"></a>`{word}`'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(_row(cells) for cells in (head, ["---"] * len(head), *rows))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
