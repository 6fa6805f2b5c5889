"""The exporter as its command runs it, which also tells its tasks: `python -m bench.soaked`.

SIGUSR1 makes it write the number of its asyncio tasks into the file that $SOAK_TASKS names.
No metric says it, because nobody but a soak has a use for it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from exporter import cli


def _tell(*_: object) -> None:
    target = Path(os.environ["SOAK_TASKS"])
    fresh = target.with_suffix(".new")
    fresh.write_text(str(len(asyncio.all_tasks())))
    fresh.replace(target)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _tell)
    sys.exit(cli.main())
