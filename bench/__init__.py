"""The benchmark: how much a check costs, and how true its clock is, beside a peer.

Run by hand (`make bench`, `python -m bench --help`), never by the test suite: its numbers
are one machine's. Everything stays on loopback and ends by itself.
"""
