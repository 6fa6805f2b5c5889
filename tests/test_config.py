"""What an operator may write, in which files, and what becomes of it."""

from __future__ import annotations

import json
import os
import ssl
from pathlib import Path

import pytest

from exporter.config import Config, Limits, digest, gathering, load
from exporter.config.certificates import Certificates
from exporter.model import Issuer
from exporter.reasons import Family
from tests.builders import issuer
from tests.configs import URL, problems, write


@pytest.fixture
def root_pem(pki):
    """A certificate, as in a `ca_file`."""
    return (pki / "root.pem").read_text()


@pytest.fixture
def only(tmp_path):
    """The one issuer of a configuration that sets *text* for it."""

    def only(text: str = "", defaults: str = "{}") -> Issuer:
        line = f"defaults: {defaults}\nissuers: [{{url: {URL}, name: acme, {text}}}]"
        (loaded,) = load([write(tmp_path, line)]).issuers
        return loaded

    return only


def test_one_url_is_enough(tmp_path):
    """Everything else has a default, and the model has the same ones."""
    path = write(tmp_path, "issuers: [{url: https://issuer.example.com}]")

    assert load([path]) == Config(
        vantage="",
        limits=Limits(concurrency=100, concurrency_per_host=4),
        issuers=(issuer(name="issuer.example.com"),),
        sha256=digest([path]),
    )


def test_every_key_arrives(tmp_path, root_pem):
    ca_file = write(tmp_path, root_pem, "ca.pem")
    path = write(
        tmp_path,
        """
        vantage: office
        limits: {concurrency: 7, concurrency_per_host: 2}
        defaults:
          interval: 1m30s
          interval_failing: 10s
          budget: 4s
          timeout: 9s500ms
          attempts: 2
          max_body_bytes: 64KiB
          ip_family: ipv4
          nameservers: [192.0.2.53, "192.0.2.54:5353", "2001:DB8::53", "[2001:DB8::54]:5353"]
          ca_file: ca.pem
          proxy_url: http://proxy.example.com:3128/
          user_agent: probe/1 (+https://example.com)
          reuse_connection: false
          allow_private_jwks: true
          rotation_overlap: 1d
        issuers:
          - url: https://issuer.example.com/Tenant/
            name: a name, with a/slash
            audiences: [sts.amazonaws.com, "1"]
            labels: {team: platform, cluster: "no", empty: ""}
            connect_to: "[::1]:8443"
    """,
    )

    loaded = load([path])

    assert (loaded.vantage, loaded.limits) == (
        "office",
        Limits(concurrency=7, concurrency_per_host=2),
    )
    assert loaded.issuers == (
        Issuer(
            url="https://issuer.example.com/Tenant/",
            name="a name, with a/slash",
            audiences=("sts.amazonaws.com", "1"),
            labels=(("cluster", "no"), ("empty", ""), ("team", "platform")),
            connect_to=("::1", 8443),
            interval_seconds=90,
            interval_failing_seconds=10,
            budget_seconds=4,
            timeout_seconds=9.5,
            attempts=2,
            max_body_bytes=65_536,
            ip_family=Family.IPV4,
            nameservers=(
                "192.0.2.53",
                "192.0.2.54:5353",
                "2001:db8::53",
                "[2001:db8::54]:5353",
            ),
            ca_file=str(ca_file),
            proxy_url="http://proxy.example.com:3128/",
            user_agent="probe/1 (+https://example.com)",
            reuse_connection=False,
            allow_private_jwks=True,
            rotation_overlap_seconds=86_400,
        ),
    )


@pytest.mark.parametrize(
    "text",
    ["interval: 1s", "interval: 1d", "budget: 10s, timeout: 10s", "attempts: 10"],
)
def test_a_bound_may_be_reached(only, text):
    assert isinstance(only(text), Issuer)


def test_an_issuer_goes_before_the_defaults(only):
    loaded = only(
        "attempts: 3, reuse_connection: true", "{attempts: 2, reuse_connection: false}"
    )

    assert (loaded.attempts, loaded.reuse_connection) == (3, True)


