"""The HTTP surface: who asks, what they may ask, and what they are answered."""

from __future__ import annotations

from fastapi import FastAPI

from assistant.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """Builds the routes of the brief. Start with `/health` and `POST /chat`.

    FastAPI is a suggestion: whatever `python -m assistant` starts is graded.
    """
    raise NotImplementedError("lab-06, task loop: build the app and its first routes in assistant/app.py")
