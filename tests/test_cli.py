"""The commands, from their arguments to what is printed and the exit code."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from exporter import app, check, cli
from exporter.app import Options
from exporter.cli import main
from exporter.probe import Prober
from exporter.sharding import Shard
from exporter.web.listen import Address
from tests.daemon import PATIENCE_SECONDS, environment
from tests.probing import URL
from tests.servers import answering, dns_hosts, http

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporter.model import Issuer, Report
    from tests.probing import Bench


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged is the log's own matter, and must not outlive the test."""
    monkeypatch.setattr("exporter.log.configure", lambda **_: None)


@pytest.fixture
def trusted(bench: Bench) -> str:
    return f"--ca-file={bench.pki / 'root.pem'}"


def config(folder: Path, *issuers: dict[str, Any]) -> Path:
    path = folder / "config.yaml"
    path.write_text(json.dumps({"issuers": issuers}), encoding="utf-8")
    return path


def test_a_valid_configuration_is_called_valid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, {"url": URL}, {"url": f"{URL}/two"})

    assert main([f"--config.file={path}", "--config.check"]) == 0
    assert capsys.readouterr().out == "valid: 2 issuers\n"


def test_all_that_is_wrong_with_a_configuration_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, {"url": "x"}, {"ulr": URL})

    assert main([f"--config.file={path}", "--config.check"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "issuers[0].url: want a URL" in err
    assert "did you mean url?" in err


def test_without_a_file_it_looks_for_one_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2
    assert "config.yaml" in capsys.readouterr().err

    config(tmp_path, {"url": URL})
    assert main(["--config.check"]) == 0


def test_the_daemon_gets_what_the_flags_say(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Options] = []
    monkeypatch.setattr(app, "serve", served.append)

    assert main([]) == 0
    assert (
        main(
            [
                *("serve", "--config.file=a.yaml", "--config.file=b.yaml"),
                *("--config.auto-reload-interval=30s", "--web.listen-address=127.0.0.1:1"),
                *(
                    "--web.listen-address=:2",
                    "--web.telemetry-path=/m",
                    "--web.enable-lifecycle",
                ),
                "--web.external-url=https://example.com/oidc/",
            ]
        )
        == 0
    )

    assert served == [
        Options(config_files=(Path("config.yaml"),), listen_addresses=(Address("", 10184),)),
        Options(
            config_files=(Path("a.yaml"), Path("b.yaml")),
            listen_addresses=(Address("127.0.0.1", 1), Address("", 2)),
            auto_reload_seconds=30,
            telemetry_path="/m",
            enable_lifecycle=True,
            prefix="/oidc",
        ),
    ]


def test_a_shard_is_named_by_a_flag_or_by_the_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    """A StatefulSet gives all its pods the same flags; only their names differ."""
    served: list[Options] = []
    monkeypatch.setattr(app, "serve", served.append)
    monkeypatch.setattr("socket.gethostname", lambda: "oidc-2")

    assert main(["--total-shards=3"]) == 0
    monkeypatch.setenv("POD_NAME", "oidc-1")
    assert main(["--total-shards=3"]) == 0
    assert main(["--total-shards=3", "--shard=0"]) == 0
    assert main([]) == 0

    assert [options.shard for options in served] == [
        *(Shard(2, 3), Shard(1, 3), Shard(0, 3), Shard(0, 1))
    ]


@pytest.mark.parametrize("flags", [["--shard=3"], ["--shard=3", "--config.check"], []])
def test_a_shard_that_does_not_exist_is_a_wrong_call(
    flags: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("POD_NAME", "oidc-3")
    path = config(tmp_path, {"url": URL})

    assert main([f"--config.file={path}", "--total-shards=3", *flags]) == 2
    assert "is beyond --total-shards=3" in capsys.readouterr().err


def test_a_check_of_the_configuration_tells_what_each_shard_would_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where no number of a pod is to be had, as before a roll-out."""
    monkeypatch.setenv("POD_NAME", "build")
    path = config(tmp_path, *({"url": f"{URL}/{n}", "name": f"n{n}"} for n in range(4)))

    assert main([f"--config.file={path}", "--config.check", "--total-shards=3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "valid: 4 issuers"
    assert [line.partition(":")[0] for line in lines[1:]] == ["shard 0", "shard 1", "shard 2"]
    assert sum(int(line.split()[2]) for line in lines[1:]) == 4


def test_the_log_is_as_the_flags_say(monkeypatch: pytest.MonkeyPatch) -> None:
    configured: list[dict[str, Any]] = []
    monkeypatch.setattr("exporter.log.configure", lambda **more: configured.append(more))
    monkeypatch.setattr(app, "serve", lambda _: None)

    main([])
    main(["--log.level=error", "--log.format=logfmt"])

    assert configured == [
        {"level": "info", "line_format": None},
        {"level": "error", "line_format": "logfmt"},
    ]


def test_an_address_that_cannot_be_had_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, {"url": URL})

    assert main([f"--config.file={path}", "--web.listen-address=192.0.2.1:1"]) == 1
    assert "cannot listen on 192.0.2.1:1: no interface of" in capsys.readouterr().err


def test_a_usable_issuer_is_explained_and_ends_well(
    bench: Bench, trusted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    port = bench.serve()

    assert main(["check", URL, trusted, f"--connect-to=127.0.0.1:{port}"]) == 0
    text = capsys.readouterr().out
    assert "USABLE" in text
    assert URL in text


def test_an_unusable_issuer_ends_badly(
    bench: Bench, trusted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    port = bench.serve(http("{}", "403 Forbidden"))

    assert main(["check", URL, trusted, f"--connect-to=127.0.0.1:{port}"]) == 1
    assert "NOT USABLE" in capsys.readouterr().out


def test_several_issuers_are_told_in_order_and_one_bad_one_decides(
    bench: Bench, trusted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    port = bench.serve()
    call = ["check", URL, "https://127.0.0.1:1", "127.0.0.1", trusted]
    call += [f"--connect-to=127.0.0.1:{port}", "--output=json"]

    assert main(call) == 1
    reports = list(documents(capsys.readouterr().out))
    assert [report["issuer"]["url"] for report in reports] == [
        URL,
        "https://127.0.0.1:1",
        "https://127.0.0.1",
    ]
    assert [report["is_usable"] for report in reports] == [True, False, False]


def documents(text: str) -> Iterator[Any]:
    """One JSON document after the other, as jq reads them."""
    decoder, text = json.JSONDecoder(), text.lstrip()
    while text:
        document, end = decoder.raw_decode(text)
        yield document
        text = text[end:].lstrip()


def test_two_reports_are_kept_apart(
    bench: Bench, trusted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    port = bench.serve()

    main(["check", URL, trusted, f"--connect-to=127.0.0.1:{port}", URL])

    text = capsys.readouterr().out
    assert text.startswith("USABLE: ")
    assert text.count("\n\nUSABLE: ") == 1


def test_configured_issuers_are_checked_by_name_by_url_or_all(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = bench.serve()
    settings = {"connect_to": f"127.0.0.1:{port}", "ca_file": str(bench.pki / "root.pem")}
    path = config(
        tmp_path,
        {"url": URL, "name": "good", **settings},
        {"url": "https://127.0.0.1:1", "name": "bad"},
    )

    def checked(*targets: str) -> tuple[int, list[str]]:
        code = main(["check", *targets, f"--config.file={path}", "--output=json"])
        reports = documents(capsys.readouterr().out)
        return code, [report["issuer"]["name"] for report in reports]

    assert checked("good") == (0, ["good"])
    assert checked(URL) == (0, ["good"])
    assert checked() == (1, ["good", "bad"])
    assert checked("bad", "good") == (1, ["bad", "good"])


def test_a_bug_met_at_one_issuer_leaves_the_check_of_the_others(
    bench: Bench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is told as the daemon tells it; the traceback stands in the log, not on the output."""
    settings = {
        "connect_to": f"127.0.0.1:{bench.serve()}",
        "ca_file": str(bench.pki / "root.pem"),
    }
    path = config(
        tmp_path,
        {"url": URL, "name": "odd", **settings},
        {"url": URL, "name": "good", **settings},
    )
    probe = Prober.probe

    async def buggy(self: Prober, issuer: Issuer, *, attempt: int = 1) -> Report:
        if issuer.name == "odd":
            raise KeyError(issuer.name)
        return await probe(self, issuer, attempt=attempt)

    monkeypatch.setattr(Prober, "probe", buggy)
    with capture_logs() as logs:
        code = main(["check", f"--config.file={path}", "--output=json"])
    odd, good = documents(capsys.readouterr().out)

    assert (code, good["is_usable"]) == (1, True)
    assert (odd["failure"]["stage"], odd["failure"]["reason"]) == ("internal", "error")
    assert odd["failure"]["detail"].startswith("KeyError: a bug in the exporter")
    assert [(line["event"], line["issuer"]) for line in logs] == [("probe.panicked", "odd")]


def test_flags_of_a_check_go_before_the_configuration(
    bench: Bench, tmp_path: Path, trusted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    port = bench.serve()
    path = config(tmp_path, {"url": URL, "name": "good", "connect_to": "127.0.0.1:1"})
    call = ["check", "good", f"--config.file={path}", trusted, "--output=json"]

    assert main([*call, f"--connect-to=127.0.0.1:{port}", "--budget=1s"]) == 0
    (report,) = documents(capsys.readouterr().out)
    assert report["issuer"]["budget_seconds"] == 1


def test_a_check_stops_waiting_when_it_is_told_to(
    bench: Bench, trusted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    port = bench.serve(answering("stall"))
    call = ["check", URL, trusted, f"--connect-to=127.0.0.1:{port}", "--output=json"]

    assert main([*call, "--timeout=100ms"]) == 1
    (report,) = documents(capsys.readouterr().out)
    assert (report["failure"]["stage"], report["failure"]["reason"]) == ("http", "timeout")


def test_a_longer_budget_has_a_longer_timeout(capsys: pytest.CaptureFixture[str]) -> None:
    """A timeout before the budget's end would make the budget meaningless."""
    call = ["check", "https://127.0.0.1:1", "--output=json", "--budget=20s"]

    main(call)
    (report,) = documents(capsys.readouterr().out)
    assert report["issuer"]["timeout_seconds"] == 40


def test_a_check_asks_the_nameserver_it_is_told_to(
    bench: Bench, trusted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server = bench.farm.nameserver(dns_hosts("127.0.0.1", "::1"))
    call = ["check", "https://issuer.test:1", trusted, f"--nameserver={server}"]

    assert main([*call, "--ip-family=ipv6", "--output=json"]) == 1
    (report,) = documents(capsys.readouterr().out)
    assert report["failure"]["reason"] == "refused"
    assert report["fetches"]["discovery"]["address"]["ip"] == "::1"


def test_a_check_goes_through_the_proxy_it_is_told_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = ["check", "https://issuer.test", "--proxy-url=http://127.0.0.1:1", "--output=json"]

    assert main(call) == 1
    (report,) = documents(capsys.readouterr().out)
    assert report["failure"]["stage"] == "tcp"


def test_a_check_of_nothing_is_a_wrong_call(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 2
    assert "check: name a URL, or a configuration" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_check_of_a_configuration_without_issuers_is_a_wrong_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    """A pattern with a typing error names no file: a gate that lets all pass is none."""
    config = tmp_path / "config.yaml"
    config.write_text("issuer_files: [targest/*.yaml]")

    assert main(["check", f"--config.file={config}", f"--output={output}"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert f"{config}: issuers: want one at least to check, got none" in told.err


def test_a_check_with_a_wrong_configuration_is_a_wrong_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", f"--config.file={tmp_path}/none.yaml"]) == 2
    assert "none.yaml" in capsys.readouterr().err


def test_the_demo_reads_its_own_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []

    def demo(arguments: list[str]) -> int:
        given.append(arguments)
        return 7

    monkeypatch.setattr("exporter.demo.main.main", demo)

    assert main(["demo", "--interval=5s"]) == 7
    assert given == [["--interval=5s"]]


def test_a_wrong_call_is_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--nonsense"])

    assert ended.value.code == 2
    assert "--nonsense" in capsys.readouterr().err


def _raising(error: BaseException) -> Callable[..., bool]:
    def raising(*_: object) -> bool:
        raise error

    return raising


def test_ctrl_c_ends_a_check_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "check", _raising(KeyboardInterrupt()))

    assert main(["check", URL]) == 130


def test_a_reader_that_goes_away_ends_a_check_in_peace(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "out").open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(check, "check", _raising(BrokenPipeError()))

        assert main(["check", URL]) == 141
        stream.write("goes nowhere")

    assert (tmp_path / "out").read_text() == ""


@pytest.mark.parametrize(
    ("closed", "said"),
    [("<&-", "USABLE"), (">&-", ""), ("2>&-", "USABLE"), ("<&- >&- 2>&-", "")],
)
def test_a_check_means_the_same_when_standard_streams_are_closed(
    bench: Bench, trusted: str, closed: str, said: str
) -> None:
    call = f"check {URL} {trusted} --connect-to=127.0.0.1:{bench.serve()}"
    ended = in_a_shell(f"{call} {closed}")

    assert (ended.returncode, ended.stdout.partition(":")[0]) == (0, said)


def test_an_unusable_issuer_is_so_without_standard_streams() -> None:
    assert in_a_shell("check https://127.0.0.1:1 <&- >&- 2>&-").returncode == 1


def test_a_report_that_cannot_be_written_says_nothing_of_the_issuer(
    bench: Bench, trusted: str
) -> None:
    call = f"check {URL} {trusted} --connect-to=127.0.0.1:{bench.serve()}"
    ended = in_a_shell(f"{call} >/dev/full")

    assert ended.returncode == 2
    assert ended.stderr == "oidc-issuer-exporter: check: [Errno 28] No space left on device\n"
    assert in_a_shell(f"{call} >/dev/full 2>/dev/full").returncode == 2


def test_a_bug_of_ours_says_nothing_of_the_issuer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "check", _raising(ZeroDivisionError("ours")))

    assert main(["check", URL]) == 2
    said = capsys.readouterr().err
    assert said.startswith("oidc-issuer-exporter: check: a bug in the exporter\nTraceback")
    assert "ZeroDivisionError: ours" in said


def in_a_shell(call: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", f"exec {shlex.quote(sys.executable)} -m exporter {call}"],
        capture_output=True,
        check=False,
        env=environment(),
        text=True,
        timeout=PATIENCE_SECONDS,
    )


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "exporter", "check", "https://127.0.0.1:1"]
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        env=environment(),
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (1, "")
    assert "NOT USABLE" in ended.stdout
    assert cli.FAILED == 1
