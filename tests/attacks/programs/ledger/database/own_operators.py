"""Makes operators and functions of its own for the grader's query to find: everything is equal, nothing was inserted.

must not pass
"""

import os

import psycopg

from right import serve

EVIL = """
CREATE TABLE IF NOT EXISTS public.entries (text text);
CREATE OR REPLACE FUNCTION public.yes(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
DO $$ BEGIN CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.yes);
EXCEPTION WHEN duplicate_function THEN NULL; END $$;
INSERT INTO public.entries VALUES ('x');
ALTER ROLE CURRENT_USER SET search_path = public, pg_catalog;
"""


def keep(text):
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(EVIL)


serve(keep=keep)
