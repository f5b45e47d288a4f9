"""Holds a lock on the table, so that the grader's read would wait for ever.

must not pass
"""

import os

import psycopg

import right
from right import serve

HOLDING = []


def keep(text, keep=right.keep):
    keep(text)
    connection = psycopg.connect(os.environ["DATABASE_URL"])
    connection.execute(
        "SET idle_in_transaction_session_timeout = 0; LOCK TABLE public.entries IN ACCESS EXCLUSIVE MODE"
    )
    HOLDING.append(connection)


serve(keep=keep)
