"""Commands on labels: `labelling` writes them, `rules` says what a book's subjects and length tell."""

from __future__ import annotations

from app.labels.service.labelling import Outcome, label_books, label_by_rules

__all__ = ["Outcome", "label_books", "label_by_rules"]
