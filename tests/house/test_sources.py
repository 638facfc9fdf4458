"""What may stand in which file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APP = ROOT / "app"
# What a domain's folder may hold; `service` and `queries` may grow into packages.
PARTS = {"__init__", "routes", "schemas", "service", "queries", "models", "tasks", "cli"}
NOT_DOMAINS = {"core", "pipeline", "openlibrary"}
WORDS_OF_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers", "base", "lib"}


def sources() -> Iterator[Path]:
    return APP.rglob("*.py")


def lines_with(pattern: str, *, but: str) -> list[str]:
    """Where the pattern occurs in the application, one file excepted."""
    expression = re.compile(pattern)
    return [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources()
        if path != APP / but
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if expression.search(line)
    ]


def test_only_the_database_module_commits_and_rolls_back() -> None:
    found = lines_with(r"\b(commit|rollback)\(", but="core/database.py")

    assert not found, f"Use `with transaction():` instead: {found}"


def test_only_the_settings_read_the_environment() -> None:
    found = lines_with(r"\bos\.(environ|getenv)|\bgetenv\(", but="settings.py")

    assert not found, f"Make it a setting in app/settings.py: {found}"


def test_nothing_is_imported_inside_a_function() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{inner.lineno}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]

    assert not found, f"Import at the top; if that makes a circle, something stands on the wrong level: {found}"


def test_nothing_is_left_for_later() -> None:
    found = lines_with(r"\b(TODO|FIXME|XXX|HACK)\b|^\s*raise NotImplementedError|^\s*\.\.\.$", but="")

    assert not found, f"Do it, or decide against it: {found}"


def test_a_domain_holds_only_the_parts_that_every_domain_has() -> None:
    found = {
        f"{domain.name}/{part.name}"
        for domain in APP.iterdir()
        if domain.is_dir() and domain.name not in NOT_DOMAINS | {"__pycache__"}
        for part in domain.iterdir()
        if part.suffix == ".py" or (part / "__init__.py").exists()
        if part.stem not in PARTS
    }

    assert not found, f"Put these into {', '.join(sorted(PARTS - {'__init__'}))}: {sorted(found)}"


def test_every_name_says_a_thing() -> None:
    found = [str(path.relative_to(ROOT)) for path in sources() if path.stem in WORDS_OF_NOTHING]

    assert not found, f"Say what is in them: {found}"


def test_every_package_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in APP.rglob("__init__.py")
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]

    assert not silent, f"Say in a docstring what it owns and who may use it: {silent}"


@pytest.mark.parametrize("folder", ["app", "tests", "migrations", "deploy", "bench"])
def test_no_test_is_skipped_and_no_check_switched_off_without_a_reason(folder: str) -> None:
    own = Path(__file__)
    suppression = re.compile(r"#\s*(noqa|type:\s*ignore)(?!.*(:\s*[A-Z]+[0-9]+|\[[a-z-]+\]))")
    skipped = re.compile(r"pytest\.(mark\.)?(skip|skipif|xfail|importorskip)\b")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in (ROOT / folder).rglob("*.py")
        if path != own
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if suppression.search(line) or skipped.search(line)
    ]

    assert not found, f"Name the rule that is suppressed; make the test run: {found}"


def imports_from(path: Path, package: str) -> Iterator[tuple[int, str]]:
    """The names that a file takes from a package, with their lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == package:
            yield from ((node.lineno, alias.name) for alias in node.names)


def test_nothing_below_routes_knows_requests_and_answers() -> None:
    # What import-linter can't tell apart: Flask's application is everywhere, its requests are not.
    above = {APP / name for name in ("core", "pipeline")}
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources()
        if path.name not in {"routes.py", "extensions.py"} and not above & set(path.parents)
        for line, name in imports_from(path, "flask")
        if name not in {"Flask", "current_app"}
    ]

    assert not found, f"Hand these what they need as arguments: {found}"


def test_a_domain_is_entered_by_its_service_queries_and_models() -> None:
    domains = {path.name for path in APP.iterdir() if path.is_dir()} - NOT_DOMAINS
    entry = re.compile(r"^from app\.(\w+)(?:\.| import )(\w+)", re.MULTILINE)
    found = [
        f"{path.relative_to(ROOT)}: app.{domain}.{part}"
        for path in sources()
        for domain, part in entry.findall(path.read_text())
        if domain in domains and APP / domain not in path.parents and part not in {"service", "queries", "models"}
        # An answer may hold another domain's thing, which has one description; so has what a command reads.
        if not (part == "schemas" and {"schemas", "cli"} & set(path.relative_to(APP).with_suffix("").parts))
    ]

    assert not found, f"Go in by service, queries or models; schemas and commands may use schemas: {found}"
