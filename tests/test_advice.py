"""Every failure and every finding has words, and they are words one can act on."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.advice import (
    CAUSES,
    FAILURES,
    FINDINGS,
    Advice,
    answering,
    connecting,
    contents,
    encryption,
    findings,
    for_failure,
    for_finding,
    issuers,
    ours,
)
from exporter.advice.form import NO_KEY, Mark
from exporter.advice.tables import refreshed
from exporter.reasons import REASONS, Cause, Code, Document, Reason, Stage
from tests.builders import failure, finding

DOCS = Path(__file__).parent.parent / "docs"
EVERY_ADVICE = [
    *FAILURES.values(),
    *FINDINGS.values(),
    *findings.ON_DISCOVERY.values(),
    *(advice for _, (_, advice) in issuers.ROWS),
]
FAILURE_MODULES = (connecting, encryption, answering, contents, ours)


def anchor(advice: Advice) -> str:
    return advice.anchor


def test_every_reason_has_one_advice_in_the_order_a_probe_goes():
    pairs = [(stage, reason) for stage, reasons in REASONS.items() for reason in reasons]

    assert list(FAILURES) == pairs
    assert sum(len(module.ROWS) for module in FAILURE_MODULES) == len(pairs)


def test_every_code_has_one_advice_in_the_order_of_the_vocabulary():
    assert list(FINDINGS) == list(Code)
    assert len(findings.ROWS) == len(Code)


def test_every_cause_has_a_sentence():
    assert list(CAUSES) == list(Cause)
    assert all(sentence.endswith(".") for sentence in CAUSES.values())


def test_anchors_are_unique_and_fit_for_a_url():
    anchors = [advice.anchor for advice in (*FAILURES.values(), *FINDINGS.values())]

    assert len(set(anchors)) == len(anchors)
    assert all(re.fullmatch(r"[a-z]+-[a-z0-9_]+", anchor) for anchor in anchors)


def test_special_words_keep_the_anchor_of_the_general_ones():
    """A runbook has one place for a reason, whoever the issuer is."""
    assert all(special.anchor == general(key).anchor for _, (key, special) in issuers.ROWS)


def general(key: object) -> Advice:
    return FINDINGS[key] if isinstance(key, Code) else FAILURES[key]  # type: ignore[index]


@pytest.mark.parametrize("advice", EVERY_ADVICE, ids=anchor)
def test_texts_are_whole_sentences(advice: Advice):
    for text in (advice.meaning, advice.todo):
        assert re.fullmatch(r"[A-Z`].*\.", text), text
        assert "  " not in text
        assert not re.search(r"\b(TODO|TBD|FIXME|XXX|lorem)\b|<[a-z]+>", text), text


@pytest.mark.parametrize("advice", EVERY_ADVICE, ids=anchor)
def test_titles_are_short_headlines(advice: Advice):
    assert re.fullmatch(r"[A-Z].*[A-Za-z0-9/]", advice.title)
    assert len(advice.title) <= 72


@pytest.mark.parametrize("advice", EVERY_ADVICE, ids=anchor)
def test_everything_can_be_printed_by_the_poorest_terminal(advice: Advice):
    assert all(
        text.isascii() and text.isprintable()
        for text in (advice.title, advice.meaning, advice.todo, advice.command)
    )


@pytest.mark.parametrize("advice", EVERY_ADVICE, ids=anchor)
def test_an_advice_is_short_enough_to_be_read_at_night(advice: Advice):
    assert len(advice.meaning) <= 320
    assert len(advice.todo) <= 360


def test_what_aws_says_of_the_token_s_name_is_not_claimed_of_the_document_s():
    """Documented is that `iss` equals the provider's URL; the rest is our conclusion."""
    advice = FAILURES[Stage.DOCUMENT, Reason.ISSUER_MISMATCH]

    assert advice.mark is Mark.INFERRED
    assert "unknown" in advice.meaning


def test_no_two_reasons_share_their_words():
    """Copied text is advice for somebody else's fault."""
    everything = [*FAILURES.values(), *FINDINGS.values()]

    assert len({advice.title for advice in everything}) == len(everything)
    assert len({advice.todo for advice in everything}) == len(everything)


@pytest.mark.parametrize("advice", [a for a in EVERY_ADVICE if a.command], ids=anchor)
def test_commands_are_valid_shell(advice: Advice):
    checked = subprocess.run(["sh", "-n", "-c", advice.command], check=False)

    assert checked.returncode == 0, advice.command


FIREWALL = {
    (Stage.TCP, Reason.TIMEOUT),
    (Stage.TCP, Reason.RESET),
    (Stage.TLS, Reason.RESET),
    (Stage.HTTP, Reason.FORBIDDEN),
    (Stage.DOCUMENT, Reason.HTML),
}
WRONG_ADDRESS = {
    Reason.JWKS_URI_MISSING,
    Reason.JWKS_URI_INVALID,
    Reason.JWKS_URI_INSECURE,
}
DISAGREEMENT = {
    (Stage.CONFIG, Reason.NOT_HTTPS),
    (Stage.CONFIG, Reason.BAD_URL),
    (Stage.DOCUMENT, Reason.ISSUER_MISMATCH),
    (Stage.DOCUMENT, Reason.ISSUER_MISSING),
}


