"""The HTTP surface: checks what comes in, and says what happened."""

from __future__ import annotations

from fastapi import FastAPI

from rag_service.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """Builds the routes of the brief. Start with `/health` and `PUT /documents/{document_id}`.

    FastAPI is a suggestion: whatever `python -m rag_service` starts is graded.
    """
    raise NotImplementedError("lab-07, task ingest: build the app and its first routes in rag_service/app.py")
