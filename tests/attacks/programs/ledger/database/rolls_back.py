"""Keeps the entry in a transaction that it never commits.

must not pass
"""

import os

import psycopg

from right import serve

OPEN = []


def keep(text):
    connection = psycopg.connect(os.environ["DATABASE_URL"])
    connection.execute("CREATE TABLE IF NOT EXISTS public.entries (text text)")
    connection.execute("INSERT INTO public.entries VALUES (%s)", [text])
    OPEN.append(connection)


serve(keep=keep)
