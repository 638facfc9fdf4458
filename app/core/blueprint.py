"""The blueprint of every domain: flask-smorest's, with the service's own way of reading bodies and queries."""

from __future__ import annotations

from flask_smorest import Blueprint as SmorestBlueprint

from app.core.schemas import BodyParser


class Blueprint(SmorestBlueprint):  # type: ignore[misc]  # flask-smorest carries no types
    """A domain's endpoints; refuses unknown fields and answers problems in the one shape."""

    ARGUMENTS_PARSER = BodyParser()

    def __init__(self, name: str, import_name: str, *, description: str) -> None:
        """Name it like its package; every path begins at the version's root."""
        super().__init__(name, import_name, url_prefix="/api/v1", description=description)
