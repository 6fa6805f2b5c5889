"""What a person reads about one probe, at 80 columns and without surprises."""

from __future__ import annotations

import io
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from exporter.advice import FAILURES, FINDINGS
from exporter.model import (
    Address,
    CacheDirective,
    CachePolicy,
    Discovery,
    Report,
)
from exporter.reasons import (
    REASONS,
    CacheHeader,
    Code,
    Directive,
    Document,
    Family,
    KeyType,
    Reason,
    Scope,
    Stage,
)
from exporter.terminal import render
from tests.builders import (
    NOW,
    certificate,
    failure,
    fetch,
    finding,
    issuer,
    key,
    key_set,
    report,
    tls,
)
from tests.reports import NO_CACHE, expired, good, slow

GOLDEN = Path(__file__).parent / "data" / "terminal"
ANSI = re.compile(r"\x1b\[[0-9;]*m")
PAIRS = [(stage, reason) for stage, reasons in REASONS.items() for reason in reasons]


def printed(report: Report, *, encoding: str = "utf-8", **console) -> str:
    """What arrives at the other end of a pipe, or of a terminal if *console* says so."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding)
    render(report, console=Console(file=file, **{"width": 80, "_environ": {}, **console}))
    file.flush()
    return raw.getvalue().decode(encoding)


def commands(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("     look   ")]


@pytest.mark.parametrize("case", [good, slow, expired])
def test_a_report_reads_as_agreed(case):
    """After a change on purpose: run once with UPDATE_GOLDEN=1, and read the diff."""
    path = GOLDEN / f"{case.__name__}.txt"
    text = printed(case())
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, "utf-8")

    assert text == path.read_text("utf-8")


@pytest.mark.parametrize("case", [good, slow, expired])
def test_on_a_pipe_there_is_nothing_but_text(case):
    text = printed(case())

    assert "\x1b" not in text
    assert not re.search(r"[ \t]$", text, re.MULTILINE)


@pytest.mark.parametrize("case", [good, slow, expired])
def test_no_line_but_a_command_is_wider_than_the_terminal(case):
    """A command that was broken into lines could not be copied."""
    for width in (80, 60):
        lines = printed(case(), width=width).splitlines()

        assert max(len(line) for line in lines if "     look   " not in line) <= width


def test_a_command_stands_on_one_line_however_narrow_the_terminal():
    assert printed(slow(), width=50).count('total %{time_total}\\n" "https') == 1


def test_a_wide_terminal_is_not_used_to_its_end():
    lines = printed(slow(), width=250).splitlines()

    assert max(len(line) for line in lines if "     look   " not in line) <= 100


@pytest.mark.parametrize("case", [good, slow, expired])
def test_colour_changes_no_word(case):
    coloured = printed(case(), force_terminal=True, color_system="standard")

    assert coloured != printed(case())
    assert ANSI.sub("", coloured) == printed(case())


@pytest.mark.parametrize("case", [good, slow, expired])
def test_a_poor_terminal_gets_ascii(case):
    """`printed` itself would fail on a character that the encoding does not have."""
    text = printed(case(), encoding="ascii")

    assert "#" in text
    assert text.isascii()


def test_what_a_poor_terminal_cannot_show_is_escaped():
    foreign = report(key_set=key_set(key("ключ"), key("k" * 200)))

    assert "\\u043a\\u043b\\u044e\\u0447" in printed(foreign, encoding="latin-1")
    assert "ключ" in printed(foreign)


@pytest.mark.parametrize(("stage", "reason"), PAIRS)
def test_every_failure_says_what_it_is_and_what_to_do(stage: Stage, reason: Reason):
    advice = FAILURES[stage, reason]
    stopped = failure(stage, reason, detail="the very words")
    text = printed(report(failure=stopped, fetches=(), key_set=None, discovery=None))
    flat = " ".join(text.split())
    word = "UNKNOWN" if stage is Stage.INTERNAL else "NOT USABLE"
    where = "" if "discovery document" in advice.title else " (discovery document)"

    assert flat.startswith(f"{word}: {advice.title}{where}. ")
    assert f"{stage}/{reason}: the very words" in text
    assert advice.todo in flat
    assert f"cause {advice.cause}:" in flat.replace("Cause", "cause")
    assert ("InvalidIdentityToken" in text) is bool(advice.error)


@pytest.mark.parametrize("code", Code)
def test_every_finding_is_listed_and_a_notice_asks_for_nothing(code: Code):
    found = finding(code, detail="the very words")
    text = printed(report(findings=(found,)))

    assert text.startswith("USABLE: ")
    assert FINDINGS[code].title in text.partition("FINDINGS")[2].partition("WHAT TO DO")[0]
    assert "the very words" in text
    assert (FINDINGS[code].todo in " ".join(text.split())) is (found.level != "notice")


def test_a_finding_on_both_documents_is_advised_on_once():
    both = report(findings=tuple(finding(Code.CHAIN_ORDER, document) for document in Document))

    assert printed(both).count(FINDINGS[Code.CHAIN_ORDER].title) == 3


def test_nothing_to_do_is_said():
    assert "Nothing now." in printed(good())
    assert "Nothing now." not in printed(expired())


def test_the_failing_document_is_named():
    broken = report(failure=failure(Stage.DNS, Reason.NXDOMAIN, Document.JWKS))

    assert printed(broken).startswith("NOT USABLE: The host name does not exist (key set).")


def test_a_command_asks_for_the_document_that_failed():
    other = "https://keys.example.net/jwks"
    named = Discovery(issuer="https://issuer.example.com", jwks_uri=other)
    unfetched = report(
        fetches=(fetch(),),
        discovery=named,
        failure=failure(Stage.CONFIG, Reason.REFUSED_TARGET, Document.JWKS),
    )
    unknown = report(
        fetches=(),
        discovery=None,
        failure=failure(Stage.CONFIG, Reason.REFUSED_TARGET, Document.JWKS),
    )

    assert "keys.example.net" in commands(printed(unfetched))[0]
    assert "$HOST" in commands(printed(unknown))[0]


def test_an_eks_name_hidden_by_the_vpc_is_not_called_the_issuers_fault():
    hidden = report(
        issuer=issuer(url="https://oidc.eks.eu-west-1.amazonaws.com/id/0"),
        failure=failure(Stage.DNS, Reason.NXDOMAIN),
    )
    text = printed(hidden)

    assert text.startswith("UNKNOWN: ")
    assert "oidc-eks.eu-west-1.api.aws" in text


def test_an_issuer_that_asks_for_rest_is_heard():
    text = printed(report(retry_after_timestamp_seconds=NOW + 60))

    assert "It asks to be left alone until 2026-09-21 14:14:20 UTC." in text


def test_a_probe_that_fetched_nothing_says_so():
    assert "Nothing was fetched." in printed(report(fetches=()))


@pytest.mark.parametrize(
    ("policy", "document", "words"),
    [
        (NO_CACHE, Document.JWKS, "no-cache: STS fetches it again for every call (cause D)"),
        (NO_CACHE, Document.DISCOVERY, "no-cache; known to matter on the key set only"),
        (CachePolicy(), Document.JWKS, "no lifetime given"),
        (CachePolicy(max_age_seconds=300), Document.JWKS, "may be reused for 5m"),
        (CachePolicy(max_age_seconds=-5), Document.JWKS, "out of date on arrival"),
        (
            CachePolicy(
                directives=(
                    CacheDirective(
                        header=CacheHeader.CACHE_CONTROL, directive=Directive.NO_STORE
                    ),
                ),
                max_age_seconds=60,
            ),
            Document.JWKS,
            "no-store; whether STS obeys that is not documented",
        ),
    ],
)
def test_caching_is_explained_without_claiming_too_much(policy, document, words):
    assert words in printed(report(caching=((document, policy),)))


@pytest.mark.parametrize(
    ("leaf", "words"),
    [
        ({}, "until 2026-12-20 14:13:20 UTC, 90 days left"),
        ({"not_after_timestamp_seconds": NOW - 3 * 86_400}, "EXPIRED 3 days ago"),
        ({"not_before_timestamp_seconds": NOW + 99}, "not before 2026-09-21 14:14:59 UTC"),
        ({"not_after_timestamp_seconds": 1e300}, "until 1"),
        ({"subject": "", "issuer": "", "names": ()}, "nobody named"),
    ],
)
def test_a_certificates_dates_are_put_in_words(leaf, words):
    shown = fetch(tls=tls(chain=(certificate(**leaf),)))

    assert words in " ".join(printed(report(fetches=(shown,))).split())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "verified by a public CA"),
        ({"is_public_ca": False}, "verified by ca_file only"),
        ({"is_verified": False}, "not verified"),
    ],
)
def test_who_vouches_for_a_certificate_is_said(changes, words):
    assert words in printed(report(fetches=(fetch(tls=tls(**changes)),)))


def test_an_intermediate_that_ends_first_is_pointed_out():
    late = certificate(
        subject="CN=Example Intermediate",
        issuer="CN=High",
        sha256="f" * 64,
        not_after_timestamp_seconds=NOW + 1e9,
    )
    early = replace(
        late,
        subject="CN=High",
        sha256="e" * 64,
        not_after_timestamp_seconds=NOW + 5 * 86_400,
    )
    needless = replace(early, subject=late.subject)

    assert "chain ends" not in printed(
        report(fetches=(fetch(tls=tls(chain=(certificate(), late, needless))),))
    )
    assert "chain ends" not in printed(
        report(fetches=(fetch(tls=tls(chain=(certificate(), certificate()))),))
    )
    assert "5 days left" in printed(
        report(fetches=(fetch(tls=tls(chain=(certificate(), late, early))),))
    )


def test_two_servers_show_two_certificates_and_one_server_one():
    other = tls(chain=(certificate(subject="CN=keys.example.net", sha256="9" * 64),))
    two = report(fetches=(fetch(), fetch(Document.JWKS, tls=other)))
    bare = report(fetches=(fetch(tls=tls(chain=())), fetch(Document.JWKS, tls=None)))

    assert printed(report()).count("\nCERTIFICATE") == 1
    assert printed(two).count("\nCERTIFICATE") == 2
    assert printed(bare).count("\nCERTIFICATE") == 0


def test_the_connection_is_described():
    text = printed(slow())

    assert "93.184.215.14 port 443 (IPv4, global)" in text
    assert "2001:db8::1 (network unreachable)" in text
    assert "the same as before" in text


def test_a_handshake_that_said_nothing_is_described():
    silent = fetch(tls=tls(version=None, cipher=None, chain=(), is_verified=False))

    assert "handshake not completed" in printed(report(fetches=(silent,)))


def test_what_was_not_learnt_takes_no_line():
    bare = fetch(address=None, tls=tls(thumbprint=None), size_bytes=None)
    text = printed(report(fetches=(bare,)))

    assert not re.search(r"^  (address|body|thumbprint|header|caching) ", text, re.MULTILINE)


@pytest.mark.parametrize(("status", "words"), [(403, "403 Forbidden"), (799, "799\n")])
def test_a_status_is_shown_with_its_name(status, words):
    assert f"status      {words}" in printed(report(fetches=(fetch(status=status),)))


def test_a_redirect_says_where_it_points():
    moved = fetch(status=301, redirect="https://elsewhere.example.net")

    assert "points to   https://elsewhere.example.net" in printed(report(fetches=(moved,)))


def test_a_fetch_that_stopped_says_by_what():
    for detail, words in (("cut off", "cut off"), ("", "-")):
        stopped = fetch(failure=failure(detail=detail))

        assert f"stopped by  {words}" in printed(report(fetches=(stopped,)))


def test_keys_are_listed_with_what_is_wrong_with_them():
    keys = key_set(
        key("good"),
        key(None, alg=None, use=None, bits=None, faults=("no kid", "it has key_ops")),
        key("ec", kty=KeyType.EC, crv="P-256", bits=256),
        key("leaked", is_private=True),
    )
    text = printed(report(key_set=keys))

    assert "KEYS: 4 published, 3 usable for STS" in text
    assert re.search(r"-    +RSA +- +- +no kid; it has key_ops", text)
    assert "RSA 2048" in text
    assert "EC P-256" in text
    assert "usable; PRIVATE PART EXPOSED" in text


def test_a_big_key_set_is_counted_instead_of_listed():
    keys = key_set(*(key(f"k{n}", faults=("",) if n == 50 else ()) for n in range(101)))
    text = printed(report(key_set=keys))

    assert "k11 " in text
    assert "k12 " not in text
    assert "and 89 more, 88 of them usable" in text


HOSTILE = (
    "[bold red]x[/] \x1b[31mred\x1b]0;title\x07 \u202egnp.exe \u200b\r\n"
    "USABLE: \x9b2J \ud800 :boom:"
)


def bewitched(evil: str) -> Report:
    """A report in which everything that a remote party could say says *evil*."""
    cert = certificate(subject=evil, issuer=evil, names=(evil,) * 9, key=evil, signature=evil)
    seen = fetch(
        url=f"https://issuer.example.com/{evil}",
        status=301,
        redirect=evil,
        headers=(("content-type", evil), ("cache-control", evil), ("pragma", evil)),
        tls=tls(chain=(cert, cert), version=evil, cipher=evil),
        dead_addresses=(
            Address(
                ip="2001:db8::1",
                port=443,
                family=Family.IPV6,
                scope=Scope.GLOBAL,
                failure=evil,
            ),
        ),
        failure=failure(detail=evil),
    )
    return report(
        issuer=issuer(url=f"https://issuer.example.com/{evil}"),
        fetches=(seen,),
        discovery=Discovery(issuer=evil, jwks_uri=evil),
        key_set=key_set(key(evil, alg=evil, use=evil, crv=evil, faults=(evil,))),
        failure=failure(Stage.DOCUMENT, Reason.ISSUER_MISMATCH, detail=evil),
        findings=(finding(Code.NO_CACHE, detail=evil),),
    )


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_hostile_words_are_shown_and_not_obeyed(encoding):
    text = printed(bewitched(HOSTILE), encoding=encoding)

    assert "[bold red]x[/]" in text
    assert ":boom:" in text
    assert "\\u202e" in text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e]", text)


def test_hostile_words_forge_no_line():
    lines = printed(bewitched("x\nUSABLE: STS would get a key")).splitlines()

    assert [line for line in lines if line.startswith("USABLE")] == []


def test_hostile_words_bring_no_escape_sequence_into_a_coloured_terminal():
    coloured = printed(bewitched(HOSTILE), force_terminal=True, color_system="standard")

    assert "\x1b" not in ANSI.sub("", coloured)
    assert ANSI.sub("", coloured) == printed(bewitched(HOSTILE))


@settings(deadline=None, max_examples=25)
@given(st.text(max_size=40))
def test_whatever_a_remote_party_says_can_be_printed(evil: str):
    for encoding in ("utf-8", "ascii"):
        assert printed(bewitched(evil), encoding=encoding).replace("\n", "").isprintable()


def test_giant_words_are_cut():
    assert len(printed(bewitched("x" * 100_000))) < 20_000
