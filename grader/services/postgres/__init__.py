"""A real PostgreSQL with pgvector for every check: found or started, leased, and given out a database at a time."""

from grader.services.postgres.commands import Status, Stopped, down, status, up, url
from grader.services.postgres.database import Column, Database, Relation
from grader.services.postgres.faults import QueryRefusedError
from grader.services.postgres.server import Server, lease
from grader.services.postgres.template import EMPTY, Template

__all__ = [
    "EMPTY",
    "Column",
    "Database",
    "QueryRefusedError",
    "Relation",
    "Server",
    "Status",
    "Stopped",
    "Template",
    "down",
    "lease",
    "status",
    "up",
    "url",
]
