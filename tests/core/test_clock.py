"""Ids."""

from __future__ import annotations

from uuid import UUID

from app.core.clock import new_id, new_ids


def test_ids_sort_by_their_making_and_are_version_7() -> None:
    ids = [new_id() for _ in range(20_000)]

    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert {(each.version, each.variant) for each in ids} == {(7, "specified in RFC 4122")}


def test_many_ids_at_once_sort_between_those_before_and_after() -> None:
    before = new_id()
    many = [UUID(each) for each in new_ids(50_000)]
    after = new_id()

    assert [before, *many, after] == sorted({before, *many, after})
    assert {(each.version, each.variant) for each in many} == {(7, "specified in RFC 4122")}
    assert new_ids(0) == []
