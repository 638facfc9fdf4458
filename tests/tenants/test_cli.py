"""`flask tenants …`."""

from __future__ import annotations

from flask import Flask

from tests.conftest import Library


def run(app: Flask, *arguments: str) -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=["tenants", *arguments])
    return result.exit_code, result.output


def test_a_tenant_is_created_and_its_id_printed(app: Flask) -> None:
    code, output = run(app, "create", "--slug", "riverside", "--name", "Riverside", "--kind", "school")

    assert (code, len(output.strip())) == (0, 36)
    assert "riverside" in run(app, "list")[1]


def test_all_tenants_are_listed(app: Flask, library: Library, other_library: Library) -> None:
    code, output = run(app, "list")

    assert code == 0
    assert [line.split()[0] for line in output.splitlines()] == ["hillside", "platform", "riverside"]


def test_a_refusal_is_one_clear_line_and_a_failure(app: Flask, library: Library) -> None:
    for arguments, word in (
        (("--slug", "riverside", "--name", "Again"), "slug"),
        (("--slug", "Not A Slug", "--name", "x"), "slug"),
        (("--slug", "fine", "--name", ""), "name"),
    ):
        code, output = run(app, "create", *arguments)
        assert code == 1
        assert output.startswith("Error: ")
        assert word in output
        assert len(output.strip().splitlines()) == 1
