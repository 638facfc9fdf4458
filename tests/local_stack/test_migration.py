"""`make migration`."""

import pytest

from deploy.local import migration


@pytest.mark.parametrize("name", ["", "two words", "../labels", "--sql"])
def test_a_migration_is_named_in_one_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setenv("NAME", name)

    assert migration.main() == 1
    assert "needs a name" in capsys.readouterr().err
