"""What each demo issuer answers: recorded documents made fresh, and made-up ones."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache, partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec

from exporter.demo.catalogue import DOMAIN, ROTATION_SECONDS, DemoIssuer, Keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_WELL_KNOWN = "/.well-known/openid-configuration"
_JSON = ("Content-Type", "application/json")
_CACHEABLE = (_JSON, ("Cache-Control", "public, max-age=3600"))
_DATES = frozenset({"date", "expires", "last-modified"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One response, and how long the server thinks before it gives it."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = _CACHEABLE
    body: bytes
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One demo issuer as it stands in the configuration and on the server.

    Attributes:
        url: What is configured, and what a good discovery document repeats.
        answers: By host and path; each makes its answer for the Unix time it is given.
    """

    issuer: DemoIssuer
    url: str
    answers: Mapping[tuple[str, str], Callable[[float], Answer]]

    @property
    def hosts(self) -> frozenset[str]:
        """Every host that needs a certificate."""
        return frozenset(host for host, _ in self.answers)


def site(issuer: DemoIssuer) -> Site:
    """Lay out *issuer*: read its recording, or make its documents up."""
    recording = _recording(issuer)
    url = str(recording["issuer_url"])
    answers = {_place(f"{url.rstrip('/')}{_WELL_KNOWN}"): _discovery(issuer, recording)}
    if jwks_uri := (recording["discovery"]["body"] or {}).get("jwks_uri"):
        answers[_place(jwks_uri)] = _key_set(issuer, recording["jwks"])
    return Site(issuer=issuer, url=url, answers=answers if issuer.is_known else {})


def _place(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.netloc, parts.path


def _recording(issuer: DemoIssuer) -> dict[str, Any]:
    """The recording of *issuer*, or a made-up one of the same shape."""
    if issuer.recording is None:
        url = f"https://{issuer.name}.{DOMAIN}"
        document = {"status": 200, "headers": dict(_CACHEABLE), "body": _document(url)}
        return {"issuer_url": url, "discovery": document, "jwks": None}
    folder = files("exporter.demo") / "data" / "real-issuers"
    text = (folder / issuer.recording).read_text(encoding="utf-8")
    if issuer.origin:
        old = urlsplit(json.loads(text)["issuer_url"])
        text = text.replace(f"{old.scheme}://{old.netloc}", issuer.origin)
    recording: dict[str, Any] = json.loads(text)
    return recording


def _document(url: str) -> dict[str, object]:
    """A discovery document with every field that AWS asks for."""
    return {
        "issuer": url,
        "jwks_uri": f"{url}/keys",
        "claims_supported": ["aud", "exp", "iat", "iss", "sub"],
        "response_types_supported": ["id_token"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "subject_types_supported": ["public"],
    }


def _discovery(issuer: DemoIssuer, recording: dict[str, Any]) -> Callable[[float], Answer]:
    if page := issuer.page:
        answer = Answer(status=page.status, headers=page.headers, body=page.body.encode())
        return lambda _now: answer
    return partial(_replay, recording["discovery"], issuer.delays[0])


def _key_set(issuer: DemoIssuer, recorded: dict[str, Any] | None) -> Callable[[float], Answer]:
    if recorded is None:
        return partial(_made_key_set, issuer)
    return partial(_replay, recorded, issuer.delays[1])


def _replay(recorded: Mapping[str, Any], delay_seconds: float, now: float) -> Answer:
    """The recorded response as its server would send it at *now*."""
    text = recorded.get("body_text") or json.dumps(recorded["body"])
    return Answer(
        status=recorded["status"],
        headers=fresh(recorded["headers"], now),
        body=text.encode(),
        delay_seconds=delay_seconds,
    )


def fresh(headers: Mapping[str, str], now: float) -> tuple[tuple[str, str], ...]:
    """Recorded *headers* moved to *now*: every date keeps its distance to the others.

    A recorded `Age` stays, and `Date` lies that far back: a cache had held the answer for
    so long already. A `Content-Type` is added where none was recorded.
    """
    given = {name.lower(): value for name, value in headers.items()}
    moved: dict[str, str] = {} if "content-type" in given else dict([_JSON])
    if recorded_date := given.get("date"):
        shift = now - int(given.get("age", 0)) - _unix(recorded_date)
        moved |= {
            name: formatdate(_unix(value) + shift, usegmt=True)
            for name, value in headers.items()
            if name.lower() in _DATES
        }
    return tuple({**headers, **moved}.items())


def _unix(date: str) -> float:
    return parsedate_to_datetime(date).timestamp()


def _made_key_set(issuer: DemoIssuer, now: float) -> Answer:
    """No key, one key, or, while keys rotate, this minute's key and the one before it."""
    period = int(now // ROTATION_SECONDS)
    periods = {Keys.NONE: (), Keys.ONE: (0,), Keys.ROTATING: (period - 1, period)}[issuer.keys]
    keys = [_jwk(issuer.name, period) for period in periods]
    return Answer(body=json.dumps({"keys": keys}).encode(), delay_seconds=issuer.delays[1])


# A key is made when it is first asked for and must be the same whenever it is asked again;
# two periods of a few issuers are alive at a time.
@lru_cache(maxsize=128)
def _jwk(name: str, period: int) -> dict[str, str]:
    point = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "alg": "ES256",
        "use": "sig",
        "kid": f"{name}-{period}",
        "x": _base64url(point.x),
        "y": _base64url(point.y),
    }


def _base64url(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32)).rstrip(b"=").decode()
