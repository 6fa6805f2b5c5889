"""What there is to say about a fetch and its certificates, name by name, for a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from exporter.chain import needed
from exporter.reasons import Document, Family
from exporter.text import clean, listed
from exporter.wording import NAMES, caching

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.model import Address, CachePolicy, Certificate, Fetch, Report, Tls

_DAY_SECONDS = 86_400
#: Shorter than this is time to look at the renewal; the alert rules warn at the same age.
_FEW_DAYS = 21
_OK = 200
_FAMILIES = {Family.IPV4: "IPv4", Family.IPV6: "IPv6"}
_CACHE_HEADERS = ("cache-control", "pragma", "expires", "age")


@dataclass(frozen=True, slots=True)
class Fact:
    """One line: its name, what it says (printable whatever the far end sent), its style."""

    name: str
    words: str
    style: str = ""


def moment(timestamp_seconds: float) -> str:
    """A Unix time as a person writes it; the number where no calendar reaches."""
    try:
        when = datetime.fromtimestamp(timestamp_seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{timestamp_seconds:.0f}"
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"


def fetch_facts(fetch: Fetch, policy: CachePolicy | None) -> Iterator[Fact]:
    """What there is to say about *fetch*; *policy* is what it said about caching."""
    yield Fact("url", clean(fetch.url, 300))
    yield _status(fetch)
    if fetch.redirect:
        yield Fact("points to", clean(fetch.redirect), "red")
    if fetch.failure is not None:
        yield Fact("stopped by", clean(fetch.failure.detail, 300) or "-", "red")
    yield from _connection(fetch)
    if fetch.size_bytes is not None:
        sent_as = clean(fetch.header("content-type") or "no content type", 80)
        yield Fact("body", f"{fetch.size_bytes:,} bytes, {sent_as}")
    yield from _caching(fetch, policy)


def _status(fetch: Fetch) -> Fact:
    if fetch.status is None:
        return Fact("status", "none came", "red")
    try:
        phrase = HTTPStatus(fetch.status).phrase
    except ValueError:
        phrase = ""
    return Fact("status", f"{fetch.status} {phrase}".strip(), _good(fetch.status == _OK))


def _good(is_good: bool) -> str:  # noqa: FBT001 - the fact itself, not a switch
    return "green" if is_good else "red"


def _connection(fetch: Fetch) -> Iterator[Fact]:
    if fetch.is_reused:
        yield Fact("connection", "the same as before")
        return
    if fetch.address is not None:
        yield Fact("address", _address(fetch.address))
    if fetch.dead_addresses:
        dead = [f"{a.ip} ({clean(a.failure, 60)})" for a in fetch.dead_addresses]
        yield Fact("dead", listed(dead), "yellow")
    if fetch.tls is not None:
        spoken = ", ".join(filter(None, (fetch.tls.version, fetch.tls.cipher)))
        yield Fact("TLS", clean(spoken) or "handshake not completed")


def _address(address: Address) -> str:
    scope = address.scope.replace("_", "-")
    return f"{address.ip} port {address.port} ({_FAMILIES[address.family]}, {scope})"


def _caching(fetch: Fetch, policy: CachePolicy | None) -> Iterator[Fact]:
    for name in _CACHE_HEADERS:
        value = fetch.header(name)
        if value is not None:
            yield Fact("header", f"{name.title()}: {clean(value, 120)}")
    if policy is not None:
        is_bad = fetch.document is Document.JWKS and not policy.is_cacheable
        yield Fact("caching", caching(policy, fetch.document), "red" if is_bad else "")


def certificate_facts(report: Report) -> Iterator[tuple[str, Iterator[Fact]]]:
    """A title and what there is to say, for every server certificate that was shown."""
    shown: set[str] = set()
    for fetch in report.fetches:
        if fetch.tls is not None and fetch.tls.chain:
            leaf = fetch.tls.chain[0]
            if leaf.sha256 not in shown:
                title = f"CERTIFICATE of the {NAMES[fetch.document]}'s server"
                yield title, _certificate(fetch.tls, leaf, report.ended_timestamp_seconds)
            shown.add(leaf.sha256)


def _certificate(tls: Tls, leaf: Certificate, now: float) -> Iterator[Fact]:
    yield Fact("subject", clean(leaf.subject) or "empty")
    yield Fact("names", listed([clean(name, 80) for name in leaf.names]) or "none")
    yield Fact("issued by", clean(leaf.issuer) or "nobody named")
    yield _validity("valid", leaf, now)
    rest = tls.chain[1:]
    if rest:
        yield Fact("chain", listed([clean(c.subject, 80) for c in rest], 3))
        first = min(
            needed(tls.chain, tls.verified_sha256),
            key=lambda c: c.not_after_timestamp_seconds,
            default=leaf,
        )
        if first.not_after_timestamp_seconds < leaf.not_after_timestamp_seconds:
            yield _validity("chain ends", first, now)
    yield Fact("key", clean(f"{leaf.key}, {leaf.signature}"))
    yield _trust(tls)
    if tls.thumbprint is not None:
        yield Fact("thumbprint", f"{clean(tls.thumbprint)} (SHA-1, as IAM lists it)")


def _validity(name: str, certificate: Certificate, now: float) -> Fact:
    left = (certificate.not_after_timestamp_seconds - now) / _DAY_SECONDS
    until = moment(certificate.not_after_timestamp_seconds)
    if certificate.not_before_timestamp_seconds > now:
        begin = moment(certificate.not_before_timestamp_seconds)
        return Fact(name, f"not before {begin}", "red")
    if left < 0:
        return Fact(name, f"until {until}: EXPIRED {-left:.0f} days ago", "red")
    style = "green" if left >= _FEW_DAYS else "yellow"
    return Fact(name, f"until {until}, {left:.0f} days left", style)


def _trust(tls: Tls) -> Fact:
    if not tls.is_verified:
        return Fact("trust", "not verified", "red")
    if tls.is_public_ca is False:
        return Fact("trust", "verified by ca_file only: STS needs its thumbprint", "yellow")
    return Fact("trust", "verified by a public CA", "green")
