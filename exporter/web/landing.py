"""The landing page: every issuer in one table, for a person without Grafana at hand."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from itertools import chain, islice
from typing import TYPE_CHECKING

from exporter import __version__
from exporter.advice import for_failure
from exporter.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from exporter.model import Report
    from exporter.state import State

#: A page of ten thousand rows would hold the loop for a tenth of a second, and no reader
#: gets past the first hundred; those that need attention stand above the others.
ROWS = 500

_STYLE = """
:root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}
body{max-width:76rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #8884;
overflow-wrap:anywhere;vertical-align:top}
.failing{color:light-dark(#b00020,#ff6b6b);font-weight:600}
.usable{color:light-dark(#1a7f37,#4ac26b)}
small{opacity:.7}
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

#: Nothing but this page's own style: a hostile document that got past escaping would
#: still have nothing to load, to run or to send to.
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link of the page's head line; *path* is relative to the exporter's own root."""

    path: str
    text: str


def page(states: Sequence[State], links: Sequence[Link], *, prefix: str) -> str:
    """The whole page; every value in it is escaped, whoever wrote it."""
    failing = [state for state in states if state.report and not state.report.is_success]
    rest = (state for state in states if not state.report or state.report.is_success)
    rows = "".join(map(_row, islice(chain(failing, rest), ROWS)))
    shown = f"{min(len(states), ROWS)} of {len(states)} issuers, {len(failing)} failing"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>OIDC issuer exporter</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>OIDC issuer exporter</h1>
<p>{_links(links, prefix)}</p>
<table>
<caption>{shown}</caption>
<thead><tr><th scope="col">Issuer<th scope="col">State<th scope="col">Cause
<th scope="col">Since<th scope="col">Time</tr></thead>
<tbody>
{rows}</tbody>
</table>
<p><small>Version {escape(__version__)}</small></p>
</body>
</html>
"""


def _links(links: Iterable[Link], prefix: str) -> str:
    return " · ".join(
        f'<a href="{escape(prefix + link.path)}">{escape(link.text)}</a>' for link in links
    )


def _row(state: State) -> str:
    cells = "".join(f"<td>{cell}" for cell in _cells(state))
    name = f"{escape(state.issuer.name)}<br><small>{escape(state.issuer.url)}</small>"
    return f'<tr><th scope="row">{name}{cells}</tr>\n'


def _cells(state: State) -> Iterator[str]:
    report = state.report
    if report is None:
        yield from ("not probed yet", "", "", "")
    elif report.failure is None:
        yield '<span class="usable">usable</span>'
        yield ""
        yield ""
        yield _time(report)
    else:
        advice = for_failure(report.failure, report.issuer.url)
        kind = f"{report.failure.document} {report.failure.stage}/{report.failure.reason}"
        detail = f"{kind}: {report.failure.detail}" if report.failure.detail else kind
        yield '<span class="failing">failing</span>'
        yield f"{escape(advice.title)}<br><small>{escape(clean(detail))}</small>"
        yield _since(state)
        yield _time(report)


def _time(report: Report) -> str:
    return f"{report.duration_seconds:.3f} s of {report.issuer.budget_seconds:g} s"


def _since(state: State) -> str:
    if state.failing_since_timestamp_seconds is None:
        return ""
    moment = datetime.fromtimestamp(state.failing_since_timestamp_seconds, UTC)
    return f"<time>{moment:%Y-%m-%d %H:%M:%S} UTC</time>"
