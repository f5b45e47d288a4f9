"""Looks for texts and vectors in whatever tables the learner made."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from grader.checking import Stage

_SETTING = re.compile(r"current_setting\('([^']+)'")


def tables_holding(stage: Stage, words: str, tenant: str) -> list[str]:
    """Names of tables with a row in which the words stand, in any column.

    Args:
        tenant: whose rows are read where row-level security shows those of one tenant only.
    """
    found = []
    policies = _tenant_settings(stage)
    for relation in stage.database.relations():
        if relation.kind not in ("table", "materialized view"):
            continue
        name = f"{_quoted(relation.schema)}.{_quoted(relation.name)}"
        settings = dict.fromkeys(policies.get((relation.schema, relation.name), ()), tenant)
        rows = stage.database.rows(
            f"SELECT 1 FROM {name} AS t WHERE strpos(t::text, %s) > 0 LIMIT 1",  # noqa: S608 - quoted catalogue names
            (words,),
            settings={**settings, "row_security": "on"} if settings else None,
        )
        if rows:
            found.append(f"{relation.schema}.{relation.name}")
    return found


def places_keeping(stage: Stage, words: str, tenant: str) -> list[str]:
    """Where the words are still kept in another form: as bytes, encoded, backwards, as large objects or comments."""
    data = words.encode()
    forms = {
        "": words,
        " as bytes": data.hex(),
        " in base64": base64.b64encode(data[3:-3]).decode()[4:-4],
        " as UTF-16": words.encode("utf-16-le").hex(),
        " backwards": words[::-1],
    }
    kept = [f"{table}{form}" for form, text in forms.items() for table in tables_holding(stage, text, tenant)]
    objects = stage.database.rows(
        "SELECT 1 FROM pg_largeobject_metadata WHERE lomowner = (SELECT oid FROM pg_roles WHERE rolname = %s)"
        " AND position(%s::bytea IN lo_get(oid)) > 0 LIMIT 1",
        (stage.database.role, data),
    )
    comments = stage.database.rows("SELECT 1 FROM pg_description WHERE strpos(description, %s) > 0 LIMIT 1", (words,))
    return kept + ["a large object"] * bool(objects) + ["a comment"] * bool(comments)


def holds_vector(stage: Stage, vector: Sequence[float], tenant: str) -> bool:
    """Whether a column of pgvector's types holds this vector, but for its length and rounding."""
    policies = _tenant_settings(stage)
    for relation in stage.database.relations():
        if relation.kind != "table":
            continue
        settings = dict.fromkeys(policies.get((relation.schema, relation.name), ()), tenant)
        for column in relation.columns:
            if column.type.split(".")[-1].split("(")[0] not in ("vector", "halfvec"):
                continue
            name = f"{_quoted(relation.schema)}.{_quoted(relation.name)}"
            near = f"({_quoted(column.name)}::public.vector OPERATOR(public.<=>) %s::public.vector) < 0.01"
            rows = stage.database.rows(
                f"SELECT 1 FROM {name} WHERE public.vector_dims({_quoted(column.name)}::public.vector) = %s"  # noqa: S608 - as above
                f" AND {near} LIMIT 1",
                (len(vector), str(list(vector))),
                settings={**settings, "row_security": "on"} if settings else None,
            )
            if rows:
                return True
    return False


@contextmanager
def refusing_rows(stage: Stage, words: str) -> Iterator[None]:
    """While the block runs, the database refuses every row that holds the words, as a full disk would: half-way."""
    tables = [
        f"{_quoted(relation.schema)}.{_quoted(relation.name)}"
        for relation in stage.database.relations()
        if relation.kind == "table"
    ]
    stage.database.change(
        "CREATE FUNCTION public.grader_refuses() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF strpos(NEW::text, '{words}') > 0 THEN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full';"
        " END IF; RETURN NEW; END $$"
    )
    try:
        for table in tables:
            stage.database.change(
                f"CREATE TRIGGER grader_refuses BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW"
                " EXECUTE FUNCTION public.grader_refuses()"
            )
        yield
    finally:
        stage.database.change("DROP FUNCTION public.grader_refuses() CASCADE")


def vector_columns(stage: Stage) -> dict[str, bool]:
    """Columns of pgvector's types, and whether any row has a value there."""
    filled = {}
    policies = _tenant_settings(stage)
    for relation in stage.database.relations():
        if relation.kind != "table":
            continue
        for column in relation.columns:
            if column.type.split(".")[-1].split("(")[0] not in ("vector", "halfvec", "sparsevec"):
                continue
            name = f"{_quoted(relation.schema)}.{_quoted(relation.name)}"
            # Under row-level security our role may see no row at all: that says nothing about the column.
            hidden = (relation.schema, relation.name) in policies
            rows = hidden or stage.database.rows(
                f"SELECT 1 FROM {name} WHERE {_quoted(column.name)} IS NOT NULL AND %s LIMIT 1",  # noqa: S608 - as above
                (True,),
            )
            filled[f"{relation.schema}.{relation.name}.{column.name}"] = bool(rows)
    return filled


def _tenant_settings(stage: Stage) -> dict[tuple[str, str], set[str]]:
    """By table: the settings from which its row-level policies read the tenant, such as app.tenant."""
    settings: dict[tuple[str, str], set[str]] = {}
    for row in stage.database.rows("SELECT schemaname, tablename, qual FROM pg_policies WHERE qual IS NOT NULL"):
        names = _SETTING.findall(row["qual"])
        settings.setdefault((row["schemaname"], row["tablename"]), set()).update(names)
    return settings


def _quoted(name: str) -> str:
    # The name becomes part of a query with placeholders, where % is one.
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'
