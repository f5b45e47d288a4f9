"""Looks for texts and vectors in whatever tables the learner made."""

from __future__ import annotations

import re

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
