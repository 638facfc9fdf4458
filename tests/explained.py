"""The plan of a question, as PostgreSQL makes it for the application's role."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

from app.core.database import Question


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
