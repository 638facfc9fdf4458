"""What a newcomer reads first."""

from __future__ import annotations

OVERVIEW = """\
Libraries, schools and persons keep their catalogues here, each apart from the others, and have them filled from
[Open Library](https://openlibrary.org).
"""
