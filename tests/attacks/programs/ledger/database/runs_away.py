"""Lifts the time limit of its statements and lets four of them compute for ever.

no effect
"""

import os
import threading

import psycopg

from right import serve


def compute():
    try:
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("SET statement_timeout = 0")
            connection.execute("SELECT count(*) FROM generate_series(1, 10^11::bigint)")
    except psycopg.Error:
        pass


for _ in range(4):
    threading.Thread(target=compute, daemon=True).start()
serve()
