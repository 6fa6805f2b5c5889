"""What stands around the panels of a dashboard: variables, marks, links, places."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.fields import DATASOURCE
from grafana.model import COLUMNS
from grafana.names import Json, checked

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA_VERSION = 39
#: Grafana's words: again whenever the time changes; sorted by letters.
_ON_TIME_CHANGE, _BY_LETTER, _HIDDEN = 2, 1, 2


def dashboard(
    uid: str,
    title: str,
    description: str,
    panels: Sequence[Json],
    *,
    variables: Sequence[Json],
    annotations: Sequence[Json],
    to: Sequence[Json],
    since: str = "now-6h",
    refresh: str = "1m",
) -> Json:
    """A whole dashboard; its panels flow from left to right, as words in a text do."""
    return {
        "id": None,
        "uid": uid,
        "title": f"OIDC / {title}",
        "description": description,
        "tags": ["oidc"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "fiscalYearStartMonth": 0,
        # One cross-hair on all panels: what happened at the same moment?
        "graphTooltip": 1,
        "liveNow": False,
        "refresh": refresh,
        "time": {"from": since, "to": "now"},
        "timepicker": {},
        "timezone": "",
        "weekStart": "",
        "annotations": {"list": list(annotations)},
        "links": list(to),
        "templating": {"list": [_datasource(), *variables]},
        "panels": _placed(panels),
    }


def _placed(panels: Sequence[Json]) -> list[Json]:
    found: list[Json] = []
    x = y = height = 0
    for number, panel in enumerate(panels, start=1):
        size = panel.get("gridPos", {"w": COLUMNS, "h": 1})
        if x + size["w"] > COLUMNS:
            x, y, height = 0, y + height, 0
        found.append(panel | {"id": number, "gridPos": {**size, "x": x, "y": y}})
        x, height = x + size["w"], max(height, size["h"])
    return found


def variable(
    name: str,
    label: str,
    query: str,
    *,
    description: str,
    every: str = ".+",
    multi: bool = True,
    shown: bool = True,
) -> Json:
    """A variable filled from the labels of a series; *every* is what All stands for."""
    found: Json = {
        "name": name,
        "label": label,
        "description": description,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor"},
        "hide": 0 if shown else _HIDDEN,
        "includeAll": multi,
        "multi": multi,
        "options": [],
        "refresh": _ON_TIME_CHANGE,
        "regex": "",
        "skipUrlSync": False,
        "sort": _BY_LETTER,
    }
    if not multi:
        return found | {"current": {}}
    chosen = {"selected": True, "text": ["All"], "value": ["$__all"]}
    return found | {"allValue": every, "current": chosen}


def _datasource() -> Json:
    return {
        "name": "datasource",
        "label": "Data source",
        "description": "The Prometheus that scrapes the exporters and evaluates their rules.",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
    }


def annotation(
    name: str,
    expr: str,
    *,
    says: tuple[str, str],
    color: str,
    at_value: bool = False,
    on: bool = True,
) -> Json:
    """Marks on every graph while *expr* has an answer, or *at_value*, in milliseconds."""
    title, text = says
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": on,
        "hide": False,
        "iconColor": color,
        "expr": checked(expr.strip()),
        "step": "60s",
        "titleFormat": title,
        "textFormat": text,
        "tagKeys": "",
        "useValueForTime": at_value,
    }


def dashboard_link(title: str, url: str, *, all_variables: bool = True) -> Json:
    """A link in the head of a dashboard, which keeps the time and the variables."""
    return _link(title, url) | {"includeVars": all_variables, "keepTime": True}


def page_link(title: str, url: str) -> Json:
    """A link in the head of a dashboard to somewhere else."""
    return _link(title, url) | {"icon": "doc", "targetBlank": True}


def _link(title: str, url: str) -> Json:
    return {
        "asDropdown": False,
        "icon": "dashboard",
        "includeVars": False,
        "keepTime": False,
        "tags": [],
        "targetBlank": False,
        "title": title,
        "tooltip": "",
        "type": "link",
        "url": url,
    }
