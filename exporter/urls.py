"""What an issuer's address must look like: the only place that reads a URL's parts.

Stricter than `urllib`, which accepts almost anything: a URL that passes here means the same
to every client.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from exporter.reasons import Reason

if TYPE_CHECKING:
    from urllib.parse import SplitResult

#: OpenIDConnectProviderUrlType in IAM's API model.
ISSUER_CHARACTERS = 255
#: What servers and proxies commonly take as a request line's target.
URL_CHARACTERS = 2048

# RFC 3986 section 2: reserved, unreserved and percent-encoded; nothing else is a URI.
_URI = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9a-f:.]+")


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
    try:
        port = urlsplit(url).port
    except ValueError:
        return None
    return None if port == 443 else port  # noqa: PLR2004 - https


def _form_fault(url: str) -> str | None:
    if not _URI.fullmatch(url):
        return "it holds characters that a URL may not have"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"it cannot be read: {error}"
    if port == 0:
        return "port 0 cannot be reached"
    return _host_fault(parts)


def _host_fault(parts: SplitResult) -> str | None:
    if "@" in parts.netloc:
        return "it carries a user name"
    if not parts.hostname:
        return "it has no host"
    if not _HOST.fullmatch(parts.hostname):
        return "its host is not a name"
    return None
