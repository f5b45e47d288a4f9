"""Writes tables until it is stopped, and answers nothing meanwhile.

must not pass
"""

import os

import psycopg
from right import serve


def keep(text):
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("SET statement_timeout = 0")
        connection.execute("CREATE TABLE hog (data text); ALTER TABLE hog ALTER data SET STORAGE EXTERNAL")
        while True:
            connection.execute("INSERT INTO hog SELECT repeat(md5(n::text), 30000) FROM generate_series(1, 50) n")


serve(keep=keep)
