"""Every key of a web configuration, as exporter-toolkit names it, its default and meaning."""

from __future__ import annotations

import re
import ssl  # noqa: TC003 - pydantic reads annotations
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import Field

from exporter.config import addresses
from exporter.config.problems import shown
from exporter.config.schema import Section
from exporter.config.values import (
    SWITCH,
    HintError,
    Kind,
    choice,
    duration,
    string,
    text,
    whole,
)
from exporter.web.algorithms import AUTH_TYPE, CURVE, SUITE, VERSION

#: Cost 18 takes some ten seconds; each step more doubles that, to days at bcrypt's limit.
HIGHEST_COST = 18

_HASH = re.compile(r"\$2[aby]\$(?P<cost>\d\d)\$[./A-Za-z0-9]{53}")
_LOWEST_COST = 4
_LONGEST_NAME = 255
_LONGEST_PEM = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret(Kind):
    """A kind of value that no message may show."""

    def check(self, value: object) -> object:
        """What *value* means. Raises ValueError with a sentence that does not hold it."""
        try:
            return self.read(value)
        except HintError as error:
            raise ValueError(f"want {self.wish}; {error}") from None
        except ValueError:
            raise ValueError(f"want {self.wish}, got something else") from None


def _hash(value: object) -> bytes:
    found = _HASH.fullmatch(string(value))
    if found is None:
        raise ValueError
    if not _LOWEST_COST <= int(found["cost"]) <= HIGHEST_COST:
        raise HintError(f"its cost is {found['cost']}")
    return found[0].encode()


def _user(value: object) -> str:
    name = string(value)
    if ":" in name:
        raise HintError("basic authentication ends a name at its first colon")
    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        raise ValueError
    return name


def _pem(value: object) -> bytes:
    found = string(value)
    if "-----BEGIN " not in found or len(found) > _LONGEST_PEM:
        raise ValueError
    return found.encode()


def _header(value: object) -> str:
    found = string(value)
    # Nothing of ours may end a header line, nor may a file do it by mistake.
    if not found.isascii() or not found.isprintable():
        raise HintError("it holds what a header cannot")
    return found


_FILE = addresses.PATH
_PEM = Secret(wish="PEM text, from -----BEGIN on", read=_pem, schema={"type": "string"})


def _or_none(kind: Kind) -> Kind:
    return replace(kind, read=lambda value: None if value is None else kind.read(value))


def _or_blank(kind: Kind) -> Kind:
    return replace(kind, read=lambda value: value if value == "" else kind.read(value))


_LIMIT = duration("1ms", "1h")
_INTERVAL = Kind(
    wish=f"0, or {_LIMIT.wish}",
    read=lambda value: 0.0 if shown(value) in {"0", "'0'", "'0s'"} else _LIMIT.read(value),
    schema={"anyOf": [{"const": 0}, _LIMIT.schema]},
)
_SAN = text(1, 1024)
_HEADER = Kind(wish="printable ASCII text", read=_header, schema={"type": "string"})
_FRAMES = _or_blank(choice({"deny": "deny", "sameorigin": "sameorigin"}))
_NOSNIFF = _or_blank(choice({"nosniff": "nosniff"}))
_USER = Kind(
    wish="a name of 1 to 255 printable characters, without a colon",
    read=_user,
    schema={"type": "string", "minLength": 1, "maxLength": _LONGEST_NAME},
)
_PASSWORD = Secret(
    wish=f"a bcrypt hash ($2a$, $2b$ or $2y$) of a cost from {_LOWEST_COST} to {HIGHEST_COST}",
    read=_hash,
    schema={"type": "string", "pattern": f"^{_HASH.pattern.replace('?P<cost>', '')}$"},
)


def _key(name: str, about: str, *, default: object = None, **more: Any) -> Any:  # noqa: ANN401
    """The key *name* of YAML; its *default*, too, is written as in YAML."""
    return Field(default=default, alias=name, description=about, **more)


