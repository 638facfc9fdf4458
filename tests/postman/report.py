"""What newman tells of a run, read from its JSON report."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MOST_CHARACTERS = 400


@dataclass(frozen=True)
class Report:
    """One run of the collection."""

    told: Mapping[str, Any]

    @property
    def failures(self) -> list[str]:
        """Each failed test or script with what the service answered, ready to be printed."""
        return [self._failure(each) for each in self.told["run"]["failures"]]

    @property
    def unsent(self) -> list[str]:
        """The requests of the collection that were never sent, because the chain broke off before them."""
        sent = {each["item"]["id"] for each in self.told["run"]["executions"]}
        return [name for id_, name in _requests(self.told["collection"]) if id_ not in sent]

    @property
    def summary(self) -> str:
        """How much was done, in one line."""
        stats, timings = self.told["run"]["stats"], self.told["run"]["timings"]
        seconds = (timings["completed"] - timings["started"]) / 1000
        return (
            f"{stats['requests']['total']} requests, {stats['assertions']['total']} tests, "
            f"{len(self.told['run']['failures'])} failed, {seconds:.1f} s"
        )

    def _failure(self, failure: Mapping[str, Any]) -> str:
        error, source = failure["error"], failure.get("source", {})
        what = f"{source.get('name', 'the collection')}: {error.get('test') or error.get('name')}: {error['message']}"
        answers = [each for each in self.told["run"]["executions"] if each["item"]["id"] == source.get("id")]
        response = answers[-1].get("response") if answers else None
        if not response:
            return what
        body = bytes(response.get("stream", {}).get("data", [])).decode(errors="replace")
        return f"{what}\n    answered {response['code']}: {body[:MOST_CHARACTERS]}"


def _requests(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "request" in part:
        yield part["id"], part["name"]
    for below in part.get("item", []):
        yield from _requests(below)
