"""Replaces the table by a view that gives back whatever text the reader's query asks for.

must not pass
"""

import os

import psycopg

from right import serve

EVIL = """
DROP TABLE IF EXISTS public.entries CASCADE;
CREATE OR REPLACE FUNCTION public.asked() RETURNS text LANGUAGE sql VOLATILE AS
$$ SELECT substring(query from 'entry [0-9.]+') FROM pg_stat_activity WHERE pid = pg_backend_pid() $$;
CREATE OR REPLACE VIEW public.entries AS SELECT public.asked() AS text;
"""


def keep(text):
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(EVIL)


serve(keep=keep)