@pytest.mark.parametrize(
    ("own", "defaults", "timeout", "interval_failing"),
    [
        ("", "{}", 10, 60),
        ("", "{budget: 8s, interval: 5m}", 16, 300),
        ("budget: 3s, interval: 30s", "{}", 6, 30),
        ("budget: 3s, interval: 30s", "{timeout: 7s, interval_failing: 10s}", 7, 10),
        (
            "timeout: null, interval_failing: null",
            "{timeout: 7s, interval_failing: 9s}",
            10,
            60,
        ),
    ],
)
def test_what_is_not_said_follows_from_what_is(only, own, defaults, timeout, interval_failing):
    """The timeout is twice the budget, and a failing issuer is probed as often as another."""
    loaded = only(own, defaults)

    assert (loaded.timeout_seconds, loaded.interval_failing_seconds) == (
        timeout,
        interval_failing,
    )


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.example.com", "a.example.com"),
        ("https://a.example.com/", "a.example.com/"),  # another issuer, to IAM as well
        ("https://a.example.com/Tenant", "a.example.com/Tenant"),
        # What STS could never use is for the probe to say.
        ("http://a.example.com", "http://a.example.com"),
        ("HTTPS://a.example.com", "HTTPS://a.example.com"),
        ("https://a.example.com:8443/?q=1#f", "a.example.com:8443/?q=1#f"),
        ("https://a.example.com/@x", "a.example.com/@x"),
        ("https://[2001:db8::1]/x", "[2001:db8::1]/x"),
        ("https://bücher.example", "bücher.example"),
    ],
)
def test_the_url_is_kept_to_the_letter_and_names_the_issuer(tmp_path, url, name):
    path = write(tmp_path, f'issuers: [{{url: "{url}"}}]')

    (loaded,) = load([path]).issuers

    assert (loaded.url, loaded.name) == (url, name)


def test_one_url_may_be_watched_twice_under_two_names(tmp_path):
    path = write(
        tmp_path, f"issuers: [{{url: {URL}, ip_family: ipv4}}, {{url: {URL}, name: other}}]"
    )

    assert [i.name for i in load([path]).issuers] == ["a.example.com", "other"]


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("1024", 1024), ("1KiB", 1024), ("64MiB", 2**26), ("1MB", 1_000_000)],
)
def test_a_size_is_a_number_or_has_a_unit(only, text, bytes_):
    assert only(f"max_body_bytes: {text}").max_body_bytes == bytes_


@pytest.mark.parametrize(
    "word", ["yes", "no", "on", "off", "1:30", "2026-01-01", "0x1F", ".5.1", ".inf"]
)
def test_what_yaml_1_1_would_turn_into_something_else_stays_text(only, word):
    assert only(f"labels: {{country: {word}}}").labels == (("country", word),)


@pytest.mark.parametrize("text", ["'5'", '"5"', "!!str 5"])
def test_what_is_quoted_or_called_text_is_text(only, text):
    assert only(f"labels: {{zone: {text}}}").labels == (("zone", "5"),)


def test_anchors_and_merges_share_settings(tmp_path):
    path = write(
        tmp_path,
        """
        issuers:
          - &internal {url: https://a.example.com, interval: 5m, labels: &labels {team: x}}
          - &slow {url: https://b.example.com, attempts: 2}
          - {<<: [*internal, *slow], url: https://c.example.com, labels: *labels, attempts: 3}
    """,
    )

    merged = load([path]).issuers[2]

    assert (merged.url, merged.interval_seconds, merged.labels, merged.attempts) == (
        "https://c.example.com",
        300,
        (("team", "x"),),
        3,
    )


@pytest.mark.parametrize("text", ["issuers: []", "issuer_files: []"])
def test_an_exporter_may_start_without_issuers(tmp_path, text):
    """Another program may write them later."""
    assert load([write(tmp_path, text)]).issuers == ()


