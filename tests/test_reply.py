"""What a caller of /probe reads, in blackbox_exporter's words and in our own."""

from __future__ import annotations

import re
import shutil
import subprocess
from inspect import cleandoc
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as older

from exporter.exposition import Format
from exporter.families import FAMILIES
from exporter.metric import Type
from exporter.model import Address, Phases
from exporter.reasons import Answer, Document, Family, Scope
from exporter.reply import PROBE_METRICS, Reply, Told
from exporter.store import Store
from tests import reports, scrapes
from tests.builders import NOW, fetch, issuer, report, tls

if TYPE_CHECKING:
    from exporter.model import Report


def reply(told: Report | None, **changes: Any) -> Reply:
    facts = {
        "issuer": told.issuer if told else issuer(labels=(("team", "a"),)),
        "answer": Answer.PROBED if told else Answer.TIMEOUT,
        "told": Told(told) if told else None,
        "waited_seconds": 4.5,
        "allowed_seconds": 9.5,
    }
    return Reply(**{**facts, **changes})


def lines(one: Reply, start: str = "") -> list[str]:
    """The samples whose line begins with *start*."""
    text = one.text(Format.TEXT).decode()
    return [line for line in text.splitlines() if line[:1] != "#" and line.startswith(start)]


def test_a_good_probe_in_the_words_of_blackbox_exporter() -> None:
    """Phases and lookups are sums over both documents; status and sizes are the key set's."""
    assert lines(reply(scrapes.good()), "probe_") == cleandoc(
        f"""
        probe_success 1
        probe_duration_seconds 0.3
        probe_timeout_seconds 9.5
        probe_dns_lookup_time_seconds 0.01
        probe_http_duration_seconds{{phase="resolve"}} 0.01
        probe_http_duration_seconds{{phase="connect"}} 0.02
        probe_http_duration_seconds{{phase="tls"}} 0.04
        probe_http_duration_seconds{{phase="processing"}} 0.1
        probe_http_duration_seconds{{phase="transfer"}} 0.06
        probe_http_status_code 200
        probe_http_uncompressed_body_length 1234
        probe_http_ssl 1
        probe_ip_protocol 4
        probe_ssl_earliest_cert_expiry {NOW + 30 * 86_400}
        probe_tls_version_info{{version="TLS 1.3"}} 1
        """
    ).split("\n")


def test_a_failed_handshake_keeps_what_was_seen() -> None:
    """blackbox_exporter loses the expiry exactly when the certificate has expired."""
    assert lines(reply(reports.expired()), "probe_")[3:] == cleandoc(
        f"""
        probe_dns_lookup_time_seconds 0.01
        probe_http_duration_seconds{{phase="resolve"}} 0.01
        probe_http_duration_seconds{{phase="connect"}} 0.02
        probe_http_duration_seconds{{phase="tls"}} 0.04
        probe_http_duration_seconds{{phase="processing"}} 0.0
        probe_http_duration_seconds{{phase="transfer"}} 0.0
        probe_http_status_code 0
        probe_http_ssl 1
        probe_ip_protocol 4
        probe_ssl_earliest_cert_expiry {NOW - 3 * 86_400}
        probe_tls_version_info{{version="TLS 1.3"}} 1
        """
    ).split("\n")


def test_a_probe_that_fetched_nothing_says_so_by_silence() -> None:
    nothing = report(fetches=(), duration_seconds=0.0, failure=reports.expired().failure)

    assert lines(reply(nothing), "probe_") == [
        "probe_success 0",
        "probe_duration_seconds 0.0",
        "probe_timeout_seconds 9.5",
    ]


def test_a_name_that_was_not_found_has_no_protocol_and_no_certificate() -> None:
    lost = fetch(
        phases=Phases(resolve=0.5), address=None, tls=None, status=None, size_bytes=None
    )
    told = lines(reply(report(fetches=(lost,), failure=reports.expired().failure)), "probe_")

    assert "probe_http_status_code 0" in told
    assert "probe_http_ssl 0" in told
    assert not [t for t in told if t.startswith(("probe_ip", "probe_ssl", "probe_tls"))]