class TlsSection(Section):
    """How connections are encrypted, and which certificates clients need."""

    cert_file: Annotated[str | None, _or_none(_FILE)] = _key(
        "cert_file", "File with the server's certificate, those of its issuers after it."
    )
    key_file: Annotated[str | None, _or_none(_FILE)] = _key(
        "key_file", "File with its key, not encrypted."
    )
    cert: Annotated[bytes | None, _or_none(_PEM)] = _key(
        "cert", "In place of `cert_file`: what would stand in it."
    )
    key: Annotated[bytes | None, _or_none(_PEM)] = _key(
        "key", "In place of `key_file`: what would stand in it."
    )
    client_auth_type: Annotated[ssl.VerifyMode, AUTH_TYPE] = _key(
        "client_auth_type", "Which certificate a client needs.", default="NoClientCert"
    )
    client_ca_file: Annotated[str | None, _or_none(_FILE)] = _key(
        "client_ca_file", "File with the CAs that clients' certificates come from."
    )
    client_ca: Annotated[bytes | None, _or_none(_PEM)] = _key(
        "client_ca", "In place of `client_ca_file`: what would stand in it."
    )
    client_allowed_sans: tuple[Annotated[str, _SAN], ...] = _key(
        "client_allowed_sans",
        "Names of clients (DNS, IP, e-mail or URI, exactly); any other is cut off.",
        default=[],
        strict=False,
    )
    min_version: Annotated[ssl.TLSVersion, VERSION] = _key(
        "min_version", "The oldest version of TLS served.", default="TLS12"
    )
    max_version: Annotated[ssl.TLSVersion, VERSION] = _key(
        "max_version", "The newest.", default="TLS13"
    )
    cipher_suites: tuple[Annotated[str, SUITE], ...] = _key(
        "cipher_suites",
        "For TLS 1.2, in order of preference; none stands for OpenSSL's own choice.",
        default=[],
        strict=False,
    )
    prefer_server_cipher_suites: Annotated[bool, SWITCH] = _key(
        "prefer_server_cipher_suites", "Whose order counts.", default=True
    )
    curve_preferences: tuple[Annotated[str, CURVE], ...] = _key(
        "curve_preferences",
        "One curve at most, for Python's ssl takes no list; none stands for OpenSSL's own.",
        default=[],
        strict=False,
    )


class HeadersSection(Section):
    """Headers of every answer; each of them takes the place of the exporter's own."""

    content_security_policy: Annotated[str, _HEADER] = _key(
        "Content-Security-Policy", "What a page may load.", default=""
    )
    x_frame_options: Annotated[str, _FRAMES] = _key(
        "X-Frame-Options", "Whether another page may show ours within itself.", default=""
    )
    x_content_type_options: Annotated[str, _NOSNIFF] = _key(
        "X-Content-Type-Options", "Whether a browser may guess what an answer is.", default=""
    )
    x_xss_protection: Annotated[str, _HEADER] = _key(
        "X-XSS-Protection", "For browsers of long ago.", default=""
    )
    strict_transport_security: Annotated[str, _HEADER] = _key(
        "Strict-Transport-Security", "How long a browser is to insist on TLS.", default=""
    )


class HttpSection(Section):
    """How HTTP is spoken."""

    http2: Annotated[bool, SWITCH] = _key(
        "http2", "Taken and left at that: HTTP/1.1 is served, to whomever.", default=True
    )
    headers: HeadersSection = _key("headers", "Headers of every answer.", default={})


class RateSection(Section):
    """How often the exporter answers, whoever asks."""

    interval_seconds: Annotated[float, _INTERVAL] = _key(
        "interval", "Between two requests in the long run; 0 for no limit.", default=0
    )
    burst: Annotated[int, whole(1, 1_000_000)] = _key(
        "burst", "Requests at once that do not have to wait for it.", default=1
    )


class WebFile(Section):
    """A web configuration, as exporter-toolkit has it."""

    tls_server_config: TlsSection = _key(
        "tls_server_config", "TLS; without it HTTP is served in the clear.", default={}
    )
    http_server_config: HttpSection = _key("http_server_config", "HTTP itself.", default={})
    basic_auth_users: dict[Annotated[str, _USER], Annotated[bytes, _PASSWORD]] = _key(
        "basic_auth_users", "Who may ask, and the bcrypt hash of the password.", default={}
    )
    rate_limit: RateSection = _key("rate_limit", "How often to answer.", default={})
