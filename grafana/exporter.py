"""OIDC / Exporter: whether those who watch are well, and whether what they say counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana import common, model, words
from grafana.model import Column, Query, prop
from grafana.names import Selectors

if TYPE_CHECKING:
    from grafana.names import Json

OF = Selectors()
BY = "by (job, instance)"
NO_EXPORTER = "no exporter is scraped"
UP = (
    f"max by (job, instance, vantage) ({OF('instance:oidc_exporter:up')}"
    f" or {common.ours(OF('up'), OF)})"
)


def build() -> Json:
    """The dashboard `oidc-exporter`."""
    return model.dashboard(
        "oidc-exporter",
        "Exporter",
        "Whether the exporters answer, probe on time and run the same configuration. When "
        "they are ill, believe less of what they say about issuers.",
        [
            *_numbers(),
            _exporters(),
            _ups(),
            model.row("Probes"),
            *_probes(),
            model.row("Punctuality"),
            *_delays(),
            model.row("Scrapes and resources"),
            *_scrapes(),
            *_resources(),
            model.row("Configuration"),
            *_configuration(),
        ],
        variables=common.variables("job", "instance", "vantage"),
        annotations=[
            common.pages(
                'alertname=~"OIDC(Exporter|Probe|Vantages).+",alertstate="firing",'
                'severity=~"critical|warning"'
            ),
            common.reloads(OF),
            common.restarts(OF),
        ],
        to=common.head("oidc-exporter"),
    )


def _now(expr: str, ref: str = "A") -> Query:
    return Query(expr=expr, ref=ref, legend=ref, instant=True)


def _numbers() -> list[Json]:
    return [
        model.stat(
            "Exporters",
            "How many answer Prometheus, and how many do not.",
            _now(common.counted(f"{UP} == 1", UP), "up"),
            _now(common.counted(f"{UP} == 0", UP), "down"),
            names=True,
            w=6,
            no_value=NO_EXPORTER,
            overrides=[
                model.override("up", prop("thresholds", words.SOME_IS_GOOD)),
                model.override("down", prop("thresholds", words.NONE_IS_BETTER)),
            ],
        ),
        model.stat(
            "Isolated exporters",
            "Exporters that reach hardly any of their issuers: their own network is at fault, "
            "and what they say does not count.",
            _now(
                common.counted(
                    OF("instance:oidc_exporter:isolated"), OF("instance:oidc_exporter:up")
                )
            ),
            thresholds=words.NONE_IS_GOOD,
            no_value=common.WITHOUT_RULES,
        ),
        model.stat(
            "Stale issuers",
            "Results that are too old to count, over all exporters.",
            _now(
                f"sum({OF('instance:oidc_issuers_stale:count')})"
                f" or 0 * count({OF('instance:oidc_exporter:up')})"
            ),
            thresholds=words.NONE_IS_BETTER,
            no_value=common.WITHOUT_RULES,
        ),
        model.stat(
            "Issuers",
            "Issuers configured: the most and the fewest that any exporter has.",
            _now(f"max({OF('oidc_exporter_issuers')})", "most"),
            _now(f"min({OF('oidc_exporter_issuers')})", "fewest"),
            names=True,
            w=5,
            no_value=NO_EXPORTER,
        ),
        model.stat(
            "Configurations in force",
            "Different configurations, by their hash. More than one within a vantage means "
            "that replicas watch different issuers.",
            _now(f"count(group by (config_sha256) ({OF('oidc_exporter_info')}))"),
            w=5,
            no_value=NO_EXPORTER,
        ),
    ]


def _exporters() -> Json:
    short = common.shortened(OF("oidc_exporter_info"), "config", "config_sha256")
    build = f"max by (job, instance, version, python) ({OF('oidc_exporter_build_info')})"
    start = common.ours(OF("process_start_time_seconds"), OF)
    return model.table(
        "Exporters",
        "One row an exporter. Equal hashes mean equal configurations.",
        [
            Column(title="Exporter", label="instance", properties=(_width(220),)),
            _column("Answers", "up", f"max by (instance) ({UP})", *model.background(words.UP)),
            _labelled("Vantage", "vantage", f"max by (instance, vantage) ({_vantage()})"),
            _labelled("Version", "version", f"max by (instance, version) ({build})"),
            _labelled("Python", "python", f"max by (instance, python) ({build})"),
            _labelled("Configuration", "config", f"max by (instance, config) ({short})"),
            _column("Loaded", "loaded", f"1000 * {_most(_loaded())}", unit="dateTimeFromNow"),
            _column(
                "Last reload",
                "reload",
                _most(OF("oidc_exporter_config_last_reload_successful")),
                *model.coloured_text(words.RELOAD),
            ),
            _column("Issuers", "issuers", _most(OF("oidc_exporter_issuers"))),
            _column(
                "Started",
                "start",
                f"1000 * max by (instance) ({start})",
                unit="dateTimeFromNow",
            ),
        ],
        join="instance",
        sort="Answers",
        h=7,
    )


def _vantage() -> str:
    return common.placed(OF("oidc_exporter_build_info"))


def _loaded() -> str:
    return OF("oidc_exporter_config_last_reload_success_timestamp_seconds")


def _most(selector: str) -> str:
    return f"max by (instance) ({selector})"


def _labelled(title: str, label: str, expr: str) -> Column:
    query = Query(expr=expr, ref=label, instant=True, format="table")
    return Column(title=title, label=label, query=query)


def _column(title: str, ref: str, expr: str, *properties: Json, unit: str = "none") -> Column:
    query = Query(expr=expr, ref=ref, instant=True, format="table")
    return Column(title=title, query=query, unit=unit, properties=properties)


def _width(pixels: int) -> Json:
    return prop("custom.width", pixels)


def _ups() -> Json:
    return model.timeline(
        "Answers to Prometheus",
        "Whether each exporter could be scraped.",
        Query(expr=UP, legend="{{instance}} {{vantage}}"),
        h=5,
        mappings=words.UP,
        show="never",
        no_value=NO_EXPORTER,
    )


def _rated(metric: str, by: str = BY, **matchers: str) -> str:
    return f"sum {by} (rate({OF(metric, **matchers)}[$__rate_interval]))"


def _probes() -> list[Json]:
    return [
        model.lines(
            "Probes",
            "Probes ended, every attempt, and those that failed. A drop without fewer issuers "
            "is an exporter that does not get round.",
            Query(expr=_rated("oidc_probes_total"), ref="ended", legend="{{instance}}"),
            Query(
                expr=_rated("oidc_probe_failures_total"),
                ref="failed",
                legend="{{instance}} failed",
            ),
            unit="reqps",
            w=8,
            no_value=NO_EXPORTER,
        ),
        model.lines(
            "Probes in flight",
            "Probes running now. A steady maximum is the configured limit of concurrency.",
            Query(
                expr=f"max {BY} ({OF('oidc_exporter_probes_in_flight')})", legend="{{instance}}"
            ),
            unit="short",
            w=8,
            no_value=NO_EXPORTER,
        ),
        model.lines(
            "Probes skipped, and faults",
            "Ticks without a probe: the one before was still running (overrun), or the issuer "
            "had asked to be left alone (retry_after). A panic is a bug of the exporter.",
            Query(
                expr=_rated("oidc_exporter_probes_skipped_total", "by (job, instance, cause)"),
                ref="skipped",
                legend="{{instance}} {{cause}}",
            ),
            Query(
                expr=_rated("oidc_exporter_probe_panics_total"),
                ref="panics",
                legend="{{instance}} panic",
            ),
            unit="reqps",
            w=8,
            no_value=NO_EXPORTER,
        ),
    ]


def _quantile(metric: str) -> Query:
    rate = _rated(metric, "by (job, instance, le)")
    return Query(expr=f"histogram_quantile(0.99, {rate})", legend="{{instance}}")


def _delays() -> list[Json]:
    return [
        model.lines(
            "Schedule delay",
            "How long after their time 99 of 100 probes began.",
            _quantile("oidc_exporter_schedule_delay_seconds_bucket"),
            unit="s",
            w=8,
            no_value=NO_EXPORTER,
        ),
        model.lines(
            "Event loop lag",
            "How late the event loop woke 99 of 100 sleepers. Beyond the line the latencies of "
            "issuers may be wrong.",
            _quantile("oidc_exporter_event_loop_lag_seconds_bucket"),
            common.threshold_line("oidc:threshold:event_loop_lag_seconds", "alert"),
            unit="s",
            w=8,
            overrides=[model.limit("alert", words.AMBER)],
            no_value=NO_EXPORTER,
        ),
        model.lines(
            "Clock correction",
            "What the kernel's arrival times took off the latency of 99 of 100 probes: the "
            "exporter's own tardiness, which would have been called the issuer's.",
            _quantile("oidc_exporter_clock_correction_seconds_bucket"),
            unit="s",
            w=8,
            no_value=NO_EXPORTER,
        ),
    ]


def _own(metric: str) -> str:
    return common.ours(OF(metric), OF)


def _scrapes() -> list[Json]:
    return [
        model.lines(
            "Time of scrapes",
            "How long Prometheus waited, and what 99 of 100 scrapes took of the exporter's "
            "event loop.",
            Query(
                expr=f"max {BY} ({_own('scrape_duration_seconds')})",
                ref="scrape",
                legend="{{instance}}",
            ),
            Query(
                expr=_quantile("oidc_exporter_render_seconds_bucket").expr,
                ref="render",
                legend="{{instance}} in its loop",
            ),
            unit="s",
            w=12,
            no_value=NO_EXPORTER,
        ),
        model.lines(
            "Size of scrapes",
            "Samples in a scrape: some 85 for a good issuer.",
            Query(expr=f"max {BY} ({_own('scrape_samples_scraped')})", legend="{{instance}}"),
            unit="short",
            w=12,
            no_value=NO_EXPORTER,
        ),
    ]


def _resources() -> list[Json]:
    cpu = f"sum {BY} (rate({OF('process_cpu_seconds_total')}[$__rate_interval]))"
    return [
        model.lines(
            "Memory",
            "Resident memory of the exporters.",
            Query(
                expr=f"max {BY} ({_own('process_resident_memory_bytes')})",
                legend="{{instance}}",
            ),
            unit="bytes",
            w=8,
            no_value=NO_EXPORTER,
        ),
        model.lines(
            "Processor",
            "Share of one core. An exporter has one event loop, so that 100 % is the end.",
            Query(expr=common.ours(cpu, OF), legend="{{instance}}"),
            unit="percentunit",
            w=8,
            no_value=NO_EXPORTER,
        ),
        model.lines(
            "File descriptors",
            "Open files and connections, as a share of what the process may have.",
            Query(
                expr=f"max {BY} ({OF('process_open_fds')} / {OF('process_max_fds')}\n"
                f"and on (job, instance) {OF('oidc_exporter_build_info')})",
                legend="{{instance}}",
            ),
            unit="percentunit",
            w=8,
            no_value=NO_EXPORTER,
        ),
    ]


def _configuration() -> list[Json]:
    short = common.shortened(OF("oidc_exporter_info"), "config", "config_sha256")
    return [
        model.timeline(
            "Last reload",
            "Whether the latest load of the configuration succeeded. After a refusal the old "
            "one stays in force, and the log names file, path and wish.",
            Query(
                expr=f"min {BY} ({OF('oidc_exporter_config_last_reload_successful')})",
                legend="{{instance}}",
            ),
            w=12,
            h=6,
            mappings=words.RELOAD,
            show="never",
            no_value=NO_EXPORTER,
        ),
        model.timeline(
            "Configurations in force",
            "A band for each exporter and each configuration, by the first digits of its hash. "
            "Exporters of one vantage should change at the same time.",
            Query(
                expr=f"max by (instance, vantage, config) ({short})",
                legend="{{config}} {{instance}} {{vantage}}",
            ),
            w=12,
            h=6,
            mappings=words.IN_FORCE,
            show="never",
            color="palette-classic",
            no_value=NO_EXPORTER,
        ),
    ]
