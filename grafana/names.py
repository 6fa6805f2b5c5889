"""The series that dashboards may read: the exporter's own, and what the rules record.

Nothing else passes `checked`, so a metric that is renamed, and a label value that is gone,
stop the build instead of emptying a panel.
"""

from __future__ import annotations

import ast
import difflib
import operator
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from exporter.catalogue import METRICS
from exporter.families import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.metric import Metric

ROOT = Path(__file__).parent.parent
_RULES = ROOT / "deploy" / "prometheus" / "rules"

#: What Prometheus itself tells of its targets and its alerts.
OF_PROMETHEUS = frozenset(
    {"up", "scrape_duration_seconds", "scrape_samples_scraped", "ALERTS", "ALERTS_FOR_STATE"}
)
#: Labels of targets, of every issuer's series and of histograms; no metric lists them.
_COMMON_LABELS = frozenset({"job", "instance", "vantage", "issuer", "le"})
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "inf", "nan"})
_ARITHMETIC = {ast.Add: operator.add, ast.Mult: operator.mul, ast.Div: operator.truediv}


class UnknownNameError(Exception):
    """An expression reads what neither the exporter nor the rules know."""

    def __init__(self, name: str, known: frozenset[str], expr: str) -> None:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        super().__init__(f"nobody knows {name}{hint}\nin the expression\n{expr}")


def _recorded() -> Iterator[tuple[str, str]]:
    for path in sorted(_RULES.glob("*.yaml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                if "record" in rule:
                    yield rule["record"], rule["expr"]


#: Expressions of the recording rules, by the name of what they record.
RECORDED: Mapping[str, str] = dict(_recorded())
_METRICS: Mapping[str, Metric] = {name: m for m in METRICS for name in m.series_names}
_OF_ISSUERS = frozenset(name for m in FAMILIES for name in m.series_names)
KNOWN = frozenset(_METRICS) | frozenset(RECORDED) | OF_PROMETHEUS


def threshold(name: str) -> float:
    """The number behind a recorded constant such as `oidc:threshold:quorum_ratio`."""
    if name not in RECORDED:
        raise UnknownNameError(name, KNOWN, name)
    constant = re.fullmatch(r"vector\((.*)\)", RECORDED[name].strip())
    if constant is None:
        raise TypeError(f"{name} is no constant: {RECORDED[name]}")
    return _number(ast.parse(constant[1], mode="eval").body)


def _number(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.BinOp(left=left, op=op, right=right):
            return float(_ARITHMETIC[type(op)](_number(left), _number(right)))
    raise TypeError(f"no arithmetic: {ast.unparse(node)}")


@dataclass(frozen=True, kw_only=True)
class Selectors:
    """Selectors that narrow a series to what the variables of a dashboard have chosen.

    Attributes:
        issuer: Operator and variable: a dashboard about one issuer takes the name literally.
            Empty where issuers are not chosen among.
    """

    issuer: str = '=~"$issuer"'

    def __call__(self, name: str, **matchers: str) -> str:
        """The selector of *name*; a matcher's value begins with its operator.

        `of("oidc_cacheable", document='="jwks"')` narrows by document as well.
        """
        chosen = {
            variable: self.issuer if variable == "issuer" else f'=~"${variable}"'
            for variable in variables_of(name)
            if variable != "issuer" or self.issuer
        }
        body = ",".join(f"{label}{value}" for label, value in {**chosen, **matchers}.items())
        return f"{name}{{{body}}}" if body else name


def variables_of(name: str) -> tuple[str, ...]:
    """The variables of dashboards that are labels of the series *name* as well."""
    if name in OF_PROMETHEUS:
        return () if name.startswith("ALERTS") else ("job", "instance", "vantage")
    if name in _METRICS:
        return ("job", "instance", "vantage", *(["issuer"] if name in _OF_ISSUERS else []))
    if name not in RECORDED:
        raise UnknownNameError(name, KNOWN, name)
    level, what, *_ = name.split(":")
    if level == "instance":
        # What is recorded of exporters as a whole says so in its second word.
        of_exporter = what.startswith(("oidc_exporter", "oidc_issuers"))
        return ("job", "instance", "vantage", *([] if of_exporter else ["issuer"]))
    by_level = {"issuer": ("issuer",), "issuer_vantage": ("issuer", "vantage")}
    return {**by_level, "vantage": ("vantage",)}.get(level, ())


def checked(expr: str) -> str:
    """*expr*, if it reads only series, labels and label values that exist."""
    for name in series_in(expr):
        if name not in KNOWN:
            raise UnknownNameError(name, KNOWN, expr)
    for name, matchers in re.findall(r"([\w:]+)\{([^}]*)\}", expr):
        for label, _, value in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', matchers):
            _check_label(name, label, value, expr)
    return expr


def _check_label(name: str, label: str, value: str, expr: str) -> None:
    if name not in _METRICS or label in _COMMON_LABELS:
        return
    labels = {label.name: label for label in _METRICS[name].labels}
    if label not in labels:
        raise UnknownNameError(f"label {label} of {name}", frozenset(labels), expr)
    closed = frozenset(labels[label].values)
    for word in re.findall(r"\w+(?:-\w+)*", value):
        if closed and word not in closed:
            raise UnknownNameError(f'{label}="{word}" of {name}', closed, expr)


def series_in(expr: str) -> set[str]:
    """The series that *expr* reads, by name."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", expr)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\$\{?\w+\}?", " ", bare)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    found = re.findall(r"(?<![\w:.])[A-Za-z_:][\w:]*(?![\w:]|\s*\()", bare)
    return {name for name in found if name.lower() not in _WORDS and name not in _AGGREGATIONS}


# An aggregation may stand apart from its parenthesis: `sum by (issuer) (...)`.
_AGGREGATIONS = frozenset(
    {"avg", "bottomk", "count", "group", "max", "min", "quantile", "sum", "topk"}
)

Json = dict[str, Any]
