# Wrong: waits on SIGTERM for all requests to end, however long.
"""Starts the service on 127.0.0.1:$PORT and stops it within a few seconds of SIGTERM."""

from __future__ import annotations

import logging

import uvicorn

from rag_service.app import create_app
from rag_service.settings import Settings


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    settings = Settings.from_environment()
    uvicorn.run(
        create_app(settings),
        host="127.0.0.1",
        port=settings.port,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
