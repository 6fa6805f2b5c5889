"""TLS and client certificates, met by clients that are not ours, and changed under them."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from structlog.testing import capture_logs

from exporter.config import ConfigError
from exporter.demo.programs import free_address
from exporter.own_metrics import Own
from exporter.web import server as server_module
from tests.authority import issue
from tests.web import (
    CLIENTS,
    MUTUAL,
    NAME,
    PASSWORD,
    SERVERS,
    TLS,
    USERS,
    ca,
    put,
    server,
    serving,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.web import Served

PATIENCE_SECONDS = 30.0
CLIENT = ("--cert", "client.pem", "--key", "client.key")
STRANGER = ("--cert", "stranger.pem", "--key", "stranger.key")


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """curl's files are named without their folder."""
    monkeypatch.chdir(tmp_path)


async def shown(served: Served, **options: Any) -> x509.Certificate:
    """The certificate that a new connection is shown."""
    context = ssl.create_default_context(cafile=served.folder / "servers.pem")
    _, writer = await asyncio.open_connection(
        "127.0.0.1", served.port, ssl=context, server_hostname=NAME, **options
    )
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(found)


async def until(what: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (found := await what()):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)
        return found


async def test_curl_asks_over_tls(tmp_path: Path) -> None:
    async with serving(tmp_path, TLS) as served:
        answer = await served.curl("/metrics", "--http2")
        refused = await served.curl("/metrics", "--cacert", "clients.pem")

    assert (answer.status, answer.text.split()[0]) == (200, "HTTP/1.1")
    assert (refused.code, refused.status) == (60, 0)


async def test_what_is_not_tls_is_not_answered(tmp_path: Path) -> None:
    async with serving(tmp_path, TLS) as served:
        served.scheme = "http"
        assert (await served.curl("/metrics")).code in {52, 56}


@pytest.mark.parametrize(
    ("text", "options", "is_taken"),
    [
        ("min_version: TLS13", ("--tls-max", "1.2"), False),
        ("min_version: TLS13", (), True),
        ("max_version: TLS12", ("--tlsv1.3",), False),
        ("max_version: TLS12", (), True),
        ("cipher_suites: [TLS_AES_128_GCM_SHA256]", ("--tls-max", "1.2"), False),
        (
            "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]",
            ("--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES256-GCM-SHA384"),
            False,
        ),
        (
            "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]",
            ("--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256"),
            True,
        ),
        ("curve_preferences: [CurveP521]", ("--curves", "X25519"), False),
        ("curve_preferences: [CurveP521]", ("--curves", "P-521"), True),
        ("curve_preferences: [CurveP256]", ("--curves", "P-256"), True),
    ],
)
async def test_versions_suites_and_curves_are_what_the_file_says(
    tmp_path: Path,
    text: str,
    options: tuple[str, ...],
    is_taken: bool,  # noqa: FBT001
) -> None:
    async with serving(tmp_path, f"{TLS}  {text}\n") as served:
        answer = await served.curl("/-/healthy", *options)

    assert (answer.status == 200) is is_taken, answer


@pytest.mark.parametrize("prefers", [True, False])
async def test_whose_order_of_suites_counts(tmp_path: Path, prefers: bool) -> None:  # noqa: FBT001
    ours, theirs = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"
    text = f"""{TLS}
  max_version: TLS12
  cipher_suites:
  - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
  - TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
  prefer_server_cipher_suites: {str(prefers).lower()}
"""
    async with serving(tmp_path, text) as served:
        context = ssl.create_default_context(cafile=tmp_path / "servers.pem")
        context.set_ciphers(f"{theirs}:{ours}")
        _, writer = await asyncio.open_connection(
            "127.0.0.1", served.port, ssl=context, server_hostname=NAME
        )
        name, *_ = writer.get_extra_info("cipher")
        writer.close()

    assert name == (ours if prefers else theirs)


OPTIONAL = MUTUAL.replace("RequireAndVerify", "Verify").replace(
    "ClientCert", "ClientCertIfGiven"
)