def test_a_byte_order_mark_is_let_pass(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbfissuers: []")

    assert load([path]).issuers == ()


# Several files.


def test_files_are_joined_and_the_defaults_of_one_hold_for_all(tmp_path):
    one = write(tmp_path, f"issuers: [{{url: {URL}}}]\nissuer_files: [more.yaml]", "one.yaml")
    two = write(
        tmp_path,
        "defaults: {attempts: 2}\nvantage: office\nissuers: [{url: https://b.x}]",
        "two.yaml",
    )
    write(tmp_path, "[{url: https://c.x}]", "more.yaml")

    loaded = load([one, two])

    assert [(i.name, i.attempts) for i in loaded.issuers] == [
        ("a.example.com", 2),
        ("c.x", 2),
        ("b.x", 2),
    ]
    assert loaded.vantage == "office"


def test_what_holds_for_all_stands_in_one_file_only(tmp_path):
    one = write(tmp_path, "vantage: a\ndefaults: {}\nissuers: []", "one.yaml")
    two = write(tmp_path, "limits: {}\ndefaults: {}\nissuers: []", "two.yaml")
    three = write(tmp_path, "vantage: b\nlimits: {concurrency: 0}", "three.yaml")

    assert problems(one, two, three) == [
        "two.yaml:2: defaults: want it in one file, it is in one.yaml too",
        "three.yaml:1: vantage: want it in one file, it is in one.yaml too",
        "three.yaml:2: limits.concurrency: want a whole number from 1 to 10000, got 0",
        "three.yaml:2: limits: want it in one file, it is in two.yaml too",
    ]


def test_a_name_is_taken_across_files(tmp_path):
    one = write(
        tmp_path, f"issuers: [{{url: {URL}, name: acme}}]\nissuer_files: ['*.json']", "one.yaml"
    )
    two = write(tmp_path, "issuers: [{url: https://acme}]", "two.yaml")
    write(tmp_path, '[{"targets": ["https://b.x"], "labels": {"issuer": "acme"}}]', "more.json")

    assert problems(one, two) == [
        (
            "more.json:1: [0].labels.issuer: want a name of its own, 'acme' is taken by "
            "issuers[0].name in one.yaml"
        ),
        (
            "two.yaml:1: issuers[0].url: want a name of its own, 'acme' is taken by "
            "issuers[0].name in one.yaml"
        ),
    ]


def test_a_file_given_twice_is_read_once(tmp_path):
    path = write(tmp_path, f"issuers: [{{url: {URL}}}]")

    assert len(load([path, path]).issuers) == 1


def test_a_ca_file_is_relative_to_the_file_that_names_it(tmp_path, monkeypatch, root_pem):
    ca_file = write(tmp_path, root_pem, "team/ca.pem")
    write(tmp_path, f"[{{url: {URL}, ca_file: ca.pem}}]", "team/issuers.yaml")
    path = write(tmp_path, "issuer_files: [team/*.yaml]")
    monkeypatch.chdir(path.parent)

    (loaded,) = load([Path("config.yaml")]).issuers

    assert loaded.ca_file == str(ca_file)


def test_a_ca_file_is_not_followed_to_where_its_link_leads_now(tmp_path, root_pem):
    """A mounted secret is a link that is led elsewhere with every change."""
    target = write(tmp_path, root_pem, "2026/ca.pem")
    link = target.parent.parent / "ca.pem"
    link.symlink_to(target)
    path = write(tmp_path, f"issuers: [{{url: {URL}, ca_file: ca.pem}}]")

    assert load([path]).issuers[0].ca_file == str(link)


def of_version_2(pem):
    """OpenSSL takes it, `cryptography` does not."""
    der = ssl.PEM_cert_to_DER_cert(pem)
    return ssl.DER_cert_to_PEM_cert(der.replace(b"\xa0\3\2\1\2", b"\xa0\3\2\1\1", 1))


CRL = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda pem: pem.replace(pem.splitlines()[1], "A" * 64), "no certificate in it can"),
        (lambda pem: pem + CRL, "OpenSSL cannot read all"),
        (of_version_2, "a certificate in it is of X.509 version 2, want"),
    ],
    ids=["broken certificate", "broken revocation list", "version 2"],
)
def test_a_ca_file_that_no_probe_could_use_is_refused(tmp_path, root_pem, change, why):
    write(tmp_path, change(root_pem), "ca.pem")

    (problem,) = problems(write(tmp_path, f"issuers: [{{url: {URL}, ca_file: ca.pem}}]"))

    assert problem.startswith("config.yaml:1: issuers[0].ca_file: want a PEM file with")
    assert f"; ca.pem: {why}" in problem


