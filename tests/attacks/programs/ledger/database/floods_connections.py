"""Opens all the connections it gets, keeps most of them, and does its work with the rest.

no effect
"""

import os

import psycopg

from right import serve

FLOOD = []
try:
    for _ in range(100):
        FLOOD.append(psycopg.connect(os.environ["DATABASE_URL"], autocommit=True))
except psycopg.OperationalError:
    for connection in FLOOD[-8:]:
        connection.close()
serve()
