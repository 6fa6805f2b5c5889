"""Codes and numbers turned into words and colours: Grafana's value mappings.

The words are those of the exporter's own advice. Red, amber and green mean a state and
nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.prometheus.build import RUNBOOKS
from exporter.advice import FAILURES, FINDINGS
from grafana.names import Json, threshold

if TYPE_CHECKING:
    from collections.abc import Mapping

RED, AMBER, GREEN = "red", "orange", "green"
#: For what nobody knows or minds.
GREY, PLAIN = "#8e8e8e", "text"
#: For what is there, be it good or bad.
BLUE = "#5794F2"

#: Sorted, the worst comes first.
UNUSABLE, UNKNOWN, DEGRADED, GOOD = range(4)


def mapped(words: Mapping[object, tuple[str, str | None]]) -> list[Json]:
    """Value mappings from values to text and colour."""
    options = {
        str(value): {"text": text, "index": index} | ({"color": color} if color else {})
        for index, (value, (text, color)) in enumerate(words.items())
    }
    return [{"type": "value", "options": options}]


#: In timelines, see `expressions.or_nothing`; beyond every other value.
NOTHING = -1
NOTHING_KNOWN = mapped({NOTHING: ("nothing known", GREY)})
NO_WAIT = mapped({0: ("no", None)})
#: The time of what has not been since the exporter started.
NEVER = mapped({0: ("none since its start", None)})
STATE = mapped(
    {
        UNUSABLE: ("unusable", RED),
        UNKNOWN: ("no fresh result", GREY),
        DEGRADED: ("degraded", AMBER),
        GOOD: ("good", GREEN),
    }
)
LINK = mapped({0: ("fails", RED), 1: ("not reached", GREY), 2: ("passes", GREEN)})
VOTE = mapped({0: ("fails", RED), 1: ("good", GREEN)})
YES_NO = mapped({0: ("no", RED), 1: ("yes", GREEN)})
CACHEABLE = mapped({0: ("no-cache", AMBER), 1: ("cacheable", GREEN)})
#: What stopped a probe, by `stage-reason`; the fragments of the runbooks are the same.
CAUSE = mapped(
    {
        "good": ("good", GREEN),
        "unknown": ("no result", GREY),
        **{advice.anchor: (advice.title, RED) for advice in FAILURES.values()},
    }
)
FINDING = mapped({code: (advice.title, None) for code, advice in FINDINGS.items()})
SEVERITY = mapped({"critical": ("critical", RED), "warning": ("warning", AMBER)})
UP = mapped({0: ("down", RED), 1: ("up", GREEN)})
RELOAD = mapped({0: ("refused", AMBER), 1: ("accepted", GREEN)})
IN_FORCE = mapped({1: ("in force", BLUE)})
PUBLISHED = mapped({1: ("published", BLUE)})
DOCUMENT = mapped({"discovery": ("discovery", None), "jwks": ("key set", None)})
SCOPE = mapped({"global": ("global", GREEN)})
LEVEL = mapped(
    {"failure": ("failure", RED), "warning": ("warning", AMBER), "notice": ("notice", None)}
)


def nothing(text: str) -> Json:
    """A mapping of the lack of a value, which Grafana would paint as the lowest threshold.

    Not of `null+nan`: to JavaScript every word is no number.
    """
    result = {"text": text, "color": GREY, "index": 0}
    return {"type": "special", "options": {"match": "null", "result": result}}


def _range(low: float, high: float, text: str, color: str) -> Json:
    result = {"text": text, "color": color} if text else {"color": color}
    return {"type": "range", "options": {"from": low, "to": high, "result": result}}


STATUS = [
    _range(200, 200, "200", GREEN),
    _range(201, 399, "", AMBER),
    _range(400, 599, "", RED),
]


def steps(*bounds: tuple[float | None, str]) -> Json:
    """Thresholds: from each bound on its colour; the first bound is None."""
    return {
        "mode": "absolute",
        "steps": [{"value": bound, "color": color} for bound, color in bounds],
    }


NEUTRAL = steps((None, PLAIN))
#: Nothing is fine, anything is bad.
NONE_IS_GOOD = steps((None, GREEN), (1, RED))
SOME_IS_GOOD = steps((None, RED), (1, GREEN))
NONE_IS_BETTER = steps((None, GREEN), (1, AMBER))
ALWAYS_BAD = steps((None, RED))
ALWAYS_WORRYING = steps((None, AMBER))
EXPIRED = steps((None, RED), (0, PLAIN))
#: A latency as a share of the budget.
OF_BUDGET = steps(
    (None, GREEN),
    (threshold("oidc:threshold:latency_warning_ratio"), AMBER),
    (threshold("oidc:threshold:latency_critical_ratio"), RED),
)
#: What is left of the error budget; nothing left is a missed objective.
BUDGET_LEFT = steps((None, RED), (0, GREEN))
#: How far beyond its budget an issuer is says nothing more, and would need five digits.
SPENT = [_range(-1e9, -1e-9, "spent", RED)]


def link(title: str, url: str, *, new_tab: bool = False) -> Json:
    """A link of a cell or a value."""
    return {"title": title, "url": url, "targetBlank": new_tab}


def dashboard_url(uid: str, *carried: str, **chosen: str) -> str:
    """Another dashboard with this one's time, the variables *carried*, and others *chosen*."""
    query = [f"${{{name}:queryparam}}" for name in ("datasource", *carried)]
    query += [f"var-{name}={value}" for name, value in chosen.items()]
    return f"/d/{uid}?{'&'.join([*query, '${__url_time_range}'])}"


def to_issuer(name: str = "${__data.fields.issuer}") -> Json:
    """A link to the dashboard of the issuer in the same row."""
    url = dashboard_url("oidc-issuer", "job", "instance", "vantage", issuer=name)
    return link("Show this issuer", url)


def to_cause(fragment: str = "${__value.raw}") -> Json:
    """A link to what the runbooks say about the failure in this cell."""
    return link("What to do", f"{RUNBOOKS}/causes.md#{fragment}", new_tab=True)


def to_runbook() -> Json:
    """A link to the runbook of the alert in this cell."""
    return link("Open the runbook", f"{RUNBOOKS}/${{__value.raw}}.md", new_tab=True)


def to_exporter() -> Json:
    """A link to the dashboard of the exporter in this cell."""
    url = dashboard_url("oidc-exporter", "job", "vantage", instance="${__value.raw}")
    return link("Show this exporter", url)
