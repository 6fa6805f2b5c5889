"""Watches OpenID Connect issuers the way AWS STS sees them."""

# Written here and read from here by the build: asking the installed metadata for it would
# cost every start 50 ms.
__version__ = "0.1.0"
