"""Runs the server."""

from __future__ import annotations

import os

import uvicorn

from assistant.web import app

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", timeout_graceful_shutdown=1)
