"""What somebody who asked for a probe gets: blackbox_exporter's names beside our own.

Its names have its meaning, so that rules and dashboards made for it go on to work: one
probe, the sum of its requests, and the status of the last answer. Where one of them has to
choose between the two documents, it is the one that was fetched last.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from exporter.exposition import Format, head
from exporter.families import FAMILIES
from exporter.metric import ANSWER, PHASE, Label, Metric, Type, more_labels
from exporter.reasons import Answer, Family, Phase
from exporter.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exporter.model import Fetch, Issuer, Report
    from exporter.samples import Sample

# They tell of more than one probe: /metrics has them, from the exporter's own schedule.
_HISTORY = ("oidc_probe_success_timestamp_seconds", "oidc_jwks_change_timestamp_seconds")
_OWN = tuple(f for f in FAMILIES if f.type is Type.GAUGE and f.name not in _HISTORY)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told(Metric):
    """A metric of one probe, read off its report."""

    samples: Callable[[Report], Sequence[Sample]]


class Told:
    """What one report says, rendered when somebody first wants it in a format."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self._texts: dict[Format, bytes] = {}

    def text(self, fmt: Format) -> bytes:
        """Every series of the probe itself."""
        if fmt not in self._texts:
            self._texts[fmt] = b"".join(self._render(fmt))
        return self._texts[fmt]

    def _render(self, fmt: Format) -> list[bytes]:
        families = [(m, _lines(m, m.samples(self.report))) for m in OF_A_REPORT]
        return [
            head(metric, fmt) + lines
            for metric, lines in (*families, *own_lines(self.report.issuer, self.report))
            if lines
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to one caller.

    Attributes:
        told: Nothing was learnt in time, if None.
        waited_seconds: What the caller has waited.
        allowed_seconds: What the caller would have waited.
    """

    issuer: Issuer
    answer: Answer
    told: Told | None
    waited_seconds: float
    allowed_seconds: float

    def text(self, fmt: Format) -> bytes:
        """The whole body."""
        own = b"".join(
            head(metric, fmt) + _lines(metric, samples)
            for metric, samples in zip(OF_A_CALLER, self._samples(), strict=True)
        )
        if self.told is not None:
            rest = self.told.text(fmt)
        else:
            rest = b"".join(head(m, fmt) + lines for m, lines in own_lines(self.issuer, None))
        return own + rest + (b"# EOF\n" if fmt is Format.OPENMETRICS else b"")

    def _samples(self) -> Sequence[Sequence[Sample]]:
        report = self.told.report if self.told else None
        duration = report.duration_seconds if report else self.waited_seconds
        return (
            (((), int(report.is_success if report else False)),),
            (((), duration),),
            (((), self.allowed_seconds),),
            (((self.answer,), 1),),
        )


def own_lines(issuer: Issuer, report: Report | None) -> list[tuple[Metric, bytes]]:
    """Our own families of one issuer that have something to say, with their lines."""
    state = State(issuer)
    if report is not None:
        state.follow(report)
    rendered = [(family, family.render(state)) for family in _OWN]
    return [(family, lines) for family, lines in rendered if lines]


def _lines(metric: Metric, samples: Sequence[Sample]) -> bytes:
    texts = (
        (more_labels(metric.label_names, values).removeprefix(","), number)
        for values, number in samples
    )
    return "".join(
        f"{metric.name}{{{labels}}} {number}\n" if labels else f"{metric.name} {number}\n"
        for labels, number in texts
    ).encode()


def _one(read: Callable[[Report], float | None]) -> Callable[[Report], Sequence[Sample]]:
    def samples(report: Report) -> Sequence[Sample]:
        value = read(report)
        return () if value is None else (((), value),)

    return samples


def _last(read: Callable[[Fetch], float | None]) -> Callable[[Report], Sequence[Sample]]:
    """The same, off the fetch that came last."""
    return _one(lambda report: read(report.fetches[-1]) if report.fetches else None)


def _spent(report: Report, phase: Phase) -> float:
    return sum((getattr(fetch.phases, phase) or 0.0 for fetch in report.fetches), 0.0)


def _phases(report: Report) -> Sequence[Sample]:
    return [((phase,), _spent(report, phase)) for phase in Phase] if report.fetches else ()


def _earliest_expiry(report: Report) -> float | None:
    chains = (fetch.tls.chain for fetch in report.fetches if fetch.tls)
    ends = [c.not_after_timestamp_seconds for chain in chains for c in chain]
    return min(ends, default=None)


def _ip_protocol(fetch: Fetch) -> float | None:
    if fetch.address is None:
        return None
    return 6 if fetch.address.family is Family.IPV6 else 4


def _tls_version(report: Report) -> Sequence[Sample]:
    versions = [f.tls.version for f in report.fetches if f.tls and f.tls.version]
    # OpenSSL says `TLSv1.3` for what Go, and so blackbox_exporter, calls `TLS 1.3`.
    return [((versions[-1].replace("TLSv", "TLS "),), 1)] if versions else ()


_gauge = partial(Metric, type=Type.GAUGE)
_told = partial(_Told, type=Type.GAUGE)

#: What depends on who asks, in the order in which a reply gives the samples.
OF_A_CALLER: tuple[Metric, ...] = (
    _gauge(
        name="probe_success",
        help="Whether STS, asked now, would have got a usable key in time; 0 also when the "
        "caller's time ran out.",
    ),
    _gauge(
        name="probe_duration_seconds",
        help="The probe, from the first name lookup to the last byte read; when the caller's "
        "time ran out, what the caller waited.",
    ),
    _gauge(
        name="probe_timeout_seconds",
        help="What the caller would have waited: its scrape timeout, less a moment.",
    ),
    _gauge(
        name="oidc_probe_answer_info",
        help="What became of the request: probed, or the caller's time ran out, or the issuer "
        "has asked to be left alone and this is the latest report.",
        labels=(ANSWER,),
    ),
)

_NOTHING = "nothing was fetched, or the caller's time ran out"

#: What a report tells every caller.
OF_A_REPORT: tuple[_Told, ...] = (
    _told(
        name="probe_dns_lookup_time_seconds",
        help="Name lookups of both documents.",
        samples=_one(lambda r: _spent(r, Phase.RESOLVE) if r.fetches else None),
        absent=_NOTHING,
    ),
    _told(
        name="probe_http_duration_seconds",
        help="Where the time of both GETs went; 0 for a phase that was not reached.",
        labels=(PHASE,),
        samples=_phases,
        absent=_NOTHING,
    ),
    _told(
        name="probe_http_status_code",
        help="Status of the document fetched last; 0 when no status line came.",
        samples=_last(lambda fetch: fetch.status or 0),
        absent=_NOTHING,
    ),
    _told(
        name="probe_http_uncompressed_body_length",
        help="Bytes read of the document fetched last, after decompression.",
        samples=_last(lambda fetch: fetch.size_bytes),
        absent="no body was read",
    ),
    _told(
        name="probe_http_ssl",
        help="Whether TLS was negotiated for the document fetched last.",
        samples=_last(lambda fetch: int(bool(fetch.tls and fetch.tls.version))),
        absent=_NOTHING,
    ),
    _told(
        name="probe_ip_protocol",
        help="4 or 6, of the address that answered last.",
        samples=_last(_ip_protocol),
        absent="no address was dialled",
    ),
    _told(
        name="probe_ssl_earliest_cert_expiry",
        help="The first end of validity of any certificate served, in Unix time. Also when "
        "verification failed.",
        samples=_one(_earliest_expiry),
        absent="no certificate came",
    ),
    _told(
        name="probe_tls_version_info",
        help="Version of TLS, as Go names it.",
        labels=(Label(name="version", origin="as in `TLS 1.3`"),),
        samples=_tls_version,
        absent="no handshake came so far",
    ),
)

#: All that `/probe` answers beside the issuers' own gauges.
PROBE_METRICS: tuple[Metric, ...] = (*OF_A_CALLER, *OF_A_REPORT)