@pytest.mark.parametrize(
    ("text", "options", "is_taken"),
    [
        (MUTUAL, CLIENT, True),
        (MUTUAL, STRANGER, False),
        (MUTUAL, (), False),
        (OPTIONAL, CLIENT, True),
        (OPTIONAL, STRANGER, False),
        (OPTIONAL, (), True),
    ],
)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_clients_are_asked_for_certificates(
    tmp_path: Path,
    text: str,
    options: tuple[str, ...],
    is_taken: bool,  # noqa: FBT001
    version: str,
) -> None:
    """In TLS 1.3 a client learns of its refusal after its own handshake is done."""
    async with serving(tmp_path, text) as served:
        answer = await served.curl("/metrics", "--tls-max", version, *options)
        healthy = await served.curl("/-/healthy", "--tls-max", version, *options)

    assert (answer.status == 200) is is_taken, answer
    assert (healthy.status == 200) is is_taken


async def test_an_intermediate_is_trusted_that_is_named_without_its_root(
    tmp_path: Path,
) -> None:
    """As in Go: what client_ca_file names is trusted."""
    below = issue("Intermediate", ca(CLIENTS), is_ca=True)
    async with serving(tmp_path, MUTUAL) as served:
        put(tmp_path, "clients", below)
        put(tmp_path, "client", issue("a", below, usage=x509.OID_CLIENT_AUTH))
        await served.server.reload()
        assert (await served.curl("/metrics", *CLIENT)).status == 200


async def test_a_servers_certificate_is_no_clients(tmp_path: Path) -> None:
    async with serving(tmp_path, MUTUAL) as served:
        put(tmp_path, "client", issue("a", ca(CLIENTS), host="prometheus.test"))
        assert (await served.curl("/metrics", *CLIENT)).status == 0


@pytest.mark.parametrize(("name", "status"), [("prometheus.test", 200), ("other.test", 0)])
async def test_a_client_of_another_name_is_cut_off(
    tmp_path: Path, name: str, status: int
) -> None:
    async with serving(tmp_path, f"{MUTUAL}  client_allowed_sans: [{name}]\n") as served:
        with capture_logs() as logs:
            answer = await served.curl("/-/healthy", *CLIENT)

    assert answer.status == status
    refusals = [line for line in logs if line["event"] == "connection.refused"]
    assert [line["reason"] for line in refusals] == (
        [] if status else ["none of its names is in client_allowed_sans: prometheus.test"]
    )


async def test_users_and_certificates_go_together(tmp_path: Path) -> None:
    async with serving(tmp_path, MUTUAL + USERS) as served:
        assert (await served.curl("/metrics", *CLIENT)).status == 401
        alice = ("--user", f"alice:{PASSWORD}")
        assert (await served.curl("/metrics", *CLIENT, *alice)).status == 200
        assert (await served.curl("/metrics", *alice)).status == 0


async def test_a_new_certificate_is_shown_to_new_connections_and_nobody_is_turned_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cert-manager and the kubelet replace files; nobody tells us."""
    monkeypatch.setattr(server_module, "LOOK_SECONDS", 0.02)
    renewed = issue(NAME, ca(SERVERS), host=NAME)
    failures = []
    async with serving(tmp_path, TLS) as served:
        watch = asyncio.create_task(served.server.watch())
        assert await shown(served) == server().certificate

        async def is_renewed() -> bool:
            try:
                return await shown(served) == renewed.certificate
            except OSError as error:
                failures.append(error)
                return False

        put(tmp_path, "server", renewed)
        await until(is_renewed)
        watch.cancel()

    assert failures == []


async def test_a_certificate_without_its_key_is_waited_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files are two writes. The old pair stays meanwhile, and the gauge tells."""
    monkeypatch.setattr(server_module, "LOOK_SECONDS", 0.02)
    renewed = issue(NAME, ca(SERVERS), host=NAME)
    async with serving(tmp_path, TLS) as served:
        gauge = served.store.own.registry.get_sample_value
        served.store.own.loaded(vantage="", config_sha256="", at=0.0)
        watch = asyncio.create_task(served.server.watch())
        with capture_logs() as logs:
            certificate = renewed.certificate.public_bytes(Encoding.PEM)
            (tmp_path / "server.pem").write_bytes(certificate)

            async def is_told() -> bool:
                return gauge("oidc_exporter_config_last_reload_successful") == 0

            await until(is_told)
            assert await shown(served) == server().certificate
            put(tmp_path, "server", renewed)

            async def is_over() -> bool:
                return gauge("oidc_exporter_config_last_reload_successful") == 1

            await until(is_over)
            assert await shown(served) == renewed.certificate
        watch.cancel()

    (rejected,) = (line for line in logs if line["event"] == "web_config.rejected")
    wish = "want the key of the first certificate, got another one's"
    place = f"{tmp_path}/web.yaml:3: tls_server_config.key_file"
    assert rejected["problem"] == f"{place}: {wish}"


