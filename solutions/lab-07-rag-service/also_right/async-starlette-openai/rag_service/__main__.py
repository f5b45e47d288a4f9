"""Serves the application on 127.0.0.1:$PORT."""

import os

import uvicorn

from rag_service.web import application

uvicorn.run(
    application,
    host="127.0.0.1",
    port=int(os.environ["PORT"]),
    log_level="warning",
    timeout_graceful_shutdown=2,
)
