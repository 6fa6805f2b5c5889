"""Watches OpenID Connect issuers the way AWS STS sees them."""

from importlib.metadata import version

__version__ = version("oidc-issuer-exporter")