async def test_a_file_put_back_after_a_reload_by_hand_counts_as_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch never sees the bad one, and would leave the alert standing."""
    monkeypatch.setattr(server_module, "LOOK_SECONDS", 0.1)
    async with serving(tmp_path, TLS) as served:
        gauge = served.store.own.registry.get_sample_value
        served.store.own.loaded(vantage="", config_sha256="", at=0.0)
        watch = asyncio.create_task(served.server.watch())
        file = tmp_path / "web.yaml"
        good = file.read_bytes()
        file.write_text("nonsense")
        with pytest.raises(ConfigError):
            await served.server.reload()
        file.write_bytes(good)

        async def is_over() -> bool:
            return gauge("oidc_exporter_config_last_reload_successful") == 1

        await until(is_over)
        watch.cancel()


def test_the_gauge_is_well_when_both_configurations_are() -> None:
    own = Own()

    def gauge() -> float | None:
        return own.registry.get_sample_value("oidc_exporter_config_last_reload_successful")

    own.loaded(vantage="", config_sha256="", at=0.0)
    assert gauge() == 1
    own.web_reloaded(is_success=False)
    own.loaded(vantage="", config_sha256="", at=1.0)
    assert gauge() == 0
    own.web_reloaded(is_success=True)
    assert gauge() == 1
    own.load_failed()
    own.web_reloaded(is_success=True)
    assert gauge() == 0


async def test_what_is_still_being_written_is_waited_for_and_refused_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = iter(["half", "whole", "whole"])
    looks: list[str] = []
    loads: list[int] = []

    def look(_path: Path) -> str:
        looks.append(next(contents, "whole"))
        return looks[-1]

    def load(_path: Path) -> None:
        loads.append(len(looks))
        raise ConfigError(["wrong"])

    async def has_looked() -> bool:
        return len(looks) > 8

    async with serving(tmp_path, TLS) as served:
        monkeypatch.setattr(server_module, "LOOK_SECONDS", 0.01)
        monkeypatch.setattr(server_module, "digest", look)
        monkeypatch.setattr(server_module, "load", load)
        watch = asyncio.create_task(served.server.watch())
        await until(has_looked)
        watch.cancel()

    assert loads == [3]


async def test_a_broken_file_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    async with serving(tmp_path, MUTUAL + USERS) as served:
        for text in ("", "{", "tls_server_config: {cert_file: none.pem}", "nonsense: 1"):
            (tmp_path / "web.yaml").write_text(text or MUTUAL.replace("server.key", "x.key"))
            with pytest.raises(ConfigError):
                await served.server.reload()
            assert (await served.curl("/metrics", *CLIENT)).status == 401
            assert (await served.curl("/metrics")).status == 0


async def test_a_bug_is_told_and_ends_no_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_path: Path) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(server_module, "load", broken)
    monkeypatch.setattr(server_module, "LOOK_SECONDS", 0.01)
    async with serving(tmp_path, TLS) as served:
        watch = asyncio.create_task(served.server.watch())
        with capture_logs() as logs:
            for cost in ("1s", "2s"):
                told = len(logs)
                text = f"{TLS}\nrate_limit: {{interval: {cost}}}\n"
                (tmp_path / "web.yaml").write_text(text)

                async def is_told(told: int = told) -> bool:
                    return len(logs) > told

                await until(is_told)
        assert not watch.done()
        watch.cancel()

    assert {line["event"] for line in logs} == {"web_config.panicked"}


async def test_tls_can_be_put_on_and_taken_off(tmp_path: Path) -> None:
    async with serving(tmp_path, "") as served:
        assert (await served.curl("/metrics")).status == 200
        (tmp_path / "web.yaml").write_text(TLS)
        await served.server.reload()
        assert (await served.curl("/metrics")).status == 0
        served.scheme = "https"
        assert (await served.curl("/metrics")).status == 200
        (tmp_path / "web.yaml").write_text("")
        await served.server.reload()
        served.scheme = "http"
        assert (await served.curl("/metrics")).status == 200


async def test_what_is_the_same_again_is_left_alone(tmp_path: Path) -> None:
    async with serving(tmp_path, TLS) as served:
        before = served.server._servers
        (tmp_path / "web.yaml").write_text(f"{TLS}\n# a comment\n{USERS}")
        await served.server.reload()
        assert served.server._servers is before
        assert (await served.curl("/metrics")).status == 401


async def test_whose_trust_has_ended_may_not_keep_a_connection(tmp_path: Path) -> None:
    """Prometheus keeps one for ever: a client that is trusted no more would be, on it."""
    async with serving(tmp_path, MUTUAL) as served:
        context = ssl.create_default_context(cafile=tmp_path / "servers.pem")
        context.load_cert_chain("client.pem", "client.key")
        connector = aiohttp.TCPConnector(ssl=context, resolver=_Loopback())
        async with aiohttp.ClientSession(connector=connector) as session:
            url = f"https://{NAME}:{served.port}/metrics"
            assert await status(session, url) == 200
            put(tmp_path, "clients", ca("Somebody's CA"))
            await served.server.reload()
            assert await status(session, url) == 200
            with pytest.raises(aiohttp.ClientError):
                await status(session, url)


async def status(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url) as response:
        await response.read()
        return response.status


class _Loopback(aiohttp.abc.AbstractResolver):
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        assert family is not None
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": 0,
            }
        ]

    async def close(self) -> None:
        pass


async def test_http2_is_refused_by_name_and_told_of(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with serving(tmp_path, f"{TLS}\nhttp_server_config: {{http2: true}}\n"):
            pass
        async with serving(tmp_path, f"{TLS}\nhttp_server_config: {{http2: false}}\n"):
            pass

    assert [(line["event"], line["key"]) for line in logs] == [("web_config.ignored", "http2")]


@asynccontextmanager
async def prometheus(folder: Path, jobs: list[dict[str, Any]]) -> AsyncIterator[str]:
    """A real Prometheus with these scrape jobs; yields its API's URL."""
    if shutil.which("prometheus") is None:
        pytest.fail("prometheus is missing: apt-get install prometheus")
    config = folder / "prometheus.yml"
    config.write_text(json.dumps({"scrape_configs": jobs}))
    address = free_address()
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=error",
    )
    try:
        yield f"http://{address}/api/v1"
    finally:
        process.terminate()
        await process.wait()