def expected_cause(stage: Stage, reason: Reason) -> Cause:  # noqa: PLR0911 (a table)
    """The article's causes, as an engineer would sort the failures under them."""
    if (stage, reason) in FIREWALL:
        return Cause.FIREWALL
    if stage is Stage.BUDGET or reason is Reason.TIMEOUT:
        return Cause.LATENCY
    if reason is Reason.RATE_LIMITED:
        return Cause.TOO_MANY_REQUESTS
    if reason in WRONG_ADDRESS:
        return Cause.KEY_SET_ADDRESS
    if (stage, reason) in DISAGREEMENT:
        return Cause.TRUST
    if stage is Stage.KEYS:
        return Cause.KEYS
    return Cause.US if stage is Stage.INTERNAL else Cause.UNREACHABLE


@pytest.mark.parametrize(("stage", "reason"), FAILURES)
def test_a_failure_belongs_to_its_cause(stage: Stage, reason: Reason):
    assert FAILURES[stage, reason].cause is expected_cause(stage, reason)


@pytest.mark.parametrize(
    ("cause", "codes"),
    [
        (Cause.UNREACHABLE, "private_address ip_family_partial chain_order chain_extra"),
        (
            Cause.TOO_MANY_REQUESTS,
            """no_cache pragma_no_cache no_cache_field no_store max_age_zero expired
            cache_short retry_after""",
        ),
        (
            Cause.TRUST,
            "port_in_url tls13_only private_ca required_field_missing clock_skew",
        ),
        (
            Cause.KEYS,
            """content_type unknown_encoding unsupported_alg missing_kid duplicate_kid key_ops
            encryption_use x5c_conflict weak_key malformed_key unsupported_key
            private_key_exposed keys_near_limit""",
        ),
    ],
)
def test_a_finding_belongs_to_its_cause(cause: Cause, codes: str):
    assert {c for c in Code if FINDINGS[c].cause is cause} == {Code(c) for c in codes.split()}


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        (Stage.CONFIG, Reason.NOT_HTTPS),
        (Stage.CONFIG, Reason.BAD_URL),
        (Stage.INTERNAL, Reason.ERROR),
    ],
)
def test_what_never_reaches_sts_promises_no_error_of_aws(stage: Stage, reason: Reason):
    assert FAILURES[stage, reason].error == ""


def test_aws_error_is_quoted_to_the_letter():
    """People search for it; the two blanks are in what AWS sends."""
    assert NO_KEY == (
        "InvalidIdentityToken: Couldn't retrieve verification key from your identity "
        "provider,  please reference AssumeRoleWithWebIdentity documentation for requirements"
    )


def test_a_command_names_the_issuer_it_is_about():
    advice = for_failure(failure(Stage.TLS, Reason.EXPIRED), "https://id.example.com:8443/a/")

    assert '-connect "id.example.com:8443" -servername "id.example.com"' in advice.command


def test_the_discovery_document_is_asked_for_without_a_doubled_slash():
    advice = for_failure(failure(Stage.HTTP, Reason.NOT_FOUND), "https://id.example.com/a/")

    assert '"https://id.example.com/a/.well-known/openid-configuration"' in advice.command


def test_a_command_about_the_key_set_names_the_address_of_the_key_set():
    about = failure(Stage.KEYS, Reason.NO_USABLE_KEY, Document.JWKS)
    known = for_failure(about, "https://a.example", "https://b.example/keys")
    unknown = for_failure(about, "https://a.example")

    assert '"https://b.example/keys"' in known.command
    assert '"$URL"' in unknown.command


def test_without_a_url_the_general_words_are_returned_as_they_stand():
    assert (
        for_failure(failure(Stage.TCP, Reason.REFUSED)) == FAILURES[Stage.TCP, Reason.REFUSED]
    )
    assert for_finding(finding(Code.NO_STORE)) == FINDINGS[Code.NO_STORE]


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example/$(reboot)",
        "https://a.example/`reboot`",
        'https://a.example/";reboot;"',
        "https://a.example/\\",
        "https://a.example/!!",
        "https://a.example/\nreboot",
        "https://-oProxyCommand=reboot/",
        "https://a.example:99999999/",
        "https://a\u202eb.example/",
        "ftp://a.example/",
        "https://a.example/" + "a" * 1000,
    ],
)
def test_a_hostile_url_never_gets_into_a_command(url: str):
    """A `jwks_uri` is remote, and commands are there to be pasted into a shell."""
    advice = for_finding(finding(Code.NO_CACHE), "https://a.example", url)

    assert advice == FINDINGS[Code.NO_CACHE]


def test_a_filled_command_asks_for_exactly_the_url():
    url = "https://a.example:8443/keys?p=B2C_1&v=2.0~x%20y"
    advice = for_finding(finding(Code.NO_CACHE), "https://a.example", url)

    assert shlex.split(advice.command)[-1] == url


