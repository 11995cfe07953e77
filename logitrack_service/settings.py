"""What may change from machine to machine in the service alone; what it shares with the assets is in their settings."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from logitrack_assets.settings import read_settings


class ServiceSettings(BaseSettings):
    """The service's own settings. Instances never change."""

    model_config = SettingsConfigDict(env_prefix="LOGITRACK_", frozen=True, env_ignore_empty=True)

    service_workers: int = Field(1, ge=1, le=64, description="Processes that answer HTTP requests.")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Addresses of proxies whose `X-Forwarded-For` is believed, separated by commas."
    )
    secret_keys_previous: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="Keys from before a rotation, separated by commas: tokens they signed stay good until they expire.",
    )
    access_token_minutes: int = Field(15, ge=1, le=60, description="Life of an access token.")
    refresh_token_days: int = Field(30, ge=1, le=365, description="Life of a refresh token.")
    argon2_memory_kib: int = Field(
        19_456, ge=8, description="Memory of one password hash; OWASP's minimum for Argon2id is the default."
    )
    argon2_iterations: int = Field(2, ge=1, description="Passes of one password hash.")
    argon2_parallelism: int = Field(1, ge=1, description="Lanes of one password hash.")
    analyst_database_url: SecretStr | None = Field(
        None,
        description="Address of the read-only login that runs analysts' own queries. Unset, the service makes the role "
        "`logitrack_analyst` itself.",
    )
    query_seconds: int = Field(10, ge=1, le=300, description="Time an analyst's own query may take.")
    query_rows: int = Field(10_000, ge=1, le=100_000, description="Rows an analyst's own query may return.")
    query_bytes: int = Field(10_000_000, ge=1_000, description="Bytes an analyst's own query may return.")
    metrics_access: Literal["loopback", "everyone"] = Field(
        "loopback", description="Who may read `/metrics` without an admin's token."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")

    @field_validator("trusted_proxies", "secret_keys_previous", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


@lru_cache(maxsize=1)
def get_service_settings() -> ServiceSettings:
    """The service's settings of this process, read at the first call."""
    return read_settings(ServiceSettings)