async def scraped(api: str, count: int) -> dict[str, tuple[str, str]]:
    """What Prometheus says of each job, once it has scraped *count* of them."""
    patience = time.monotonic() + PATIENCE_SECONDS
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < patience:
            try:
                async with session.get(f"{api}/targets") as response:
                    targets = (await response.json())["data"]["activeTargets"]
            except (aiohttp.ClientError, KeyError):
                targets = []
            if [t["health"] != "unknown" for t in targets] == [True] * count:
                return {t["labels"]["job"]: (t["health"], t["lastError"]) for t in targets}
            await asyncio.sleep(0.1)
    pytest.fail("Prometheus has not scraped within its patience")


async def test_prometheus_scrapes_with_a_password_and_with_a_certificate(
    tmp_path: Path,
) -> None:
    tls = {"ca_file": "servers.pem", "server_name": NAME}
    mutual = {**tls, "cert_file": "client.pem", "key_file": "client.key"}
    user = {"username": "alice", "password": PASSWORD}

    def job(name: str, port: int, **more: Any) -> dict[str, Any]:
        target = {"targets": [f"127.0.0.1:{port}"]}
        return {
            "job_name": name,
            "scheme": "https",
            "scrape_interval": "1s",
            "static_configs": [target],
            **more,
        }

    (tmp_path / "mutual").mkdir()
    async with (
        serving(tmp_path, TLS + USERS) as by_password,
        serving(tmp_path / "mutual", MUTUAL) as by_certificate,
    ):
        jobs = [
            job("password", by_password.port, tls_config=tls, basic_auth=user),
            job(
                "wrong password",
                by_password.port,
                tls_config=tls,
                basic_auth={**user, "password": "wrong"},
            ),
            job("certificate", by_certificate.port, tls_config=mutual),
            job("no certificate", by_certificate.port, tls_config=tls),
        ]
        async with prometheus(tmp_path, jobs) as api:
            found = await scraped(api, len(jobs))

    assert found["password"] == found["certificate"] == ("up", "")
    assert found["wrong password"] == ("down", "server returned HTTP status 401 Unauthorized")
    # Which alert it would have been does not reach the client: asyncio hangs up first.
    assert found["no certificate"][0] == "down"
