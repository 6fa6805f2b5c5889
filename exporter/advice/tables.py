"""The tables of causes, failures and findings in the documentation, made from the advice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from exporter.advice import CAUSES, FAILURES, FINDINGS, runbooks
from exporter.advice.markdown import table
from exporter.reasons import LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def refreshed(text: str) -> str:
    """*text* with everything between its `BEGIN` and `END` markers written anew.

    A marker may carry a word for its table: `BEGIN reasons OIDCIssuerDNSFailing`.

    Raises:
        KeyError: A marker names a table that does not exist.
    """
    return _MARKED.sub(lambda match: _marked(match["name"], match["words"].split()), text)


def causes() -> str:
    """A Markdown table of the causes."""
    return table(("cause", "in a sentence"), ((cause, CAUSES[cause]) for cause in CAUSES))


def failures() -> str:
    """A Markdown table of every stage and reason."""
    return table(
        ("stage", "reason", "in words", "cause", "known"),
        (
            (f"`{stage}`", _anchored(a.anchor, reason), a.title, a.cause, a.mark)
            for (stage, reason), a in FAILURES.items()
        ),
    )


def findings() -> str:
    """A Markdown table of every code."""
    return table(
        ("code", "level", "in words", "cause", "known"),
        (
            (_anchored(a.anchor, code), LEVELS[code], a.title, a.cause, a.mark)
            for code, a in FINDINGS.items()
        ),
    )


_TABLES: Mapping[str, Callable[..., str]] = {
    "causes": causes,
    "failures": failures,
    "findings": findings,
    "stage": runbooks.stage,
    "codes": runbooks.codes,
    "reasons": runbooks.reasons,
}
_MARKED = re.compile(
    r"<!-- BEGIN (?P<name>\w+)(?P<words>[ \w]*) -->.*?<!-- END (?P=name) -->", re.DOTALL
)


def _marked(name: str, words: Sequence[str]) -> str:
    begin = " ".join((name, *words))
    return f"<!-- BEGIN {begin} -->\n{_TABLES[name](*words)}\n<!-- END {name} -->"


def _anchored(anchor: str, word: str) -> str:
    return f'<a id="{anchor}"></a>`{word}`'
