"""Imports all that a checking session needs, and loads the weights: for a warden that sessions are forked from."""

# ruff: noqa: F401 - imported so that the forks have it

from __future__ import annotations

import grader.services.postgres
import grader.session.plugin
import grader.session.process
from grader.model import schemas
from grader.model.server import shared_embedder

shared_embedder.load()
schemas.load()
