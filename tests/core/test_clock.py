"""Ids."""

from __future__ import annotations

from app.core.clock import new_id


def test_ids_sort_by_their_making_and_are_version_7() -> None:
    ids = [new_id() for _ in range(20_000)]

    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert {(each.version, each.variant) for each in ids} == {(7, "specified in RFC 4122")}
