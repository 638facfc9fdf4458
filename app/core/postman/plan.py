"""The plan of the Postman collection: which requests there are, in which order, and what each must bring.

A TOML file; the one in use explains its own words at its top. Reading is strict: whatever the OpenAPI document does
not know, whatever it knows and the plan leaves out, and every variable that nobody has set is an error that says what
to do.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from http import HTTPStatus
from typing import Any

import orjson

_METHODS = ("get", "post", "put", "patch", "delete")
_VARIABLE = re.compile(r"{{([^{}]+)}}")
_TABLES = ("variables", "parameters")
NOBODY = "nobody"
# What `expect` may ask beside a value itself, and how chai spells it.
CONDITIONS = {
    "at_least": "to.be.at.least",
    "includes": "to.include",
    "length": "to.have.lengthOf",
    "one_of": "to.be.oneOf",
    "kind": "to.be.a",
}
NAME_SEPARATOR = " — "


class PlanError(Exception):
    """The plan and the OpenAPI document do not agree; the message lists every fault."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the document, under its address."""

    method: str
    path: str
    described: Mapping[str, Any]

    @property
    def tag(self) -> str:
        """The domain it belongs to."""
        return str(self.described["tags"][0])

    @property
    def success(self) -> int:
        """The status it answers with when all is well."""
        statuses = sorted(int(status) for status in self.described["responses"])
        return next((status for status in statuses if status < HTTPStatus.MULTIPLE_CHOICES), statuses[0])

    def parameters(self, place: str) -> list[Mapping[str, Any]]:
        """Its parameters in `path`, `query` or `header`."""
        return [each for each in self.described.get("parameters", []) if each["in"] == place]


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the collection; the value of one that a step sets is empty."""

    name: str
    value: str
    description: str


@dataclass(frozen=True, slots=True)
class Step:
    """One request of the chain, as the plan words it; see the plan's own explanation."""

    tag: str
    operation: Operation
    call: str
    variant: str = ""
    caller: str = ""
    status: int = 0
    code: str = ""
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    set: Mapping[str, str] = field(default_factory=dict)
    remember: Mapping[str, str] = field(default_factory=dict)
    expect: Mapping[str, Any] = field(default_factory=dict)
    again_while: Mapping[str, list[Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the request is called: the operation's summary, and what is particular about this one."""
        summary = self.operation.described.get("summary", self.call)
        return f"{summary}{NAME_SEPARATOR}{self.variant}" if self.variant else str(summary)

    @property
    def response(self) -> Mapping[str, Any]:
        """What the document says of the answer that is expected."""
        found: Mapping[str, Any] = self.operation.described["responses"][str(self.status)]
        return found


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps in their order, all variables, what the parameters of paths are called, and words to begin with."""

    steps: tuple[Step, ...]
    variables: tuple[Variable, ...]
    parameters: Mapping[str, str]
    description: str

    def variables_in_path(self, step: Step) -> Iterator[tuple[str, str]]:
        """Each parameter of the path of a step, and the text that stands in its place."""
        for each in step.operation.parameters("path"):
            name = each["name"]
            yield name, step.path.get(name, "{{" + self.parameters.get(name, name) + "}}")


def read_plan(text: str, document: Mapping[str, Any]) -> Plan:
    """Read a plan and hold it against the OpenAPI document.

    Raises:
        PlanError: they do not agree, or the text is no TOML.
    """
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"It is not TOML: {error}.") from error
    given, parameters = (told.pop(table, {}) for table in _TABLES)
    description = told.pop("description", "")
    faults: list[str] = []
    steps = tuple(_steps(told, _operations(document), faults))
    variables = [Variable(name, each.get("value", ""), each.get("description", "")) for name, each in given.items()]
    plan = Plan(steps, tuple(variables) + tuple(_variables_set(steps, given)), parameters, description)
    _check_complete(plan, _operations(document), faults)
    _check_chain(plan, given, faults)
    if faults:
        raise PlanError("\n".join(faults))
    return plan


def _operations(document: Mapping[str, Any]) -> dict[str, Operation]:
    return {
        methods[method]["operationId"]: Operation(method.upper(), path, methods[method])
        for path, methods in document["paths"].items()
        for method in _METHODS
        if method in methods
    }


def _steps(told: Mapping[str, Any], operations: Mapping[str, Operation], faults: list[str]) -> Iterator[Step]:
    words = {each.name for each in fields(Step)} - {"tag", "operation", "caller"} | {"as"}
    for tag, steps in told.items():
        for number, words_given in enumerate(steps, 1):
            call, place = words_given.get("call", ""), f"[[{tag}]] number {number} ({words_given.get('call')})"
            operation = operations.get(call)
            if operation is None:
                faults.append(f"{place}: there is no operation {call!r}{_perhaps(call, operations)}")
            elif operation.tag != tag:
                faults.append(f"{place}: the operation belongs under [[{operation.tag}]].")
            elif unknown := sorted(words_given.keys() - words):
                faults.append(
                    f"{place}: the words {', '.join(unknown)} mean nothing; known: {', '.join(sorted(words))}."
                )
            else:
                given = {"status": operation.success, **words_given}
                step = Step(tag=tag, operation=operation, caller=given.pop("as", ""), **given)
                own_faults = list(_faults_of(step))
                faults += [f"{place}: {fault}" for fault in own_faults]
                if not own_faults:
                    yield step


def _perhaps(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; is {near[0]!r} meant?" if near else "."


def _faults_of(step: Step) -> Iterator[str]:
    response = step.operation.described["responses"].get(str(step.status))
    if response is None:
        yield f"the document knows no answer {step.status} of it."
    elif step.code and step.code not in (codes := _codes_of(response)):
        yield f"the document knows no {step.code!r} among its answers {step.status}: {', '.join(codes)}."
    if (step.status >= HTTPStatus.BAD_REQUEST) is not bool(step.code):
        yield "an answer of 400 and above needs its `code`, and no other has one."
    if step.body is not None and "requestBody" not in step.operation.described:
        yield "it takes no body."
    asked = {word for wanted in step.expect.values() if isinstance(wanted, dict) for word in wanted}
    for word in sorted(asked - CONDITIONS.keys()):
        yield f"`expect` knows no {word!r}; known: {', '.join(CONDITIONS)}."
    for place, given in (("path", step.path), ("query", step.query)):
        known = {each["name"] for each in step.operation.parameters(place)}
        for name in sorted(given.keys() - known):
            yield f"it has no parameter {name!r} in its {place}{_perhaps(name, known)}"


def _codes_of(response: Mapping[str, Any]) -> list[str]:
    """The codes of an answer's problems: each has its example, under its own name."""
    return [code for content in response.get("content", {}).values() for code in content.get("examples", {})]


def _variables_set(steps: Collection[Step], given: Collection[str]) -> Iterator[Variable]:
    setters: dict[str, str] = {}
    for step in steps:
        for name in (*step.set, *step.remember):
            setters.setdefault(name, step.name)
    for name, setter in setters.items():
        if name not in given:
            yield Variable(name, "", f"Set by “{setter}”.")


def _check_complete(plan: Plan, operations: Mapping[str, Operation], faults: list[str]) -> None:
    """Every operation has a request, and every request a name of its own (requests are gone back to by name)."""
    called = {step.call for step in plan.steps}
    for call, operation in operations.items():
        if call not in called and not any(f"({call})" in fault for fault in faults):
            faults.append(f'The operation {call!r} has no step: add `[[{operation.tag}]]` with `call = "{call}"`.')
    names = [step.name for step in plan.steps]
    faults += [
        f"Several requests are called {name!r}: give all but one a `variant` of its own."
        for name in sorted({name for name in names if names.count(name) > 1})
    ]


def _check_chain(plan: Plan, given: Collection[str], faults: list[str]) -> None:
    """Whatever a step uses has a value by then: of the file, or of an earlier step."""
    known = set(given)
    for step in plan.steps:
        known |= set(step.set)
        faults += [
            f"{step.name!r} uses {{{{{name}}}}}, which no step before it sets or remembers."
            for name in sorted(used_variables(plan, step) - known)
        ]
        known |= set(step.remember)


def used_variables(plan: Plan, step: Step) -> set[str]:
    """The names of all variables that a step needs; Postman's own (`$guid`) are none."""
    texts = [*(text for _, text in plan.variables_in_path(step)), *step.headers.values(), *step.set.values()]
    texts += [orjson.dumps([step.body, step.query, step.expect]).decode()]
    found = {name for text in texts for name in _VARIABLE.findall(text) if not name.startswith("$")}
    return found | ({step.caller} - {"", NOBODY})
