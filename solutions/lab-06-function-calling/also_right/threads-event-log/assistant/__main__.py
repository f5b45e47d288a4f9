"""Starts the server; SIGTERM ends the process, and what was under way is taken up from the log."""

from __future__ import annotations

import os
import signal

from assistant.web import serve

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    serve()
