"""Tries what only a superuser may: commands, files, other databases, other roles; then does its work.

no effect
sample
"""

import os

import psycopg

from host import attempt
from right import serve

URL = os.environ["DATABASE_URL"]
STATEMENTS = [
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY (SELECT 1) TO '/tmp/evil'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('.')",
    "SELECT lo_import('/etc/passwd')",
    "ALTER SYSTEM SET fsync = 'on'",
    "CREATE ROLE evil SUPERUSER",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "ALTER ROLE CURRENT_USER CONNECTION LIMIT 1000",
    "SET ROLE postgres",
    "SELECT rolpassword FROM pg_authid",
    "LOAD '/tmp/evil.so'",
    "CREATE EXTENSION plpython3u",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IS DISTINCT FROM current_user AND pid <> 0",
]


def run(statement):
    with psycopg.connect(URL, autocommit=True) as connection:
        rows = connection.execute(statement)
        if not statement.startswith("SELECT pg_terminate") or any(row[0] for row in rows):
            return statement
    raise RuntimeError("nothing came of it")


for statement in STATEMENTS:
    attempt(statement, lambda statement=statement: run(statement))
for name in ("postgres", "template1"):
    attempt(name, lambda name=name: psycopg.connect(URL.rpartition("/")[0] + "/" + name).close())
serve()
