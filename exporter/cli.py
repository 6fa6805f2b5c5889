"""The command line: the only place that decides which command runs, and its exit code."""

from __future__ import annotations

import gc
import os
import socket
import sys
from contextlib import suppress
from traceback import format_exc
from typing import TYPE_CHECKING

from exporter.arguments import DEFAULT_CONFIG, SETTINGS, parse
from exporter.web.listen import DEFAULT_PORT, Address

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from exporter.sharding import Shard
    from exporter.web.listen import UnixAddress

OK = 0
#: The daemon could not run, or STS could not use an issuer.
FAILED = 1
#: Arguments or a configuration are not valid; or a check could not be made, or not be told.
WRONG_CALL = 2
#: 128 and SIGINT, as shells have it; and SIGPIPE.
INTERRUPTED = 130
READER_GONE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what *arguments* ask for (the process's own, if None).

    Returns:
        The exit code.

    Raises:
        SystemExit: After help, or for arguments that cannot be read.
    """
    _open_standard_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given[:1] == ["demo"]:
            return _demo(given[1:])
        options = parse(given)
        return _check(options) if options.command == "check" else _serve(options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does.
        _drop_output()
        return READER_GONE


def _open_standard_streams() -> None:
    """Lead those that are closed to /dev/null.

    Their numbers would be given to what is opened next, a listening socket say, and libuv
    ends a process that has one of its own below 3.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free, and that is this one.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _drop_output() -> None:
    # What is still to be written must not fail once more, when the process ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# What a command needs is imported when it is chosen: the daemon's first answer should not
# wait for the terminal's colours, nor `--help` for anything.


def _serve(options: argparse.Namespace) -> int:
    # Nearly all that is made from here to the first probe stays for good: looking through it
    # for garbage again and again is a tenth of the start. The daemon switches it on again.
    gc.disable()
    from exporter import app, log  # noqa: PLC0415
    from exporter.config import ConfigError  # noqa: PLC0415
    from exporter.sharding import ShardError  # noqa: PLC0415
    from exporter.web.listen import ListenError  # noqa: PLC0415

    files = tuple(options.config_files or [DEFAULT_CONFIG])
    try:
        if options.is_check:
            return _validate(files, options)
        log.configure(level=options.level, line_format=options.line_format)
        app.serve(
            app.Options(
                config_files=files,
                listen_addresses=_addresses(options),
                is_activated=options.is_activated,
                web_config_file=options.web_config_file,
                max_requests=options.max_requests,
                auto_reload_seconds=options.auto_reload_seconds or None,
                telemetry_path=options.telemetry_path,
                enable_lifecycle=options.enable_lifecycle,
                prefix=options.prefix,
                shard=_shard(options),
            )
        )
    except (ConfigError, ShardError) as error:
        return _complain(error, WRONG_CALL)
    except ListenError as error:
        return _complain(error, FAILED)
    finally:
        gc.enable()
    return OK


def _validate(files: tuple[Path, ...], options: argparse.Namespace) -> int:
    """Say that the configuration is valid, and how many issuers each shard would have."""
    from exporter.config import load  # noqa: PLC0415
    from exporter.sharding import sizes  # noqa: PLC0415
    from exporter.web.config import load as load_web  # noqa: PLC0415

    # Elsewhere than in a pod nothing tells a number, and none is needed for this.
    if options.shard is not None:
        _shard(options)
    issuers = load(files).issuers
    if options.web_config_file is not None:
        load_web(options.web_config_file)
    print(f"valid: {len(issuers)} issuers")  # noqa: T201
    if options.total_shards > 1:
        for ordinal, size in enumerate(sizes(issuers, options.total_shards)):
            print(f"shard {ordinal}: {size} issuers")  # noqa: T201
    return OK


def _addresses(options: argparse.Namespace) -> tuple[Address | UnixAddress, ...]:
    # systemd's sockets take the place of the address that goes without saying.
    default = [] if options.is_activated else [Address("", DEFAULT_PORT)]
    return tuple(options.listen_addresses or default)


def _shard(options: argparse.Namespace) -> Shard:
    from exporter.sharding import own_shard  # noqa: PLC0415

    pod = os.environ.get("POD_NAME") or socket.gethostname()
    return own_shard(options.shard, options.total_shards, pod=pod)


def _check(options: argparse.Namespace) -> int:
    from exporter import log  # noqa: PLC0415
    from exporter.check import Question, check  # noqa: PLC0415
    from exporter.config import ConfigError  # noqa: PLC0415

    if not options.targets and not options.config_files:
        return _complain("check: name a URL, or a configuration by --config.file", WRONG_CALL)
    log.configure(level="warning")
    settings = {name: getattr(options, name) for name in SETTINGS}
    if settings["nameservers"]:
        settings["nameservers"] = tuple(settings["nameservers"])
    question = Question(
        targets=tuple(options.targets),
        config_files=tuple(options.config_files),
        settings={name: value for name, value in settings.items() if value is not None},
        is_json=options.output == "json",
    )
    try:
        return OK if check(question) else FAILED
    except ConfigError as error:
        return _complain(error, WRONG_CALL)
    except BrokenPipeError:
        raise
    # Not 1 for what is ours, since that speaks of the issuer. Only our output is left to raise
    # OSError: what the network does is in the report.
    except OSError as error:
        _drop_output()
        return _complain(f"check: {error}", WRONG_CALL)
    except Exception:  # noqa: BLE001
        return _complain(f"check: a bug in the exporter\n{format_exc()}", WRONG_CALL)


def _demo(arguments: Sequence[str]) -> int:
    from exporter.demo.main import main as demo  # noqa: PLC0415

    return demo(arguments)


def _complain(error: object, code: int) -> int:
    # The code says enough, where nothing can be written.
    with suppress(OSError):
        print(f"oidc-issuer-exporter: {error}", file=sys.stderr)  # noqa: T201
    return code
