"""The plan of a question, as PostgreSQL makes it for the application's role."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import orjson
from sqlalchemy import Executable
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

from app.core.database import Question
from app.extensions import db


class _Explained(ClauseElement):
    inherit_cache = False

    def __init__(self, how: str, statement: ClauseElement) -> None:
        self.how = how
        self.statement = statement


@compiles(_Explained)
def _with_explain(element: _Explained, compiler: SQLCompiler, **options: Any) -> str:
    return f"{element.how} {compiler.process(element.statement, **options)}"


def explained(question: Question, how: str = "EXPLAIN") -> Question:
    """A question for the plan of another one, asked with the same values."""
    return Question(_Explained(how, question.statement))


def plan_of(question: Question, **values: Any) -> dict[str, Any]:
    """The plan of a question after it was run, as the application's role behind row-level security."""
    answer = explained(question, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)").value(**values)
    plan: dict[str, Any] = orjson.loads(orjson.dumps(answer))[0]["Plan"]
    return plan


def plan_of_command(statement: Executable, **values: Any) -> dict[str, Any]:
    """The plan of a command, which is run within the present transaction."""
    dialect = postgresql.psycopg2.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's dialects have no signatures
    compiled: Any = cast("Any", statement).compile(dialect=dialect)
    given = {name: str(value) for name, value in compiled.construct_params(values).items()}
    asked = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {compiled}"
    [plan] = db.session.connection().exec_driver_sql(asked, given).scalar_one()
    return dict(plan["Plan"])


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's steps, its own and those beneath."""
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)
