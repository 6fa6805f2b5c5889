"""Every metric there is, and the page that documents them.

    python -m exporter.catalogue docs/metrics.md

Rules and dashboards are held to `NAMES`, so that a metric cannot be renamed behind their back.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.families import FAMILIES, GROUPS
from exporter.metric import Label, Metric, Type
from exporter.own_metrics import OWN, Own
from exporter.reasons import LEVELS, REASONS, Code, Level
from exporter.reply import PROBE_METRICS
from exporter.state import EDGES_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def runtime_metrics() -> tuple[Metric, ...]:
    """What prometheus_client tells of process and interpreter; less away from Linux."""
    ours = {metric.name for metric in OWN}
    return tuple(metric for metric in _collected() if metric.name not in ours)


def _collected() -> Iterator[Metric]:
    for found in Own().registry.collect():
        kind = Type(found.type)
        yield Metric(
            name=f"{found.name}_total" if kind is Type.COUNTER else found.name,
            type=kind,
            help=found.documentation,
            labels=tuple(
                Label(name=n) for n in (found.samples[0].labels if found.samples else ())
            ),
        )


#: The issuers' metrics, the exporter's own, and those of its process.
METRICS: tuple[Metric, ...] = (*FAMILIES, *OWN, *runtime_metrics())

#: Every name under which Prometheus stores a series of ours.
NAMES: frozenset[str] = frozenset(name for metric in METRICS for name in metric.series_names)


def refreshed(page: str) -> str:
    """*page* with every generated block made anew; the prose around them is kept."""
    for name, block in _blocks().items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        before, found, rest = page.partition(begin)
        if not found:
            raise ValueError(f"the page has no {begin}")
        page = f"{before}{begin}\n\n{block}\n\n{end}{rest.partition(end)[2]}"
    return page


def _blocks() -> Mapping[str, str]:
    reasons = ((stage, _words(found)) for stage, found in REASONS.items())
    levels = ((level, _words(c for c in Code if LEVELS[c] is level)) for level in Level)
    return {
        "issuers": "\n\n".join(f"### {g}\n\n{_table(ms)}" for g, ms in GROUPS.items()),
        "edges": ", ".join(map(str, EDGES_SECONDS)),
        "exporter": _table(OWN),
        "process": _table(runtime_metrics()),
        "probe": _table(PROBE_METRICS),
        "vocabularies": _rows(("label", "values"), _vocabularies()),
        "reasons": _rows(("stage", "reasons"), reasons),
        "levels": _rows(("level", "codes"), levels),
    }


def _table(metrics: Iterable[Metric]) -> str:
    return _rows(
        ("metric", "type", "labels", "meaning", "absent when"),
        ((f"`{m.name}`", m.type, _labels(m), m.help, m.absent or "never") for m in metrics),
    )


def _labels(metric: Metric) -> str:
    return ", ".join(
        f"`{label.name}`" + (f" ({label.origin})" if label.origin else "")
        for label in metric.labels
    )


def _vocabularies() -> Iterator[tuple[str, str]]:
    labels = {label.name: label for metric in METRICS for label in metric.labels}
    for name, label in labels.items():
        # The reasons have a table of their own, by stage.
        if label.values and name != "reason":
            yield f"`{name}`", _words(label.values)


def _words(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _rows(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":  # pragma: no cover
    path = Path(sys.argv[1])
    path.write_text(refreshed(path.read_text()))
