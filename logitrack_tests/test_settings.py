"""Settings are typed, read from the environment, and refused with the name of the variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from logitrack_assets.settings import Settings, SettingsError, read_settings, require_known_variables
from logitrack_service.settings import ServiceSettings


def test_defaults_need_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "DATABASE_URL", "TLC_URL", "FLEETS"):
        monkeypatch.delenv(f"LOGITRACK_{name}", raising=False)
    settings = read_settings(Settings)
    assert settings.embedded
    assert settings.fleets == ("yellow",)
    assert settings.home == Path.cwd() / ".logitrack"
    assert settings.service_host == settings.dagster_host == "127.0.0.1"


def test_fleets_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_invalid_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"LOGITRACK_{name}", value)
    with pytest.raises(SettingsError, match=f"LOGITRACK_{name}"):
        read_settings(Settings)


def test_secrets_are_masked_in_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGITRACK_DATABASE_URL", "postgresql://me:hush-hush@db/trips")
    monkeypatch.setenv("LOGITRACK_SECRET_KEY", "k" * 40)
    shown = repr(read_settings(Settings))
    assert "hush-hush" not in shown
    assert "k" * 40 not in shown


def test_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGITRACK_DATABASE_URL", "")
    assert read_settings(Settings).embedded


@pytest.mark.parametrize(
    ("name", "similar"),
    [
        ("LOGITRACK_SERVICE_PROT", "LOGITRACK_SERVICE_PORT"),
        ("LOGITRACK_QUERRY_ROWS", "LOGITRACK_QUERY_ROWS"),
        ("logitrack_flets", "LOGITRACK_FLEETS"),
    ],
)
def test_unknown_variable_is_refused_with_the_most_similar_name(name: str, similar: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: no such setting") as caught:
        require_known_variables([Settings, ServiceSettings], {name: "1", "LOGITRACK_HOME": "/srv"})
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("Did you mean LOGITRACK_")
    assert similar in caught.value.hint


def test_unknown_variable_without_a_similar_name_is_refused() -> None:
    with pytest.raises(SettingsError, match="LOGITRACK_ZZ: no such setting") as caught:
        require_known_variables([Settings], {"LOGITRACK_ZZ": ""})
    assert "Did you mean" not in str(caught.value)


def test_settings_of_both_packages_and_internal_variables_are_known() -> None:
    names = ["LOGITRACK_HOME", "LOGITRACK_QUERY_ROWS", "LOGITRACK_COMPUTE_LOGS", "LOGITRACK_TEST_TLC", "PATH"]
    require_known_variables([Settings, ServiceSettings], dict.fromkeys(names, "1"))