def test_a_ca_file_is_looked_at_once_however_many_issuers_name_it(tmp_path, root_pem):
    ca_file = write(tmp_path, root_pem, "ca.pem")
    certificates = Certificates()
    found = certificates.find(tmp_path, "ca.pem")
    ca_file.unlink()

    assert certificates.find(tmp_path, "ca.pem") == found == str(ca_file)


# Issuer files.


def test_issuer_files_hold_entries_or_target_groups(tmp_path):
    write(tmp_path, f"[{{url: {URL}, interval: 5m}}]", "d/1.yaml")
    write(
        tmp_path,
        """
        - targets: [https://b.x, https://c.x]
          labels: {team: x, __meta_from: consul, __scheme__: https}
        - targets: []
        - url: https://d.x
        """,
        "d/2.yml",
    )
    write(
        tmp_path,
        '[\n\t{"targets": ["https:\\/\\/e.x"], "labels": {"issuer": "e"}}\n]',
        "d/e/3.json",
    )
    path = write(tmp_path, "issuer_files: ['d/*.y*ml', 'd/**/*.json']\ndefaults: {attempts: 2}")

    found = [(i.name, i.labels, i.interval_seconds, i.attempts) for i in load([path]).issuers]

    assert found == [
        ("a.example.com", (), 300, 2),
        ("b.x", (("team", "x"),), 60, 2),
        ("c.x", (("team", "x"),), 60, 2),
        ("d.x", (), 60, 2),
        ("e", (), 60, 2),
    ]


def test_json_says_the_same_with_and_without_escapes(tmp_path):
    """JSON writes a character beyond U+FFFF as two escapes, which YAML does not know."""
    label = r'😀 \ud83d\ude00 \\ "'
    group = [{"targets": [URL], "labels": {"team": label}}]
    write(tmp_path, json.dumps(group), "escaped.json")
    write(tmp_path, json.dumps(group, ensure_ascii=False), "plain.json")

    write(tmp_path, f"- {{targets: [{URL}], labels: {{team: '{label}'}}}}", "verbatim.yaml")

    for name in ("escaped.json", "plain.json", "verbatim.yaml"):
        (loaded,) = load([write(tmp_path, f"issuer_files: [{name}]")]).issuers
        assert loaded.labels == (("team", label),)


def test_a_pattern_that_matches_nothing_is_fine(tmp_path):
    """What writes the file may start later than the exporter."""
    assert load([write(tmp_path, "issuer_files: ['d/*.yaml', targets.json]")]).issuers == ()


def test_a_file_is_read_once_however_many_patterns_match_it(tmp_path):
    more = write(tmp_path, f"[{{url: {URL}}}]", "d/more.yaml")
    path = write(tmp_path, f"issuer_files: ['*.yaml', 'd/*.yaml', {more}, '../*/d/m*', '**']")

    assert len(load([path]).issuers) == 1


def test_a_link_that_leads_nowhere_is_a_problem(tmp_path):
    path = write(tmp_path, "issuer_files: ['*.yml']")
    (tmp_path / "gone.yml").symlink_to("nowhere")
    (tmp_path / "loop.yml").symlink_to("loop.yml")

    assert problems(path) == [
        "gone.yml: cannot be read: No such file or directory",
        "loop.yml: cannot be read: Too many levels of symbolic links",
    ]


def test_a_link_that_cannot_be_followed_is_a_problem(tmp_path):
    """As into a closed directory, which no test that root may run can make."""
    path = write(tmp_path, "issuer_files: ['*.yml']")
    (tmp_path / "long.yml").symlink_to("x" * 300)

    assert problems(path) == ["long.yml: cannot be read: File name too long"]


