"""What the command line takes, and how it refuses the rest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from exporter import __version__
from exporter.arguments import SETTINGS, parse
from exporter.model import Issuer
from exporter.reasons import Family
from exporter.web.listen import Address

if TYPE_CHECKING:
    from collections.abc import Callable

    Complain: TypeAlias = Callable[[list[str]], str]


def test_without_arguments_it_serves_by_the_defaults() -> None:
    assert vars(parse([])) == {
        "command": "serve",
        "config_files": None,
        "is_check": False,
        "auto_reload_seconds": 0.0,
        "listen_addresses": None,
        "is_activated": False,
        "web_config_file": None,
        "max_requests": 40,
        "telemetry_path": "/metrics",
        "enable_lifecycle": False,
        "prefix": "",
        "shard": None,
        "total_shards": 1,
        "level": "info",
        "line_format": None,
    }


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ("--config.file=a.yaml", "config_files", [Path("a.yaml")]),
        ("--config.check", "is_check", True),
        ("--config.auto-reload-interval=1m30s", "auto_reload_seconds", 90.0),
        ("--config.auto-reload-interval=0", "auto_reload_seconds", 0.0),
        ("--shard=0", "shard", 0),
        ("--total-shards=1000", "total_shards", 1000),
        ("--web.listen-address=[::1]:0", "listen_addresses", [Address("::1", 0)]),
        ("--web.telemetry-path=/m", "telemetry_path", "/m"),
        ("--web.telemetry-path=/", "telemetry_path", "/"),
        ("--web.enable-lifecycle", "enable_lifecycle", True),
        ("--web.external-url=https://example.com/a/b/", "prefix", "/a/b"),
        ("--web.external-url=http://example.com", "prefix", ""),
        ("--log.level=debug", "level", "debug"),
        ("--log.format=logfmt", "line_format", "logfmt"),
    ],
)
def test_every_flag_of_the_daemon_is_read(given: str, name: str, value: object) -> None:
    assert getattr(parse([given]), name) == value
    assert getattr(parse(["serve", given]), name) == value


def test_flags_that_may_be_repeated_keep_their_order() -> None:
    read = parse(["--config.file=a", "--config.file", "b", "--web.listen-address=:1"])

    assert read.config_files == [Path("a"), Path("b")]


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ("--config.file=a.yaml", "config_files", [Path("a.yaml")]),
        ("--output=json", "output", "json"),
        ("--budget=2s", "budget_seconds", 2.0),
        ("--timeout=10m", "timeout_seconds", 600.0),
        ("--connect-to=[::1]:8443", "connect_to", ("::1", 8443)),
        ("--nameserver=127.0.0.1:5353", "nameservers", ["127.0.0.1:5353"]),
        ("--ip-family=ipv6", "ip_family", Family.IPV6),
        ("--proxy-url=http://proxy:3128", "proxy_url", "http://proxy:3128"),
    ],
)
def test_every_flag_of_a_check_is_read(given: str, name: str, value: object) -> None:
    read = parse(["check", "https://a.example.com", "b", given])

    assert getattr(read, name) == value
    assert read.targets == ["https://a.example.com", "b"]


def test_a_file_of_certificates_is_read_before_it_is_needed(
    pki: Path, tmp_path: Path, complaint: Complain
) -> None:
    good, bad = pki / "root.pem", tmp_path / "bad.pem"
    bad.write_text("no certificate", encoding="utf-8")

    assert parse(["check", f"--ca-file={good}"]).ca_file == str(good)
    assert "cannot be read as PEM certificates" in complaint(["check", f"--ca-file={bad}"])
    assert "cannot be read as PEM certificates" in complaint(["check", "--ca-file=/gone"])


def test_settings_of_a_check_are_fields_of_an_issuer() -> None:
    assert set(SETTINGS) <= set(Issuer.__dataclass_fields__)
    assert set(SETTINGS) <= set(vars(parse(["check"])))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("--config.auto-reload-interval=10ms", "want 0 or at least 1s, got 10ms"),
        ("--config.auto-reload-interval=x", "'x' is no duration such as 5s, 1m30s or 1h"),
        ("--shard=-1", "want a whole number from 0 to 999, got '-1'"),
        ("--shard=1000", "want a whole number from 0 to 999, got '1000'"),
        ("--shard=auto", "want a whole number from 0 to 999, got 'auto'"),
        ("--total-shards=0", "want a whole number from 1 to 1000, got '0'"),
        ("--total-shards=1_0", "want a whole number from 1 to 1000, got '1_0'"),
        ("--web.listen-address=10184", "'10184' is not an address: write host:port"),
        ("--web.telemetry-path=metrics", "'metrics' is not a path such as /metrics"),
        ("--web.telemetry-path=/{x}", "'/{x}' is not a path such as /metrics"),
        ("--web.telemetry-path=/-/ready", "/-/ready is taken by the exporter itself"),
        ("--web.external-url=/oidc", "'/oidc' is not a URL such as https://"),
        ("--web.external-url=https://[", "Invalid IPv6 URL"),
        ("--web.external-url=https://e.com/{x}", "holds characters that a path of ours"),
        ("--log.level=trace", "invalid choice: 'trace'"),
        ("--log.format=xml", "invalid choice: 'xml'"),
        ("--web.listen=:1", "unrecognized arguments: --web.listen=:1"),
    ],
)
def test_a_wrong_flag_is_answered_with_what_is_wished(
    given: str, words: str, complaint: Complain
) -> None:
    assert words in complaint([given])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["chekc"], "invalid choice: 'chekc' (choose from"),
        (["check", "--timeout=0s"], "want a duration from 1ms to 10m, got 0s"),
        (["check", "--timeout=11m"], "want a duration from 1ms to 10m, got 11m"),
        (
            ["check", "--timeout=1s", "--budget=2s"],
            "error: want the budget within the timeout, got 2s and 1s",
        ),
        (["check", "--connect-to=host"], "want host:port or [IPv6 address]:port, got 'host'"),
        (["check", "--nameserver=dns"], "want an IP address"),
        (["check", "--proxy-url=ftp://x"], "want a URL such as http://proxy.example.com:3128"),
        (["check", "--ip-family=ipv5"], "--ip-family"),
        (["check", "--output=xml"], "invalid choice: 'xml'"),
        (["check", "--out=json"], "unrecognized arguments: --out=json"),
    ],
)
def test_a_wrong_call_is_answered_with_what_is_wished(
    given: list[str], words: str, complaint: Complain
) -> None:
    assert words in complaint(given)


@pytest.mark.parametrize(
    "given", [["--version"], ["serve", "--version"], ["check", "--version"]]
)
def test_every_command_tells_its_version(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(given)

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"oidc-issuer-exporter {__version__}\n"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--help"], ["serve", "check", "demo"]),
        (["serve", "--help"], ["--config.file", "--web.listen-address", "(default: :10184)"]),
        (["check", "-h"], ["--connect-to", "--output"]),
    ],
)
def test_help_lists_what_there_is(
    given: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(given)

    text = capsys.readouterr().out
    assert [word for word in words if word not in text] == []


@pytest.fixture
def complaint(capsys: pytest.CaptureFixture[str]) -> Complain:
    """What a wrong call is told, on standard error and with exit code 2."""

    def complain(given: list[str]) -> str:
        with pytest.raises(SystemExit) as ended:
            parse(given)

        out, err = capsys.readouterr()
        assert (ended.value.code, out) == (2, "")
        return err

    return complain


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
