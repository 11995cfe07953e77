"""Settings: typed, read from the environment, refused with the variable's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from logitrack_assets.settings import Settings, SettingsError, read_settings


def test_defaults_work_on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "DATABASE_URL", "TLC_URL", "FLEETS"):
        monkeypatch.delenv(f"LOGITRACK_{name}", raising=False)
    settings = read_settings(Settings)
    assert settings.embedded
    assert settings.fleets == ("yellow",)
    assert settings.home == Path.cwd() / ".logitrack"
    assert settings.service_host == settings.dagster_host == "127.0.0.1"


def test_fleets_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGITRACK_FLEETS", "Green, yellow,green")
    assert read_settings(Settings).fleets == ("green", "yellow")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FLEETS", "blue"),
        ("FLEETS", ","),
        ("SERVICE_PORT", "70000"),
        ("SPARK_DRIVER_MEMORY", "much"),
        ("SAMPLE_ROWS_PER_MONTH", "0"),
    ],
)
def test_a_value_that_does_not_fit_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"LOGITRACK_{name}", value)
    with pytest.raises(SettingsError, match=f"LOGITRACK_{name}"):
        read_settings(Settings)


def test_secrets_do_not_print(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGITRACK_DATABASE_URL", "postgresql://me:hush-hush@db/trips")
    monkeypatch.setenv("LOGITRACK_SECRET_KEY", "k" * 40)
    said = repr(read_settings(Settings))
    assert "hush-hush" not in said
    assert "k" * 40 not in said


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGITRACK_DATABASE_URL", "")
    assert read_settings(Settings).embedded
