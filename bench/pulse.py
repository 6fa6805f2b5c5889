"""Feel the pulse of an HTTP server: how long its loop keeps a small question waiting.

A process of its own, since the reader of a scrape would hold its interpreter too. Prints
the round trips, in milliseconds, one a line.
"""

from __future__ import annotations

import argparse
import socket
import sys
import time

from bench.process import HOST

_REQUEST = b"GET /-/healthy HTTP/1.1\r\nHost: bench\r\n\r\n"
_PAUSE_SECONDS = 0.002


def main() -> None:
    """Ask for *seconds*, one question after the other."""
    parser = argparse.ArgumentParser(prog="bench.pulse")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    arguments = parser.parse_args()
    with socket.create_connection((HOST, arguments.port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = time.monotonic() + arguments.seconds
        while time.monotonic() < end:
            sys.stdout.write(f"{_round_trip(sock) * 1000:.3f}\n")
            time.sleep(_PAUSE_SECONDS)


def _round_trip(sock: socket.socket) -> float:
    before = time.perf_counter()
    sock.sendall(_REQUEST)
    answer = sock.recv(65536)
    if not answer.startswith(b"HTTP/1.1 200"):
        sys.exit(f"/-/healthy answered {answer[:100]!r}")
    return time.perf_counter() - before


if __name__ == "__main__":
    main()
