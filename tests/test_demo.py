"""The demo as its user sees it: issuers of every kind, the exporter on them, a clean end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.demo import Running, issuers, main, process
from exporter.demo.catalogue import ISSUERS, ROTATION_SECONDS, DemoIssuer, Keys, Trust
from exporter.demo.nameserver import KNOWN_NAME, answer
from exporter.demo.sites import Answer, fresh, site
from tests.daemon import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.samples import Sample

NOW = 1_790_000_000.0
BY_NAME = {issuer.name: issuer for issuer in ISSUERS}


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with issuers() as place:
        yield place


def get(place: Running, url: str) -> tuple[HTTPResponse, bytes]:
    """What *url* answers, dialled on loopback and verified against the demo's own root."""
    parts = urlsplit(url)
    context = ssl.create_default_context(cafile=place.ca_file)
    connection = HTTPSConnection(parts.netloc)
    with (
        socket.create_connection(("127.0.0.1", place.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=parts.hostname) as connection.sock,
    ):
        connection.request("GET", parts.path)
        response = connection.getresponse()
        return response, response.read()


def discovery_url(issuer: DemoIssuer) -> str:
    return f"{site(issuer).url.rstrip('/')}/.well-known/openid-configuration"


def documents(issuer: DemoIssuer, now: float) -> list[Answer]:
    return [make(now) for make in site(issuer).answers.values()]


def ask(name: str, kind: int, *, flags: int = 0x0100) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return (
        struct.pack("!6H", 7, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)
    )


def is_gone(pid: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return True


def eventually(holds: Callable[[], bool], *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


RECORDED = [issuer for issuer in ISSUERS if issuer.recording]


@pytest.mark.parametrize("issuer", RECORDED, ids=lambda issuer: issuer.name)
def test_a_recorded_issuer_answers_under_its_real_name(running: Running, issuer: DemoIssuer):
    """SNI, Host and path choose the site, so no document had to be rewritten."""
    response, body = get(running, discovery_url(issuer))

    assert response.status == 200
    if issuer.name == "kind":
        return
    document = json.loads(body)
    key_response, keys = get(running, document["jwks_uri"])
    assert (document["issuer"] == site(issuer).url) is (issuer.stage is None)
    assert key_response.status == 200
    assert json.loads(keys)["keys"]


@pytest.mark.parametrize(
    ("name", "verify_code"),
    [("expired", 10), ("self-signed", 18), ("unknown-ca", 20), ("no-intermediate", 20)],
)
def test_a_bad_certificate_is_refused_for_its_own_reason(
    running: Running, name: str, verify_code: int
):
    with pytest.raises(ssl.SSLCertVerificationError) as refused:
        get(running, discovery_url(BY_NAME[name]))

    assert refused.value.verify_code == verify_code


def test_an_unknown_path_is_not_found(running: Running):
    assert get(running, "https://gitlab.com/else")[0].status == 404


def test_an_answer_carries_its_own_servers_name_or_none(running: Running):
    servers = {
        name: get(running, discovery_url(BY_NAME[name]))[0].headers["Server"]
        for name in ("auth0", "gitlab")
    }

    assert servers == {"auth0": "cloudflare", "gitlab": None}


def test_dates_are_fresh_and_keep_their_distance():
    """Google's answer had lain in a cache for half an hour; replayed now, it still has."""
    (discovery, _) = documents(BY_NAME["google"], NOW)
    dates = {
        name: parsedate_to_datetime(value).timestamp()
        for name, value in discovery.headers
        if name in {"Date", "Expires"}
    }

    assert dates == {"Date": NOW - 1698, "Expires": NOW - 1698 + 3600}
    assert ("Age", "1698") in discovery.headers


def test_a_recording_without_headers_is_json():
    assert fresh({}, NOW) == (("Content-Type", "application/json"),)


def test_a_plain_http_recording_moves_to_https():
    """STS accepts HTTPS only: issuer and key set move together."""
    for name in ("keycloak", "vault"):
        discovery, _ = documents(BY_NAME[name], NOW)
        document = json.loads(discovery.body)

        assert document["issuer"] == site(BY_NAME[name]).url
        assert document["jwks_uri"].startswith(f"https://{name}.demo.example/")


def test_a_rotation_brings_one_key_and_keeps_one():
    def kids(now: float) -> list[str]:
        return [
            key["kid"]
            for key in json.loads(documents(BY_NAME["rotating"], now)[1].body)["keys"]
        ]

    before, after = kids(NOW), kids(NOW + ROTATION_SECONDS)

    assert len({*before, *after}) == 3
    assert after[0] == before[1]
    assert documents(BY_NAME["rotating"], NOW)[1] == documents(BY_NAME["rotating"], NOW)[1]


def test_the_name_server_knows_one_name():
    known, unknown = ask(KNOWN_NAME, 1), ask("unknown-host.demo.example", 1)
    ipv6 = ask(KNOWN_NAME.upper(), 28)

    def verdict(query: bytes) -> tuple[int, int, bytes]:
        response = answer(query) or b""
        query_id, flags, _, answers, _, _ = struct.unpack_from("!6H", response)
        assert query_id == 7
        return flags & 0xF, answers, response[-4:] if answers else b""

    assert verdict(known) == (0, 1, bytes([127, 0, 0, 1]))
    assert verdict(ipv6) == (0, 0, b"")
    assert verdict(unknown) == (3, 0, b"")


@pytest.mark.parametrize(
    "datagram",
    [b"", b"\0" * 11, ask("cut.example", 1)[:-3], ask("reply.example", 1, flags=0x8180)],
    ids=["nothing", "half a header", "half a question", "somebody's reply"],
)
def test_the_name_server_ignores_what_is_no_question(datagram: bytes):
    assert answer(datagram) is None


def test_every_way_of_misbehaving_is_shown():
    """A kind of certificate or key set that no issuer uses would be dead code."""
    assert {issuer.trust for issuer in ISSUERS} == set(Trust)
    assert {issuer.keys for issuer in ISSUERS} == set(Keys)
    assert len(BY_NAME) == len(ISSUERS)


def test_the_issuers_end_with_the_block_and_leave_nothing():
    with issuers() as place:
        assert place.ca_file.exists()

    assert is_gone(place.pid)
    assert not place.directory.exists()


def test_the_issuers_end_when_their_parent_is_killed():
    """Nobody is left to tell them: they notice that the pipe has no other end any more."""
    code = (
        "import os, signal\n"
        "from exporter.demo import issuers\n"
        "with issuers() as place:\n"
        "    print(place.pid, place.directory, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    parent = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=20
    )
    pid, directory = parent.stdout.split()

    assert parent.returncode == -signal.SIGKILL
    assert eventually(lambda: is_gone(int(pid)), seconds=5)
    assert not os.path.exists(directory)  # noqa: PTH110


def test_issuers_that_cannot_start_say_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(RuntimeError, match="did not start"), issuers():
        pass


def test_issuers_that_do_not_end_are_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A demo that has been told to end must not wait for what hangs."""
    place = {"directory": str(tmp_path), "port": 1, "nameserver_port": 1, "pid": 0}
    stubborn = tmp_path / "stubborn"
    stubborn.write_text(f"#!/bin/sh\necho '{json.dumps(place)}'\nexec sleep 60\n")
    stubborn.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stubborn))
    monkeypatch.setattr(process, "_STOP_SECONDS", 0.1)
    started = time.monotonic()
    with issuers():
        pass

    assert time.monotonic() - started < 30


def test_a_signal_before_the_issuers_stand_ends_the_demo(monkeypatch: pytest.MonkeyPatch):
    @contextmanager
    def interrupted() -> Iterator[Running]:
        signal.raise_signal(signal.SIGTERM)
        yield Running(directory=Path(), port=0, nameserver_port=0, pid=0)

    monkeypatch.setattr(main, "issuers", interrupted)
    before = signal.getsignal(signal.SIGTERM)

    assert main.run() == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_name_server_outlives_garbage(running: Running):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(("127.0.0.1", running.nameserver_port))
        client.send(b"garbage")
        client.send(ask(KNOWN_NAME, 1))

        assert client.recv(512) == answer(ask(KNOWN_NAME, 1))


COMMAND = Path(sys.executable).parent / "oidc-issuer-exporter"


def test_check_ends_quietly_when_nobody_reads_on(running: Running, tmp_path: Path):
    """As in `oidc-issuer-exporter check ... | head -1`."""
    config = tmp_path / "config.yaml"
    config.write_text(running.config(), encoding="utf-8")
    reading, writing = os.pipe()
    os.close(reading)
    checked = subprocess.run(
        [COMMAND, "check", f"--config.file={config}", "google", "no-keys"],
        check=False,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=20,
    )
    os.close(writing)

    assert (checked.returncode, checked.stderr) == (1, "")


# Long enough for a busy machine; a healthy one needs the interval and the slowest issuer.
FIRST_ROUND_SECONDS = 30


class Demo:
    """A demo in a process group of its own, as a terminal would start it."""

    def __init__(self, port: int, output: Path, *flags: str, path: str | None = None) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self.output = output
        listen = f"--web.listen-address=127.0.0.1:{port}"
        with output.open("wb") as stream:
            self.process = subprocess.Popen(
                [COMMAND, "demo", listen, "--interval=2s", *flags],
                env=environment() | ({} if path is None else {"PATH": path}),
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        return self.output.read_text(encoding="utf-8")

    @property
    def directory(self) -> Path:
        """The folder of its configuration, as the guide names it."""
        match = re.search(r"(/\S+)/config\.yaml$", self.text, re.MULTILINE)
        return Path(match[1]) if match else Path()

    def samples(self) -> list[Sample]:
        try:
            with urllib.request.urlopen(f"{self.base}/metrics", timeout=5) as response:
                text = response.read().decode()
        except OSError:
            return []
        return [
            sample
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]

    def end(self, signum: int = signal.SIGKILL) -> int:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signum)
        return self.process.wait(10)


@pytest.fixture
def start(tmp_path: Path, unused_tcp_port: int) -> Iterator[Callable[..., Demo]]:
    started: list[Demo] = []

    def begin(*flags: str, path: str | None = None) -> Demo:
        started.append(Demo(unused_tcp_port, tmp_path / "output", *flags, path=path))
        return started[-1]

    yield begin
    for demo in started:
        demo.end()


def children_of(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def verdicts(samples: list[Sample]) -> dict[str, str]:
    """Each issuer's state as the metrics tell it, in the catalogue's words."""
    usable = {s.labels["issuer"]: "usable" for s in samples if s.name == "oidc_probe_success"}
    failing = {
        s.labels["issuer"]: f"{s.labels['stage']}/{s.labels['reason']}"
        for s in samples
        if s.name == "oidc_probe_failure_info"
    }
    return usable | failing


def test_every_issuer_comes_out_as_the_catalogue_says(start: Callable[..., Demo]):
    """The whole way: real daemon, real TLS, DNS and HTTP, one scrape."""
    demo = start("--no-alerting")
    expected = {issuer.name: issuer.expected for issuer in ISSUERS}
    eventually(
        lambda: len(verdicts(demo.samples())) == len(expected), seconds=FIRST_ROUND_SECONDS
    )
    samples = demo.samples()
    found = {
        (s.labels["issuer"], s.labels["code"]) for s in samples if s.name == "oidc_finding_info"
    }
    ends = {
        s.labels["issuer"]: s.value
        for s in samples
        if s.name == "oidc_tls_certificate_not_after_timestamp_seconds"
        and s.labels["position"] == "leaf"
    }
    helpers = children_of(demo.process.pid)

    assert verdicts(samples) == expected
    assert found >= {(issuer.name, code) for issuer in ISSUERS for code in issuer.findings}
    assert ends["expired"] < time.time() < ends["gitlab"] < time.time() + 21 * 86_400
    assert all(f"  {name} " in demo.text for name in expected)

    directory = demo.directory
    assert directory.is_dir()
    assert demo.end(signal.SIGINT) == 0
    assert [pid for pid in helpers if not is_gone(pid)] == []
    assert not directory.exists()
    assert "Traceback" not in demo.text


def test_sigterm_ends_the_demo_as_soon_as_it_has_begun(start: Callable[..., Demo]):
    """A supervisor that changes its mind leaves neither a process nor a folder behind."""
    demo = start("--no-alerting")
    assert eventually(lambda: demo.directory.is_dir() and demo.directory != Path(), seconds=20)
    directory, helpers = demo.directory, children_of(demo.process.pid)
    demo.process.terminate()

    assert demo.process.wait(10) == 0
    assert [pid for pid in helpers if not is_gone(pid)] == []
    assert not directory.exists()
    assert "Traceback" not in demo.text
