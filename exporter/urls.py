"""What an address must look like: the only place that decides which URL will do.

Stricter than `urllib`, which accepts almost anything (`https://[::1]x/`): a URL that passes
here means the same to every client.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address

from exporter.reasons import Reason

#: OpenIDConnectProviderUrlType in IAM's API model.
ISSUER_CHARACTERS = 255
#: What servers and proxies commonly take as a request line's target.
URL_CHARACTERS = 2048

# RFC 3986 section 2: reserved, unreserved and percent-encoded; nothing else is a URI.
_URI = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
_AUTHORITY = re.compile(
    r"(?:[A-Za-z0-9._-]+|\[(?P<address>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{0,5}))?"
)


def issuer_fault(url: str) -> tuple[Reason, str] | None:
    """Why STS could never use *url* as an issuer, as a reason and a sentence; None if it could.

    Source: CreateOpenIDConnectProvider in IAM's API reference: it begins with `https://`,
    has no query, and is at most 255 characters long. A port is only advised against.
    """
    if not url.lower().startswith("https://"):
        return Reason.NOT_HTTPS, "an issuer's URL must begin with https://"
    if not url.startswith("https://"):
        return Reason.BAD_URL, "https:// must be written in lower case"
    if len(url) > ISSUER_CHARACTERS:
        return Reason.BAD_URL, f"it has {len(url)} characters, IAM takes {ISSUER_CHARACTERS}"
    if "?" in url or "#" in url:
        return Reason.BAD_URL, "an issuer's URL has neither a query nor a fragment"
    fault = _form_fault(url)
    return (Reason.BAD_URL, fault) if fault else None


def jwks_fault(url: str) -> tuple[Reason, str] | None:
    """Why *url* cannot be fetched as a key set, as a reason and a sentence; None if it can.

    Any host, port and path, and a query. A fragment is let pass: no client sends it.
    """
    if url.lower().startswith("http:"):
        return Reason.JWKS_URI_INSECURE, "jwks_uri is http, STS asks for https"
    if not url.lower().startswith("https://"):
        return Reason.JWKS_URI_INVALID, "jwks_uri is not an absolute https URL"
    if len(url) > URL_CHARACTERS:
        return Reason.JWKS_URI_INVALID, f"jwks_uri is longer than {URL_CHARACTERS} characters"
    fault = _form_fault(url)
    return (Reason.JWKS_URI_INVALID, f"jwks_uri: {fault}") if fault else None


def unusual_port(url: str) -> int | None:
    """The port written in *url*, unless it is 443 or *url* cannot be read."""
    match = _AUTHORITY.fullmatch(_authority(url))
    port = int(match["port"] or 443) if match else 443
    return None if port == 443 else port  # noqa: PLR2004 - https


def _authority(url: str) -> str:
    """What stands between `https://` and the path, query or fragment (RFC 3986 3.2)."""
    return re.split(r"[/?#]", url[len("https://") :], maxsplit=1)[0]


def _form_fault(url: str) -> str | None:
    if not _URI.fullmatch(url):
        return "it holds characters that a URL may not have"
    authority = _authority(url)
    if "@" in authority:
        return "it carries a user name"
    match = _AUTHORITY.fullmatch(authority)
    if match is None or not _is_address(match["address"]):
        return "its host is not a name, an address or a port"
    if match["port"] and int(match["port"]) not in range(1, 65536):
        return f"port {match['port']} cannot be reached"
    return None


def _is_address(address: str | None) -> bool:
    """No brackets at all, or an IPv6 address in them."""
    try:
        return address is None or bool(IPv6Address(address))
    except ValueError:
        return False
