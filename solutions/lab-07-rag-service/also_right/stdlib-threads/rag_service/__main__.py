"""Starts the threaded server and stops it on SIGTERM."""

import os
import signal
import sys
from types import FrameType

from rag_service.handler import serve


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)  # handler threads are daemons: what they had not committed is rolled back


signal.signal(signal.SIGTERM, _leave)
serve(int(os.environ["PORT"]))
