"""OIDC / Exporter: whether those who watch are well, and whether what they say counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana import common, expressions, fields, frame, model, tables, timelines, words
from grafana.expressions import counted
from grafana.fields import Column, Query, now, rows
from grafana.names import Selectors

if TYPE_CHECKING:
    from grafana.names import Json

OF = Selectors(issuer="")
BY = "by (job, instance)"
NAME = "{{instance}}"
NO_EXPORTER = "no exporter is scraped"
RECORDED_UP = OF("instance:oidc_exporter:up")
#: Also of exporters that never answered, which only the rules know by their job.
UP = f"max by (job, instance, vantage) ({RECORDED_UP} or {expressions.ours(OF('up'), OF)})"
CONFIGURATION = expressions.shortened(OF("oidc_exporter_info"), "config", "config_sha256")


def build() -> Json:
    """The dashboard `oidc-exporter`."""
    return frame.dashboard(
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
            common.pages('scope="exporter"', "alertname, instance"),
            common.reloads(OF),
            common.restarts(OF),
        ],
        to=common.head("oidc-exporter"),
    )


def _numbers() -> list[Json]:
    return [
        model.stat(
            "Up and down",
            "How many exporters answer Prometheus, and how many do not.",
            now(counted(f"{UP} == 1", UP), "up", "up"),
            now(counted(f"{UP} == 0", UP), "down", "down"),
            text="value_and_name",
            w=6,
            no_value=NO_EXPORTER,
            overrides=[
                fields.override("up", fields.prop("thresholds", words.SOME_IS_GOOD)),
                fields.override("down", fields.prop("thresholds", words.NONE_IS_BETTER)),
            ],
        ),
        _isolated(),
        _stale(),
        model.stat(
            "Issuers",
            "Issuers configured: the most and the fewest that any exporter has.",
            now(f"max({OF('oidc_exporter_issuers')})", "most", "most"),
            now(f"min({OF('oidc_exporter_issuers')})", "fewest", "fewest"),
            text="value_and_name",
            w=5,
            no_value=NO_EXPORTER,
        ),
        model.stat(
            "Configurations in force",
            "Different configurations, by their hash. More than one within a vantage means "
            "that replicas watch different issuers.",
            now(f"count(group by (config_sha256) ({OF('oidc_exporter_info')}))"),
            w=5,
            no_value=NO_EXPORTER,
        ),
    ]


def _isolated() -> Json:
    return model.stat(
        "Isolated exporters",
        "Exporters that reach hardly any of their issuers: their own network is at fault, and "
        "what they say does not count.",
        now(counted(OF("instance:oidc_exporter:isolated"), f"{RECORDED_UP} == 1")),
        thresholds=words.NONE_IS_GOOD,
        no_value=common.WITHOUT_RULES,
    )


def _stale() -> Json:
    stale = OF("instance:oidc_issuers_stale:count")
    return model.stat(
        "Stale issuers",
        "Results that are too old to count, over all exporters.",
        now(f"sum({stale}) or 0 * count({RECORDED_UP} == 1)"),
        thresholds=words.NONE_IS_BETTER,
        no_value=common.WITHOUT_RULES,
    )


def _exporters() -> Json:
    started = expressions.ours(OF("process_start_time_seconds"), OF)
    loaded = OF("oidc_exporter_config_last_reload_success_timestamp_seconds")
    reload = OF("oidc_exporter_config_last_reload_successful")
    build = OF("oidc_exporter_build_info")
    return tables.table(
        "Exporters",
        "One row an exporter. Equal configurations have equal hashes.",
        fields.label("Exporter", "instance", fields.at_least(200)),
        _column("Answers", "up", UP, *fields.background(words.UP), fields.width(90)),
        _labelled("Vantage", "vantage", expressions.placed(build), 150),
        _labelled("Version", "version", build, 110),
        _labelled("Python", "python", build, 100),
        _labelled("Configuration", "config", CONFIGURATION, 150),
        _column("Loaded", "loaded", loaded, fields.width(140), unit="dateTimeFromNow"),
        _column(
            "Last reload",
            "reload",
            reload,
            *fields.coloured_text(words.RELOAD),
            fields.width(110),
        ),
        _column("Issuers", "issuers", OF("oidc_exporter_issuers"), fields.width(90)),
        _column("Started", "start", started, fields.width(140), unit="dateTimeFromNow"),
        join="instance",
        sort="Answers",
        h=7,
    )


def _labelled(title: str, label: str, expr: str, pixels: int) -> Column:
    query = rows(f"max by (instance, {label}) ({expr})", label)
    looks = (fields.FILTERABLE, fields.width(pixels))
    return Column(title=title, label=label, query=query, properties=looks)


def _column(title: str, ref: str, expr: str, *properties: Json, unit: str = "none") -> Column:
    # Grafana's times are milliseconds.
    factor = "1000 * " if unit == "dateTimeFromNow" else ""
    found = rows(f"{factor}max by (instance) ({expr})", ref)
    return fields.value(title, found, *properties, unit=unit)


def _ups() -> Json:
    return timelines.timeline(
        "Answers to Prometheus",
        "Whether each exporter could be scraped.",
        Query(expr=UP, legend="{{instance}} {{vantage}}"),
        h=5,
        mappings=words.UP,
        no_value=NO_EXPORTER,
    )


def _rated(metric: str, by: str = BY) -> str:
    return f"sum {by} (rate({OF(metric)}[$__rate_interval]))"


def _most(metric: str) -> str:
    return f"max {BY} ({expressions.ours(OF(metric), OF)})"


def _lines(title: str, description: str, *queries: Query, **options: object) -> Json:
    """Three of them fill the width of the screen."""
    given = {"w": 8, "no_value": NO_EXPORTER, **options}
    return model.lines(title, description, *queries, **given)  # type: ignore[arg-type]


def _probes() -> list[Json]:
    skipped = _rated("oidc_exporter_probes_skipped_total", "by (job, instance, cause)")
    panics = _rated("oidc_exporter_probe_panics_total")
    in_flight = OF("oidc_exporter_probes_in_flight")
    return [
        _lines(
            "Probes",
            "Probes ended, every attempt, and those that failed. A drop without fewer issuers "
            "is an exporter that does not get round.",
            Query(expr=_rated("oidc_probes_total"), ref="ended", legend=NAME),
            Query(
                expr=_rated("oidc_probe_failures_total"), ref="failed", legend=f"{NAME} failed"
            ),
            unit="suffix:probes/s",
        ),
        _lines(
            "Probes in flight",
            "Probes running now. A steady maximum is the configured limit of concurrency.",
            Query(expr=f"max {BY} ({in_flight})", legend=NAME),
            unit="short",
        ),
        _lines(
            "Probes skipped, and faults",
            "Ticks without a probe: the one before was still running (overrun), or the issuer "
            "had asked to be left alone (retry_after). A panic is a bug of the exporter.",
            Query(expr=skipped, ref="skipped", legend=f"{NAME} {{{{cause}}}}"),
            Query(expr=panics, ref="panics", legend=f"{NAME} panic"),
            unit="suffix:/s",
        ),
    ]


def _quantile(histogram: str, ref: str = "A", legend: str = NAME) -> Query:
    rate = _rated(f"{histogram}_bucket", "by (job, instance, le)")
    return Query(expr=f"histogram_quantile(0.99, {rate})", ref=ref, legend=legend)


def _delays() -> list[Json]:
    return [
        _lines(
            "Schedule delay",
            "How long after their time 99 of 100 probes began.",
            _quantile("oidc_exporter_schedule_delay_seconds"),
            unit="s",
        ),
        _lines(
            "Event loop lag",
            "How late the event loop woke 99 of 100 sleepers. Beyond the line the latencies of "
            "issuers may be wrong.",
            _quantile("oidc_exporter_event_loop_lag_seconds"),
            common.threshold_line("oidc:threshold:event_loop_lag_seconds", "alert"),
            unit="s",
            overrides=[fields.limit("alert", words.AMBER)],
        ),
        _lines(
            "Clock correction",
            "What the kernel's arrival times took off the latency of 99 of 100 probes: the "
            "exporter's own tardiness, which would have been called the issuer's.",
            _quantile("oidc_exporter_clock_correction_seconds"),
            unit="s",
        ),
    ]


def _scrapes() -> list[Json]:
    return [
        _lines(
            "Time of scrapes",
            "How long Prometheus waited, and what 99 of 100 scrapes took of the exporter's "
            "event loop.",
            Query(expr=_most("scrape_duration_seconds"), ref="scrape", legend=NAME),
            _quantile("oidc_exporter_render_seconds", "render", f"{NAME} in its loop"),
            unit="s",
            w=12,
        ),
        _lines(
            "Size of scrapes",
            "Samples in a scrape: some 85 for a good issuer.",
            Query(expr=_most("scrape_samples_scraped"), legend=NAME),
            unit="suffix:samples",
            w=12,
        ),
    ]


def _resources() -> list[Json]:
    cpu = expressions.ours(_rated("process_cpu_seconds_total"), OF)
    files = expressions.ours(f"{OF('process_open_fds')} / {OF('process_max_fds')}", OF)
    return [
        _lines(
            "Memory",
            "Resident memory of the exporters.",
            Query(expr=_most("process_resident_memory_bytes"), legend=NAME),
            unit="bytes",
        ),
        _lines(
            "Processor",
            "Share of one core. An exporter has one event loop, so that 100 % is the end.",
            Query(expr=cpu, legend=NAME),
            unit="percentunit",
        ),
        _lines(
            "File descriptors",
            "Open files and connections, as a share of what the process may have.",
            Query(expr=f"max {BY} ({files})", legend=NAME),
            unit="percentunit",
        ),
    ]


def _configuration() -> list[Json]:
    reload = OF("oidc_exporter_config_last_reload_successful")
    return [
        timelines.timeline(
            "Last reload",
            "Whether the latest load of the configuration succeeded. After a refusal the old "
            "one stays in force, and the log names file, path and wish.",
            Query(expr=f"min {BY} ({reload})", legend=NAME),
            w=12,
            h=6,
            mappings=words.RELOAD,
            no_value=NO_EXPORTER,
        ),
        timelines.timeline(
            "Configurations over time",
            "A band for each exporter and each configuration, by the first digits of its hash. "
            "Exporters of one vantage should change at the same time.",
            Query(
                expr=f"max by (instance, config) ({CONFIGURATION})",
                legend="{{config}} {{instance}}",
            ),
            w=12,
            h=6,
            mappings=words.IN_FORCE,
            no_value=NO_EXPORTER,
        ),
    ]
