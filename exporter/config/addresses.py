"""The addresses and names that the configuration may hold: kinds of value, one by one.

Refused is what is certainly a slip. An issuer that STS could never use, by plain http say, is
none: the probe says so on its dashboard, and the rest of the configuration goes on.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from exporter.config.values import HintError, Kind, string

if TYPE_CHECKING:
    from urllib.parse import SplitResult

#: What servers and proxies commonly take. IAM's own limit of 255 is judged by the probe.
LONGEST_URL: Final = 2048

_HOST_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/@\[\]]{1,255})):([0-9]{1,5})")
_LABEL = "[a-zA-Z_][a-zA-Z0-9_]*"


def _issuer_url(value: object) -> str:
    url = string(value)
    _parts(url, ("https", "http"))
    return url


def _proxy_url(value: object) -> str:
    url = string(value)
    parts = _parts(url, ("http",))
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise HintError("a proxy has no path")
    return url


def _parts(url: str, schemes: tuple[str, ...]) -> SplitResult:
    # urlsplit would drop a line end or a tab without a word.
    if not url.isprintable() or " " in url:
        raise HintError("it holds a space, or what cannot be seen")
    if len(url) > LONGEST_URL:
        raise HintError(f"it has {len(url)} characters of at most {LONGEST_URL}")
    if "://" not in url:
        raise HintError(f"{schemes[0]}:// is missing in front")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # Python's own words would quote what may be half a password.
        raise HintError("its host or port cannot be read") from None
    if parts.scheme not in schemes or not parts.hostname or port == 0:
        raise ValueError
    if "@" in parts.netloc:
        raise HintError("user and password have no place in it")
    return parts


def _host_port(value: object) -> tuple[str, int]:
    match = _HOST_PORT.fullmatch(string(value))
    if match is None:
        raise ValueError
    host, port = match[1] or match[2], int(match[3])
    if match[1]:
        ip_address(host)
    if not 0 < port < 2**16:
        raise HintError("a port is a number from 1 to 65535")
    return host, port


def _nameserver(value: object) -> str:
    address = string(value)
    try:
        return str(ip_address(address))
    except ValueError:
        host, port = _host_port(address)
    ip = ip_address(host)
    return f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"  # noqa: PLR2004 - IPv6


def _named(pattern: str, wish: str) -> Kind:
    def read(value: object) -> str:
        name = string(value)
        if not re.fullmatch(pattern, name):
            raise ValueError
        return name

    return Kind(wish=wish, read=read, schema={"type": "string", "pattern": pattern})


def _path(value: object) -> str:
    path = string(value)
    if not path or not path.isprintable():
        raise ValueError
    return path


ISSUER_URL = Kind(
    wish="a URL with a host, such as https://token.actions.githubusercontent.com",
    read=_issuer_url,
    schema={"type": "string", "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#@]+"},
)
PROXY_URL = Kind(
    wish="a URL such as http://proxy.example.com:3128",
    read=_proxy_url,
    schema={"type": "string", "pattern": r"^[Hh][Tt][Tt][Pp]://[^\s/?#@]+/?$"},
)
HOST_PORT = Kind(
    wish="host:port or [IPv6 address]:port",
    read=_host_port,
    schema={"type": "string", "pattern": r"^[^\s/@]+:[0-9]{1,5}$"},
)
NAMESERVER = Kind(
    wish="an IP address, alone or as address:port or [IPv6 address]:port",
    read=_nameserver,
    schema={"type": "string", "pattern": r"^[0-9A-Fa-f.:\[\]]+$"},
)
PATH = Kind(wish="a path", read=_path, schema={"type": "string", "minLength": 1})
LABEL_NAME = _named(
    f"^(?!__|(?:issuer|url)$){_LABEL}$",
    "a label's name (letters, digits, underscores), but not issuer, url or one that begins "
    "with two underscores",
)
GROUP_LABEL_NAME = _named(
    f"^(?!url$){_LABEL}$", "a label's name (letters, digits, underscores), but not url"
)
