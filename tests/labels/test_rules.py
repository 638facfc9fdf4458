"""What rules make of subjects and page counts, and when they come by."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.core.security import SYSTEM, acting_as
from app.core.tenancy import tenant
from app.extensions import db
from app.labels import service
from app.labels.models import Hue
from app.labels.service.rules import PAGES, RULES, proposed
from app.labels.tasks import label_by_rules
from app.members.models import ReadingAbility
from tests.catalog.reading import a_book, shelve
from tests.conftest import Library
from tests.labels.test_labels import book, label, labels_of

NOTHING = {"hues": None, "reading_abilities": None, "min_age": None, "max_age": None}


def look(library: Library, *, most: int = 500) -> int:
    """Do what beat has done each minute."""
    with library.app.app_context(), tenant(library.id), acting_as(SYSTEM):
        looked_at = service.label_by_rules(most=most)
        db.session.remove()
    return looked_at


@pytest.mark.parametrize(
    ("subjects", "expected"),
    [
        ([], {}),
        (["Science fiction"], {}),
        (["Picture books"], {"min_age": 2, "max_age": 6, "reading_abilities": ["emergent"]}),
        (
            ["Juvenile fiction", "YOUNG ADULT FICTION"],
            {"min_age": 12, "max_age": 18, "reading_abilities": ["advanced"]},
        ),
        (["Readers (Primary)"], {"min_age": 5, "max_age": 8, "reading_abilities": ["early"]}),
        (["Horror tales, American"], {"hues": ["dark_gritty"]}),
        # Whole words only.
        (["Playwrights", "Magicians"], {}),
        (["Fiction, thrillers, suspense"], {"hues": ["dark_suspense"]}),
        # Three moods at most, in the order of the rules.
        (
            ["Encyclopedias", "Friendship", "Ghost stories", "Horror stories"],
            {"hues": ["dark_gritty", "dark_beautiful", "joyful_charming"]},
        ),
        (["Erotica"], {"min_age": 18}),
        # What is said in so many words comes first.
        (["Picture books", "Ages 8-12"], {"min_age": 8, "max_age": 12, "reading_abilities": ["emergent"]}),
        (["Children: Ages 9 to 12"], {"min_age": 9, "max_age": 12}),
        (["ages 10 and up"], {"min_age": 10}),
        (["Age 10+"], {"min_age": 10}),
        (["Age 7"], {"min_age": 7, "max_age": 7}),
        (["Reading Level-Grade 3"], {"min_age": 8, "max_age": 9}),
        (["Children: Grades 4-6"], {"min_age": 9, "max_age": 12}),
        # Nonsense is no hint.
        (["Ages 12-8"], {}),
        (["Grade 0"], {}),
        (["Grades 9-3"], {}),
        (["Grade 99"], {}),
        (["Middle Ages"], {}),
        (["Middle ages 12th century"], {}),
    ],
)
def test_subjects_say_for_whom_a_book_is_and_what_it_is_like(subjects: list[str], expected: dict[str, Any]) -> None:
    assert proposed(subjects, page_count=None) == {**NOTHING, **expected}


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        (None, None),
        (32, ["emergent"]),
        (33, ["early"]),
        (128, ["transitional"]),
        (240, ["self_extending"]),
        (241, None),
    ],
)
def test_the_length_of_a_childs_book_says_who_can_read_it(pages: int | None, expected: list[str] | None) -> None:
    assert proposed(["Juvenile fiction"], page_count=pages)["reading_abilities"] == expected
    assert proposed(["Thrillers"], page_count=pages)["reading_abilities"] is None


def test_the_table_names_what_there_is() -> None:
    assert {rule.hue for rule in RULES if rule.hue} == set(Hue)
    assert all(rule.ages or rule.hue for rule in RULES)
    assert [most for most, _ in PAGES] == sorted(most for most, _ in PAGES)
    assert {ability for _, ability in PAGES} < set(ReadingAbility)


def test_a_book_that_came_is_labelled_and_not_looked_at_again(library: Library) -> None:
    made = book(library, subjects=["Picture books", "Friendship"])

    assert (look(library), look(library)) == (1, 0)

    assert labels_of(library, made) == {
        "hues": ["joyful_charming"],
        "reading_abilities": ["emergent"],
        "min_age": 2,
        "max_age": 6,
        "origins": dict.fromkeys(("hues", "reading_abilities", "min_age", "max_age"), "rule"),
    }


def test_a_book_that_says_something_new_is_looked_at_anew(library: Library) -> None:
    made = book(library, subjects=["Picture books"])
    look(library)

    library.patch(f"/books/{made}", {"subjects": ["Horror stories"]})

    assert look(library) == 1
    # What rules said before, and say no more, is gone.
    assert labels_of(library, made) == {"hues": ["dark_gritty"], "origins": {"hues": "rule"}}
    label(library, made, min_age=3)
    assert look(library) == 0


def test_a_book_of_open_library_is_looked_at_as_well(library: Library) -> None:
    [made] = shelve(library, a_book(1, "Goosebumps", subjects=("Horror stories",)))

    assert look(library) == 1
    assert labels_of(library, str(made))["hues"] == ["dark_gritty"]


def test_a_book_that_has_gone_meanwhile_is_nothing_to_look_at(library: Library) -> None:
    library.delete(f"/books/{book(library)}")
    made = book(library, subjects=["Horror stories"])

    assert look(library) == 2
    assert labels_of(library, made)["hues"] == ["dark_gritty"]


def test_rules_never_overrule_anybody(library: Library) -> None:
    made = book(library, subjects=["Picture books", "Horror stories"])
    label(library, made, "model", hues=["inspiring"], max_age=9)

    look(library)

    labels = labels_of(library, made)
    assert (labels["hues"], labels["max_age"], labels["min_age"]) == (["inspiring"], 9, 2)
    assert labels["origins"]["hues"] == "model"


def test_rules_that_contradict_somebody_say_nothing(library: Library) -> None:
    made = book(library, subjects=["Young adult"])
    label(library, made, max_age=9)

    assert look(library) == 1
    assert labels_of(library, made) == {"max_age": 9, "origins": {"max_age": "person"}}


def test_many_books_take_a_few_rounds(library: Library, other_library: Library) -> None:
    for number in range(5):
        book(library, title=f"Book {number}")
    book(other_library)

    assert [look(library, most=2) for _ in range(4)] == [2, 2, 1, 0]
    assert look(other_library) == 1


def test_the_task_looks_at_every_library(library: Library, other_library: Library, owner: Engine) -> None:
    made = [book(each, subjects=["Horror stories"]) for each in (library, other_library)]
    with library.app.app_context(), acting_as(SYSTEM):
        label_by_rules()

    assert [labels_of(each, which)["hues"] for each, which in zip((library, other_library), made, strict=True)] == [
        ["dark_gritty"]
    ] * 2
    with owner.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM books_to_label")) == 0
