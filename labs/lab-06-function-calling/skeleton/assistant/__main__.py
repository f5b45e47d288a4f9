"""Starts the assistant on 127.0.0.1:$PORT and stops it within a few seconds of SIGTERM."""

from __future__ import annotations

import logging

import uvicorn

from assistant.app import create_app
from assistant.settings import Settings


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    settings = Settings.from_environment()
    uvicorn.run(
        create_app(settings),
        host="127.0.0.1",
        port=settings.port,
        log_level="warning",
        timeout_graceful_shutdown=2,  # a run that waits for the model must not hold the shutdown up
    )


if __name__ == "__main__":
    main()
