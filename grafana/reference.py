"""What every panel answers, as the tables of docs/dashboards.md."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from grafana.names import Json

_MARKED = re.compile(r"<!-- BEGIN (\S+) -->.*?<!-- END \1 -->", re.DOTALL)


def refreshed(page: str, dashboards: Mapping[str, Json]) -> str:
    """*page* with the tables between its markers `BEGIN <uid>` and `END <uid>` made anew.

    Raises:
        KeyError: A marker names a dashboard that does not exist.
    """

    def made(match: re.Match[str]) -> str:
        uid = match[1]
        lines = "\n".join(_lines(dashboards[uid]))
        return f"<!-- BEGIN {uid} -->\n\n{lines}\n\n<!-- END {uid} -->"

    return _MARKED.sub(made, page)


def _lines(dashboard: Json) -> Iterator[str]:
    yield dashboard["description"]
    yield ""
    yield "| panel | what it answers |"
    yield "| --- | --- |"
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield f"| **{panel['title']}** | |"
        else:
            title = panel["title"].replace(" (vantage: $vantage)", ", for each vantage")
            yield f"| {title} | {panel['description'].replace('|', chr(92) + '|')} |"
