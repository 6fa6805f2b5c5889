"""The numbers in a JWK: the only place that turns base64url and certificates into key material.

Source: RFC 7517 4.7 (x5c), RFC 7518 6.2 and 6.3 (EC and RSA), RFC 7515 2 (base64url).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from exporter.reasons import Code
from exporter.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

#: NIST SP 800-131A disallows shorter moduli for signatures.
LEAST_RSA_BITS = 2048

_CURVES: Mapping[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
# No padding and no "+" or "/": RFC 7515 section 2 is strict where RFC 4648 is not.
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
# A certificate has a few KiB; what is longer is not read.
_MOST_X5C_CHARACTERS = 32_768

Numbers = rsa.RSAPublicNumbers | ec.EllipticCurvePublicNumbers


@dataclass(frozen=True, slots=True)
class Material:
    """What was read of a key's numbers.

    Attributes:
        numbers: None when *fault* says why not.
        code: The finding that goes with *fault*.
        is_malformed: A member is there and is not base64url.
    """

    bits: int | None = None
    numbers: Numbers | None = None
    fault: str = ""
    code: Code | None = None
    is_malformed: bool = False


def rsa_material(entry: Mapping[str, object]) -> Material:
    """Modulus and exponent; leading zero octets change nothing (some issuers send AAEAAQ)."""
    octets = _octets(entry, "n", "e")
    if isinstance(octets, Material):
        return octets
    n, e = (int.from_bytes(value) for value in octets)
    # With an even modulus, an exponent of 1, or one beyond the modulus, no RSA signature means
    # anything: RFC 8017 3.1 rules them out, and libraries refuse to load such a key.
    if n % 2 == 0 or e % 2 == 0 or not 1 < e < n:
        return Material(fault="n and e are no RSA key", code=Code.MALFORMED_KEY)
    return Material(bits=n.bit_length(), numbers=rsa.RSAPublicNumbers(e, n))


def ec_material(entry: Mapping[str, object], *, is_proven: bool) -> Material:
    """A point on one of STS's curves; with *is_proven*, also shown to lie on it."""
    name = entry.get("crv")
    curve = _CURVES.get(name) if isinstance(name, str) else None
    if curve is None:
        fault = f"curve {clean(name, 20)}" if isinstance(name, str) else "no curve"
        return Material(fault=f"{fault}: not P-256, P-384 or P-521", code=Code.UNSUPPORTED_KEY)
    octets = _octets(entry, "x", "y")
    if isinstance(octets, Material):
        return octets
    # RFC 7518 6.2.1.2: the full size of a coordinate, leading zeros included.
    size = (curve.key_size + 7) // 8
    for member, value in zip("xy", octets, strict=True):
        if len(value) != size:
            fault = f"{member} has {len(value)} octets where {name} has {size}"
            return Material(bits=curve.key_size, fault=fault, code=Code.MALFORMED_KEY)
    x, y = (int.from_bytes(value) for value in octets)
    numbers = ec.EllipticCurvePublicNumbers(x, y, curve)
    if is_proven and not _is_on_curve(numbers):
        fault = f"x and y are no point on {name}"
        return Material(bits=curve.key_size, fault=fault, code=Code.MALFORMED_KEY)
    return Material(bits=curve.key_size, numbers=numbers)


def x5c_fault(x5c: object, numbers: Numbers) -> tuple[bool, str] | None:
    """What is wrong with the certificates beside *numbers*: if it is proven, and a sentence.

    A certificate for another key is proven wrong. One that cannot be read here may be readable
    to STS. None when the first certificate holds these very numbers.
    """
    leaf = x5c[0] if isinstance(x5c, list) and x5c else None
    if not isinstance(leaf, str) or len(leaf) > _MOST_X5C_CHARACTERS:
        return False, "x5c is not a list of certificates"
    try:
        key = x509.load_der_x509_certificate(base64.b64decode(leaf)).public_key()
    # InvalidVersion is no ValueError, and binascii's error is one.
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        return False, "the certificate in x5c cannot be read"
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return True, "the certificate in x5c is for another type of key"
    if key.public_numbers() != numbers:
        return True, "the certificate in x5c is for another key"
    return None


def _octets(entry: Mapping[str, object], *names: str) -> tuple[bytes, ...] | Material:
    """The members *names*, decoded, or what is wrong with the first bad one."""
    absent = [name for name in names if entry.get(name) in (None, "")]
    if absent:
        fault = f"no {' and no '.join(absent)}"
        return Material(fault=fault, code=Code.MALFORMED_KEY)
    values = []
    for name in names:
        text = entry[name]
        if not isinstance(text, str) or not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
            fault = f"{name} is not base64url"
            return Material(fault=fault, code=Code.MALFORMED_KEY, is_malformed=True)
        values.append(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return tuple(values)


def _is_on_curve(numbers: ec.EllipticCurvePublicNumbers) -> bool:
    try:
        numbers.public_key()
    except ValueError:
        return False
    return True