def test_the_protocol_is_that_of_the_address_that_answered_last() -> None:
    six = Address(ip="2001:db8::1", port=443, family=Family.IPV6, scope=Scope.GLOBAL)
    both = (fetch(), fetch(Document.JWKS, address=six, tls=tls(version="TLSv1.2")))

    told = lines(reply(report(fetches=both)), "probe_")
    assert "probe_ip_protocol 6" in told
    assert 'probe_tls_version_info{version="TLS 1.2"} 1' in told


def test_our_own_gauges_of_one_issuer_stand_below() -> None:
    """The same lines as in a scrape of everything, less what one probe cannot tell."""
    one = scrapes.good()
    store = Store()
    store.keep([one.issuer])
    store.record(one)
    whole = {
        line
        for family in FAMILIES
        if family.type is Type.GAUGE
        for line in b"".join(store.column(family)).decode().splitlines()
    }

    own = [line for line in lines(reply(one), "oidc_") if "answer_info" not in line]
    assert whole - set(own) == {
        f'oidc_probe_success_timestamp_seconds{{issuer="acme"}} {one.ended_timestamp_seconds}'
    }
    assert set(own) < whole
    assert len(own) == len(set(own)) > 40


def test_when_the_time_ran_out_only_what_is_configured_is_known() -> None:
    told = lines(reply(None))

    assert told[:4] == [
        "probe_success 0",
        "probe_duration_seconds 4.5",
        "probe_timeout_seconds 9.5",
        'oidc_probe_answer_info{answer="timeout"} 1',
    ]
    assert {re.split(r"[{ ]", line)[0] for line in told[4:]} == {
        "oidc_issuer_info",
        "oidc_probe_budget_seconds",
        "oidc_probe_timeout_seconds",
        "oidc_probe_interval_seconds",
        "oidc_jwks_keys_limit",
    }


def test_an_old_report_is_marked_as_one() -> None:
    told = lines(reply(scrapes.bad(), answer=Answer.RETRY_AFTER))

    assert told[0] == "probe_success 0"
    assert 'oidc_probe_answer_info{answer="retry_after"} 1' in told
    until = f'oidc_probe_retry_after_timestamp_seconds{{issuer="broken"}} {NOW + 120}'
    assert until in told


@pytest.mark.parametrize("one", [scrapes.good(), scrapes.bad(), None], ids=["good", "bad", "-"])
def test_both_formats_say_the_same(one: Report | None) -> None:
    def samples(parse: Any, fmt: Format) -> set[Any]:
        text = reply(one).text(fmt).decode()
        return {
            (s.name, frozenset(s.labels.items()), s.value)
            for f in parse(text)
            for s in f.samples
        }

    assert samples(older, Format.TEXT) == samples(openmetrics, Format.OPENMETRICS)
    assert reply(one).text(Format.OPENMETRICS).endswith(b"\n# EOF\n")
    assert b"# EOF" not in reply(one).text(Format.TEXT)


def test_a_report_is_rendered_once_for_all_who_get_it() -> None:
    told = Told(scrapes.good())

    assert told.text(Format.TEXT) is told.text(Format.TEXT)
    assert told.text(Format.TEXT) != told.text(Format.OPENMETRICS)


def test_everything_that_is_described_occurs() -> None:
    names = {re.split(r"[{ ]", line)[0] for line in lines(reply(scrapes.good()))}

    assert {metric.name for metric in PROBE_METRICS} <= names


def test_promtool_has_nothing_to_say_about_the_metrics() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.fail("promtool is missing: apt-get install prometheus")
    for one in (scrapes.good(), None):
        checked = subprocess.run(
            [promtool, "check", "metrics"],
            input=reply(one).text(Format.TEXT),
            capture_output=True,
            check=False,
        )

        assert (checked.returncode, checked.stderr) == (0, b"")