@pytest.mark.parametrize(
    ("url", "dual_stack"),
    [
        (
            "https://oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF",
            "oidc-eks.eu-central-1.api.aws",
        ),
        (
            "https://oidc.eks.cn-north-1.amazonaws.com.cn/id/0123456789ABCDEF0123456789ABCDEF",
            None,
        ),
    ],
)
def test_an_eks_name_that_is_hidden_by_the_vpc_is_our_fault(url: str, dual_stack: str | None):
    """STS resolves it from outside and is served; the vantage is to be mended."""
    advice = for_failure(failure(Stage.DNS, Reason.NXDOMAIN), url)

    assert (advice.cause, advice.error) == (Cause.US, "")
    assert ("api.aws" in advice.todo) is (dual_stack is not None)
    assert (dual_stack or "") in advice.command
    assert "$" not in advice.meaning + advice.todo + advice.command


def test_a_look_alike_of_eks_is_not_excused():
    for url in (
        "https://oidc.eks.eu-central-1.amazonaws.com.evil.example/id/0",
        "https://x.oidc.eks.eu-central-1.amazonaws.com/id/0",
    ):
        assert for_failure(failure(Stage.DNS, Reason.NXDOMAIN), url).cause is Cause.UNREACHABLE


@pytest.mark.parametrize(
    ("about", "url", "word"),
    [
        (
            (Stage.HTTP, Reason.RATE_LIMITED),
            "https://oidc.eks.us-east-1.amazonaws.com/id/0",
            "EKS",
        ),
        ((Stage.HTTP, Reason.FORBIDDEN), "https://b.s3.eu-west-1.amazonaws.com/x", "bucket"),
        ((Stage.HTTP, Reason.FORBIDDEN), "https://s3-us-west-2.amazonaws.com/b", "bucket"),
        ((Stage.HTTP, Reason.REDIRECT), "https://b.s3.amazonaws.com", "S3"),
        ((Stage.DOCUMENT, Reason.ISSUER_MISMATCH), "https://t.eu.auth0.com", "slash"),
        (
            (Stage.DOCUMENT, Reason.ISSUER_MISMATCH),
            "https://login.microsoftonline.com/common/v2.0",
            "Entra",
        ),
        (Code.NO_CACHE, "https://id.example.com/realms/master", "Keycloak"),
        (Code.ENCRYPTION_USE, "https://id.example.com/auth/realms/a/", "Keycloak"),
        (Code.NO_CACHE, "https://acme.okta.com/oauth2/default", "Okta"),
        ((Stage.HTTP, Reason.FORBIDDEN), "https://id.example.com", "firewall"),
        ((Stage.DOCUMENT, Reason.ISSUER_MISMATCH), "https://t.auth0.com/", "another issuer"),
        (Code.NO_CACHE, "https://okta.com.example.com", "forbids caching"),
    ],
)
def test_what_is_known_of_an_issuer_is_told(about: object, url: str, word: str):
    if isinstance(about, Code):
        advice = for_finding(finding(about), url)
    else:
        advice = for_failure(failure(*about), url)  # type: ignore[misc]

    assert word in advice.title


def test_a_discovery_document_that_forbids_caching_is_no_reason_to_act():
    """AWS's article speaks of the key set."""
    url = "https://id.example.com/realms/master"
    told = for_finding(finding(Code.NO_CACHE, Document.DISCOVERY), url)

    assert told.title == "The discovery document forbids caching"
    assert told.anchor == FINDINGS[Code.NO_CACHE].anchor
    assert f'"{url}/.well-known/openid-configuration"' in told.command
    assert "Keycloak" in for_finding(finding(Code.NO_CACHE, Document.JWKS), url).title


def test_every_special_advice_is_reached_by_some_issuer():
    """A row behind another one for the same issuer and reason would never be read."""
    seen = [(pattern.pattern, key) for pattern, (key, _) in issuers.ROWS]

    assert len(set(seen)) == len(seen)


def test_the_tables_in_the_documentation_are_fresh():
    """Mend with `python -m exporter.advice docs/how-sts-sees-an-issuer.md`."""
    text = (DOCS / "how-sts-sees-an-issuer.md").read_text("utf-8")

    assert text.count("<!-- BEGIN ") == 3
    assert refreshed(text) == text


def test_the_command_writes_only_between_the_markers(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- BEGIN causes -->\nold\n<!-- END causes -->\nafter\n")
    monkeypatch.setattr(sys, "argv", ["advice", str(page)])
    runpy.run_module("exporter.advice", run_name="__main__")
    text = page.read_text()

    assert text.startswith("before\n<!-- BEGIN causes -->\n| cause |")
    assert text.endswith("|\n<!-- END causes -->\nafter\n")
    assert "\nold\n" not in text


def test_an_unknown_table_is_an_error():
    with pytest.raises(KeyError, match="cases"):
        refreshed("<!-- BEGIN cases --><!-- END cases -->")


def test_filling_leaves_the_tables_alone():
    before = replace(FAILURES[Stage.TLS, Reason.EXPIRED])
    for_failure(failure(Stage.TLS, Reason.EXPIRED), "https://id.example.com")

    assert FAILURES[Stage.TLS, Reason.EXPIRED] == before