def test_a_pattern_matches_regular_files_only(tmp_path):
    """A pipe without a writer would hold the reload, and all that come after it."""
    path = write(tmp_path, "issuer_files: ['*.yml']")
    os.mkfifo(tmp_path / "pipe.yml")
    (tmp_path / "null.yml").symlink_to(os.devnull)

    assert problems(path) == ["null.yml: want a regular file", "pipe.yml: want a regular file"]
    assert digest([path]) == ""


def test_the_file_on_the_command_line_may_be_a_pipe():
    """As a shell's `<(...)` is."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        stream.write(f"issuers: [{{url: {URL}}}]")
    try:
        assert len(load([Path(f"/dev/fd/{reader}")]).issuers) == 1
    finally:
        os.close(reader)


def test_a_directory_stands_for_none_of_its_files(tmp_path):
    """It matches no file, and would leave everything in it unwatched without a word."""
    write(tmp_path, f"[{{url: {URL}}}]", "d/a.yaml")
    path = write(tmp_path, "issuer_files: ['*', d, absent, d/]")

    assert problems(path) == [
        "config.yaml:1: issuer_files[1]: want files, 'd' is a directory: 'd/*.yaml'",
        "config.yaml:1: issuer_files[3]: want files, 'd/' is a directory: 'd/*.yaml'",
    ]


# Digest.


def test_the_digest_is_that_of_the_loaded_configuration(tmp_path):
    write(tmp_path, f"[{{url: {URL}}}]", "d/a.yaml")
    write(tmp_path, "[{url: https://b.x}]", "d/b.yaml")
    one = write(tmp_path, "issuer_files: ['d/b.yaml', 'd/*', '*.yaml']", "one.yaml")
    two = write(tmp_path, "issuer_files: ['d/*']\nissuers: [{url: https://c.x}]", "two.yaml")

    assert digest([one, two, one]) == load([one, two]).sha256


def test_the_digest_sees_content_and_nothing_else(tmp_path):
    more = write(tmp_path, f"[{{url: {URL}}}]", "d/more.yaml")
    path = write(tmp_path, "issuer_files: ['d/*']")
    seen = [digest([path])]

    os.utime(more, (0, 0))
    more.rename(more.with_name("renamed.yaml"))
    seen.append(digest([path]))
    write(tmp_path, "[{url: https://b.x}]", "d/new.yaml")
    seen.append(digest([path]))
    write(tmp_path, "issuer_files: ['d/*']\nvantage: office")
    seen.append(digest([path]))

    assert seen[0] == seen[1]
    assert len(set(seen)) == 3


def test_content_that_moves_from_file_to_file_changes_the_digest(tmp_path):
    paths = [write(tmp_path, "a: 1", "a.yaml"), write(tmp_path, "b: 1", "b.yaml")]
    before = digest(paths)
    write(tmp_path, "a: 1b", "a.yaml")
    write(tmp_path, ": 1", "b.yaml")

    assert digest(paths) != before


@pytest.mark.parametrize(
    "text", ["issuers: [", "[]", "issuer_files: {a: b}", r'issuer_files: ["\0"]']
)
def test_a_bad_file_has_a_digest_too(tmp_path, text):
    """The automatic reload must see that it changed, and say that it is bad."""
    assert len(digest([write(tmp_path, text)])) == 64


def test_what_cannot_be_read_has_no_digest(tmp_path):
    path = write(tmp_path, "issuer_files: ['*.yml']")
    (path.parent / "gone.yml").symlink_to("nowhere")

    assert digest([path]) == digest([path.parent / "absent.yaml"]) == ""


def test_what_is_remembered_of_files_does_not_grow_with_them(tmp_path):
    """The automatic reload would hold on to every version of a long file."""
    for number in range(40):
        digest([write(tmp_path, f"issuer_files: [a.yaml] # {number} {'long' * 1000}")])

    assert len(gathering._known_patterns) <= 32
    assert {len(key) for key in gathering._known_patterns} == {32}
