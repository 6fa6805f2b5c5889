"""The dashboards as Grafana's own SDK reads and writes them.

Its models are generated from Grafana's schemas: what they do not know gets lost on the way,
and what they want besides appears. Both must be nothing but what is named here.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.panels import DASHBOARDS

if TYPE_CHECKING:
    from collections.abc import Iterator

register_default_plugins()

#: What a dashboard leaves out because Grafana assumes just that, by the place and as JSON.
DEFAULTS = {
    ".annotations.list[].builtIn": "0",
    ".annotations.list[].placement": '"inControlsMenu"',
    ".links[].placement": '"inControlsMenu"',
    ".panels[].options.frameIndex": "0",
    ".panels[].options.percentChangeColorMode": '"standard"',
    ".panels[].options.selectionMode": '"x"',
    ".panels[].options.showPercentChange": "false",
    ".panels[].options.showTypeIcons": "false",
    ".panels[].repeatDirection": '"h"',
    ".panels[].transparent": "false",
    ".templating.list[].allowCustomValue": "true",
    ".templating.list[].auto": "false",
    ".templating.list[].auto_count": "30",
    ".templating.list[].auto_min": '"10s"',
    ".templating.list[].current.text": '""',
    ".templating.list[].current.value": '""',
    ".timepicker.hidden": "false",
    ".timepicker.refresh_intervals": (
        '["5s", "10s", "30s", "1m", "5m", "15m", "30m", "1h", "2h", "1d"]'
    ),
    # The SDK takes the link of a cell for one of a dashboard's head, which has more.
    **{
        f".panels[].fieldConfig.defaults.links[].{name}": value
        for name, value in {
            "asDropdown": "false",
            "icon": '""',
            "includeVars": "false",
            "keepTime": "false",
            "placement": '"inControlsMenu"',
            "tags": "[]",
            "tooltip": '""',
            "type": '"link"',
        }.items()
    },
}
#: What stands there for other versions of Grafana than the SDK's.
FOR_OTHERS = {
    # To import it as a new dashboard; written out, where the SDK leaves it out.
    ".id": "null",
}


def differences(ours: Any, theirs: Any, place: str = "") -> Iterator[tuple[str, str, str]]:
    """What kind of difference, where, and what it is about, as JSON."""
    match ours, theirs:
        case dict(), dict():
            for key in {**ours, **theirs}:
                at = f"{place}.{key}"
                if key not in theirs:
                    yield "lost", at, json.dumps(ours[key])
                elif key not in ours:
                    yield "added", at, json.dumps(theirs[key])
                else:
                    yield from differences(ours[key], theirs[key], at)
        case list(), list() if len(ours) == len(theirs):
            for one, other in zip(ours, theirs, strict=True):
                yield from differences(one, other, f"{place}[]")
        case _ if json.dumps(ours) != json.dumps(theirs):
            yield "changed", place, f"{json.dumps(ours)} -> {json.dumps(theirs)}"


def round_trip(dashboard: dict[str, Any]) -> Any:
    return json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))


def complaints(dashboard: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (kind, place, value)
        for kind, place, value in differences(dashboard, round_trip(dashboard))
        if (kind, DEFAULTS.get(place)) != ("added", value)
        if (kind, FOR_OTHERS.get(place)) != ("lost", value)
    ]


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_grafanas_sdk_knows_everything_that_a_dashboard_says(uid):
    assert complaints(DASHBOARDS[uid]) == []


def test_no_exception_is_made_for_nothing():
    every = {
        (kind, place)
        for dashboard in DASHBOARDS.values()
        for kind, place, _ in differences(dashboard, round_trip(dashboard))
    }

    assert {place for kind, place in every if kind == "added"} == set(DEFAULTS)
    assert {place for kind, place in every if kind == "lost"} == set(FOR_OTHERS)


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        ("options", "legendd", {}),
        ("options", "tooltip", {"mode": "multi", "sorting": "desc"}),
        ("gridPos", "z", 1),
        ("fieldConfig", "default", {}),
    ],
)
def test_a_key_that_nobody_knows_is_found(where, key, value):
    dashboard = copy.deepcopy(DASHBOARDS["oidc-slo"])
    panel = next(panel for panel in dashboard["panels"] if panel["type"] == "timeseries")
    panel[where][key] = value

    assert [kind for kind, _, _ in complaints(dashboard)][:1] == ["lost"]


def test_a_value_of_another_type_is_found():
    dashboard = copy.deepcopy(DASHBOARDS["oidc-slo"])
    dashboard["panels"][0]["fieldConfig"]["defaults"]["mappings"] = [{"type": "values"}]

    with pytest.raises(KeyError):
        complaints(dashboard)
