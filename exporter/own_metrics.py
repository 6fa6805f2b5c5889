"""The exporter's metrics of itself: ordinary instruments in a registry of their own.

They are described as the issuers' metrics are, so that one page and one set of checks
covers both. Nothing here is global: who has something to count is handed an `Own`.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from exporter import __version__
from exporter.metric import ANSWER, CAUSE, Label, Metric, Type
from exporter.reasons import Answer, SkipCause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric as Collected

# From what nobody notices to half of a common interval.
_DELAY_EDGES = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# A few milliseconds hardly falsify a latency; a second of lag is an outage of the exporter.
_LAG_EDGES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)

_BUILD = Metric(
    name="oidc_exporter_build_info",
    type=Type.GAUGE,
    help="What is running.",
    labels=(
        Label(name="version", origin="this program's version"),
        Label(name="python", origin="Python's version"),
    ),
)
_INFO = Metric(
    name="oidc_exporter_info",
    type=Type.GAUGE,
    help="Where the exporter stands, and which configuration is in force.",
    labels=(
        Label(name="vantage", origin="configured"),
        Label(name="config_sha256", origin="64 hexadecimal digits, over every file read"),
    ),
    absent="no configuration has been loaded yet",
)
_SHARD = Metric(
    name="oidc_exporter_shard_ordinal",
    type=Type.GAUGE,
    help="Which shard of the configured issuers is probed here, counted from 0.",
)
_SHARDS = Metric(
    name="oidc_exporter_total_shards",
    type=Type.GAUGE,
    help="Shards that the configured issuers are divided into; 1 when they are not.",
)
_RELOAD = Metric(
    name="oidc_exporter_config_last_reload_successful",
    type=Type.GAUGE,
    help="Whether the latest loads of the configuration and the web configuration succeeded.",
)
_RELOAD_TIME = Metric(
    name="oidc_exporter_config_last_reload_success_timestamp_seconds",
    type=Type.GAUGE,
    help="When the configuration in force was loaded, in Unix time.",
)
_ISSUERS = Metric(
    name="oidc_exporter_issuers",
    type=Type.GAUGE,
    help="Issuers configured; of those, the ones of this shard.",
)
_IN_FLIGHT = Metric(
    name="oidc_exporter_probes_in_flight",
    type=Type.GAUGE,
    help="Probes running now.",
)
_SKIPPED = Metric(
    name="oidc_exporter_probes_skipped_total",
    type=Type.COUNTER,
    help="Ticks of the schedule without a probe: the one before was still running, or the "
    "issuer had asked to be left alone.",
    labels=(CAUSE,),
)
_PANICS = Metric(
    name="oidc_exporter_probe_panics_total",
    type=Type.COUNTER,
    help="Probes that ended in a fault of the exporter itself; the log has the traceback.",
)
_ON_DEMAND = Metric(
    name="oidc_exporter_on_demand_probes_total",
    type=Type.COUNTER,
    help="Probes that somebody asked for at /probe; callers of one issuer share one.",
)
_REQUESTS = Metric(
    name="oidc_exporter_probe_requests_total",
    type=Type.COUNTER,
    help="Requests for a probe of a configured issuer, by what became of them.",
    labels=(ANSWER,),
)
_DELAY = Metric(
    name="oidc_exporter_schedule_delay_seconds",
    type=Type.HISTOGRAM,
    help="How long after their deadline probes began.",
)
_LAG = Metric(
    name="oidc_exporter_event_loop_lag_seconds",
    type=Type.HISTOGRAM,
    help="How late the event loop woke a sleeper.",
)
_CORRECTION = Metric(
    name="oidc_exporter_clock_correction_seconds",
    type=Type.HISTOGRAM,
    help="What the kernel's arrival times took off a probe's measured latency.",
)
_RENDER = Metric(
    name="oidc_exporter_render_seconds",
    type=Type.HISTOGRAM,
    help="What one scrape took of the event loop's time, without writing and waiting.",
)

#: The exporter's own metrics, in the order of a scrape.
OWN: tuple[Metric, ...] = (
    _BUILD,
    _INFO,
    _SHARD,
    _SHARDS,
    _RELOAD,
    _RELOAD_TIME,
    _ISSUERS,
    _IN_FLIGHT,
    _SKIPPED,
    _PANICS,
    _ON_DEMAND,
    _REQUESTS,
    _DELAY,
    _LAG,
    _CORRECTION,
    _RENDER,
)


class Own:
    """The instruments, under names that say what they take.

    Attributes:
        registry: Holds them and prometheus_client's collectors for process and Python.
    """

    def __init__(self, *, version: str = __version__) -> None:
        self.registry = registry = _Registry()
        self._info = _gauge(_INFO, registry)
        self._shard = _gauge(_SHARD, registry)
        self._shards = _gauge(_SHARDS, registry)
        self._reload = _gauge(_RELOAD, registry)
        self._reload_time = _gauge(_RELOAD_TIME, registry)
        self._refused: set[str] = set()
        self._skipped = _counter(_SKIPPED, registry)
        self.issuers = _gauge(_ISSUERS, registry)
        self.probes_in_flight = _gauge(_IN_FLIGHT, registry)
        self.probe_panics = _counter(_PANICS, registry)
        self.on_demand_probes = _counter(_ON_DEMAND, registry)
        self._requests = _counter(_REQUESTS, registry)
        self.schedule_delay = _histogram(_DELAY, registry, _DELAY_EDGES)
        self.event_loop_lag = _histogram(_LAG, registry, _LAG_EDGES)
        self.clock_correction = _histogram(_CORRECTION, registry, _LAG_EDGES)
        self.render = _histogram(_RENDER, registry, _LAG_EDGES)
        _gauge(_BUILD, registry).labels(version, platform.python_version()).set(1)
        self.sharded(0, 1)
        for cause in SkipCause:
            self._skipped.labels(cause)
        for answer in Answer:
            self._requests.labels(answer)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

    def loaded(self, *, vantage: str, config_sha256: str, at: float) -> None:
        """A configuration came into force *at* this Unix time."""
        self._info.clear()
        self._info.labels(vantage, config_sha256).set(1)
        self._reload_time.set(at)
        self._reloaded("config", is_success=True)

    def sharded(self, ordinal: int, total: int) -> None:
        """Which shard this exporter has, and out of how many."""
        self._shard.set(ordinal)
        self._shards.set(total)

    def load_failed(self) -> None:
        """A configuration was refused; the old one stays in force."""
        self._reloaded("config", is_success=False)

    def web_reloaded(self, *, is_success: bool) -> None:
        """The web configuration was loaded anew, or refused."""
        self._reloaded("web config", is_success=is_success)

    def _reloaded(self, what: str, *, is_success: bool) -> None:
        (self._refused.discard if is_success else self._refused.add)(what)
        self._reload.set(not self._refused)

    def skipped(self, cause: SkipCause, ticks: int = 1) -> None:
        """So many ticks of the schedule went by without a probe."""
        self._skipped.labels(cause).inc(ticks)

    def answered(self, answer: Answer) -> None:
        """Somebody asked for a probe, and this became of it."""
        self._requests.labels(answer).inc()


class _Registry(CollectorRegistry):
    """A registry whose counters and histograms do not tell when they were made.

    Those `_created` series would double as many series as there are counters, and the
    switch that prometheus_client has for them is global.
    """

    def collect(self) -> Iterator[Collected]:
        for metric in super().collect():
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric


def _gauge(metric: Metric, registry: CollectorRegistry) -> Gauge:
    return Gauge(metric.name, metric.help, metric.label_names, registry=registry)


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.name, metric.help, metric.label_names, registry=registry)


def _histogram(
    metric: Metric, registry: CollectorRegistry, edges: tuple[float, ...]
) -> Histogram:
    return Histogram(metric.name, metric.help, registry=registry, buckets=edges)
