"""What to tell people when a connection came about, but no TLS that can be trusted."""

from __future__ import annotations

from exporter.advice.form import (
    CHAIN,
    CONNECT,
    HANDSHAKE,
    LEAF,
    THUMBPRINT,
    TIMES,
    Mark,
    failure,
)
from exporter.reasons import Cause, Reason, Stage

ROWS = (
    failure(
        Stage.TLS,
        Reason.EXPIRED,
        title="The certificate has expired",
        meaning="A certificate that the server shows is past its last day, so no client that "
        "verifies will talk to it. AWS verifies issuers against public root CAs.",
        todo="The issuer's operator renews the certificate, reloads the server that shows it, "
        "and finds out why automatic renewal did not run. Check every load balancer and CDN "
        "edge: one may still show the old one.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command=LEAF,
    ),
    failure(
        Stage.TLS,
        Reason.NOT_YET_VALID,
        title="The certificate is not valid yet",
        meaning="The certificate's first day lies in the future. Either it was put in place "
        "too early, or one of the two clocks, the CA's or the exporter's, is wrong.",
        todo="Compare the dates with the time on this machine. If this clock is wrong, mend "
        "it: STS is not hurt then. Otherwise the issuer's operator goes back to the old "
        "certificate until that day.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command=f"date -u; {LEAF}",
    ),
    failure(
        Stage.TLS,
        Reason.HOSTNAME_MISMATCH,
        title="The certificate belongs to another name",
        meaning="None of the names in the certificate is the one in the URL. A client that "
        "verifies hangs up here, before it has asked for anything.",
        todo="The issuer's operator has a certificate issued that carries this host name, or "
        "mends the server's choice of certificate (SNI, default virtual host, new CDN name).",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command=LEAF,
    ),
    failure(
        Stage.TLS,
        Reason.SELF_SIGNED,
        title="The certificate is self-signed",
        meaning="No CA vouches for the certificate. AWS then compares the thumbprints stored "
        "with the provider in IAM; this exporter cannot see them and trusts nothing it was "
        "not told to.",
        todo="Best: the issuer's operator takes a certificate of a public CA. If it must "
        "stay, keep its SHA-1 thumbprint in the IAM provider up to date and name the "
        "certificate as `ca_file` for this issuer.",
        cause=Cause.UNREACHABLE,
        mark=Mark.DOCUMENTED,
        command=CHAIN,
        error=THUMBPRINT,
    ),
    failure(
        Stage.TLS,
        Reason.UNKNOWN_CA,
        title="The certificate comes from a CA that is not public",
        meaning="The chain ends in a CA that the public does not trust: a company's own one, "
        "or a proxy that opens TLS on the way. AWS then compares the thumbprints stored with "
        "the provider in IAM, which this exporter cannot see.",
        todo="Look at who issued the certificate. If it is a proxy of the exporter's own "
        "network, exempt the issuer from inspection. If the CA is public, the server may keep "
        "its intermediate to itself. Otherwise the operator takes a public CA, or keeps the "
        "thumbprint in IAM up to date, and you name the CA as `ca_file`.",
        cause=Cause.UNREACHABLE,
        mark=Mark.DOCUMENTED,
        command=CHAIN,
        error=THUMBPRINT,
    ),
    failure(
        Stage.TLS,
        Reason.INCOMPLETE_CHAIN,
        title="The server does not send its intermediate certificate",
        meaning="The server sends its own certificate without the one between it and the "
        "root. Browsers may fill the gap from memory; AWS documents that the chain must hold "
        "the intermediates, or the token's validation fails.",
        todo="The issuer's operator configures the full chain (often a file called "
        "fullchain.pem) in place of the bare certificate and reloads the server.",
        cause=Cause.UNREACHABLE,
        mark=Mark.DOCUMENTED,
        command=CHAIN,
    ),
    failure(
        Stage.TLS,
        Reason.PURPOSE,
        title="The certificate was not issued for servers",
        meaning="The certificate's extended key usage does not allow it to identify a server, "
        "or a certificate in the chain may not act as a CA. Clients refuse it.",
        todo="The issuer's operator replaces it with a certificate whose usage includes "
        "server authentication; a client certificate may have been put in its place.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command=f"{HANDSHAKE} | openssl x509 -noout -purpose",
    ),
    failure(
        Stage.TLS,
        Reason.WEAK_KEY,
        title="The certificate's key or signature is too weak",
        meaning="A certificate in the chain has a key too short or a signature hash too old "
        "for today's TLS libraries. What STS demands at least is not documented.",
        todo="The issuer's operator has it issued anew: RSA of 2048 bits or more, or EC "
        "P-256, signed with SHA-256.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command=f"{HANDSHAKE} | openssl x509 -noout -text",
    ),
    failure(
        Stage.TLS,
        Reason.REVOKED,
        title="The certificate was revoked",
        meaning="The server itself hands over its CA's statement that the certificate is "
        "revoked. Whether STS looks at revocation is not documented.",
        todo="The issuer's operator replaces certificate and key today, and asks the CA why "
        "it was revoked: a leaked key is the usual reason.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command=f"{HANDSHAKE.replace(' </dev', ' -status </dev')} | grep -A 15 OCSP",
    ),
    failure(
        Stage.TLS,
        Reason.PROTOCOL_VERSION,
        title="Server and client share no TLS version",
        meaning="The server offers none of the TLS versions spoken here (1.2 and 1.3). A "
        "server that knows only TLS 1.0 or 1.1 is refused by modern clients.",
        todo="The issuer's operator switches on TLS 1.2 and 1.3. Keep 1.2: AWS documents that "
        "it falls back to thumbprints where TLS 1.3 is required.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command=HANDSHAKE,
    ),
    failure(
        Stage.TLS,
        Reason.HANDSHAKE_FAILURE,
        title="Server and client cannot agree on encryption",
        meaning="The handshake was broken off: no cipher suite or curve in common, no "
        "certificate for this name, or a fault of the server.",
        todo="The issuer's operator compares the server's cipher suites with a current "
        "recommendation and looks into its TLS log at the time of the probe.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command=HANDSHAKE,
    ),
    failure(
        Stage.TLS,
        Reason.CLIENT_CERT_REQUIRED,
        title="The server demands a client certificate",
        meaning="The server talks only to clients that identify themselves. AWS offers no way "
        "to give STS a certificate: the documents must be open to everybody.",
        todo="The issuer's operator exempts the two documents from mutual TLS, for instance "
        "by a host name of their own.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command=HANDSHAKE,
    ),
    failure(
        Stage.TLS,
        Reason.NOT_TLS,
        title="The server does not speak TLS on this port",
        meaning="What came back is not TLS: plain HTTP, another protocol, or a block page of "
        "a proxy. STS speaks https and nothing else.",
        todo="The issuer's operator switches TLS on for this port. If the answer comes from a "
        "proxy of the exporter's own network, let the issuer through or set `proxy_url`.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command=HANDSHAKE,
    ),
    failure(
        Stage.TLS,
        Reason.CLOSED,
        title="The server hangs up during the handshake",
        meaning="The connection was accepted and closed again before encryption stood. A load "
        "balancer without a healthy server behind it does that; so does a filter that "
        "dislikes the name asked for.",
        todo="The issuer's operator checks the servers behind the load balancer and its TLS "
        "set-up for this host name. Compare with another network.",
        cause=Cause.UNREACHABLE,
        mark=Mark.DOCUMENTED,
        command=CONNECT,
    ),
    failure(
        Stage.TLS,
        Reason.RESET,
        title="The connection is reset during the handshake",
        meaning="Somebody on the way cut the connection while the handshake named the host: "
        "typical of a firewall that filters by host name.",
        todo="Connect from another network. If that works, whoever runs the firewall allows "
        "this host name. If it does not, the issuer's operator looks for a filter in front of "
        "the server.",
        cause=Cause.FIREWALL,
        mark=Mark.DOCUMENTED,
        command=CONNECT,
    ),
    failure(
        Stage.TLS,
        Reason.TIMEOUT,
        title="The TLS handshake does not come to an end",
        meaning="The connection stands, but the handshake was still open when the probe gave "
        "up, and STS waits no more than 5 seconds. An overloaded server looks like this, and "
        "so does a network that swallows large packets (MTU).",
        todo="The issuer's operator looks at the load of whatever ends TLS there. If only "
        "this network is slow, look for a path MTU problem or an inspecting proxy.",
        cause=Cause.LATENCY,
        mark=Mark.DOCUMENTED,
        command=TIMES,
    ),
)
