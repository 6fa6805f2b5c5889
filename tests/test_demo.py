"""The demo as its user sees it: issuers of every kind, the exporter on them, a clean end."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from exporter.demo import Running, issuers
from exporter.demo.catalogue import ISSUERS, ROTATION_SECONDS, DemoIssuer, Keys, Trust
from exporter.demo.nameserver import KNOWN_NAME, answer
from exporter.demo.sites import Answer, fresh, site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
