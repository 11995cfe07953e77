"""Settings of the service alone; those shared with the assets are in `logitrack_assets.settings`."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from logitrack_assets.settings import read_settings


class ServiceSettings(BaseSettings):
    """Settings of the service. Instances are immutable."""

    model_config = SettingsConfigDict(env_prefix="LOGITRACK_", frozen=True, env_ignore_empty=True)

    service_workers: int = Field(1, ge=1, le=64, description="Worker processes that serve HTTP requests.")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Addresses of proxies whose `X-Forwarded-For` is trusted, separated by commas."
    )
    max_connections: int = Field(1_000, ge=10, description="Open connections of one worker process.")
    max_connections_per_address: int = Field(
        100,
        ge=1,
        description="Open connections of one worker process from one address; trusted proxies are exempt.",
    )
    secret_keys_previous: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="Keys from before a rotation, separated by commas: their tokens stay valid until they expire.",
    )
    access_token_minutes: int = Field(15, ge=1, le=60, description="Lifetime of an access token.")
    refresh_token_days: int = Field(30, ge=1, le=365, description="Lifetime of a session and of its refresh tokens.")
    session_idle_hours: int = Field(
        336, ge=1, le=8760, description="Hours without a refresh after which a session ends; at most its lifetime."
    )
    max_sessions_per_account: int = Field(
        20, ge=1, le=1_000, description="Open sessions of an account; a login beyond them ends the least recently used."
    )
    argon2_memory_kib: int = Field(
        19_456, ge=8, description="Memory of one password hash; the default is OWASP's minimum for Argon2id."
    )
    argon2_iterations: int = Field(2, ge=1, description="Passes of one password hash.")
    argon2_parallelism: int = Field(1, ge=1, description="Lanes of one password hash.")
    analyst_database_url: SecretStr | None = Field(
        None,
        description="Address of the read-only login that runs analysts' queries. Unset, the service creates the role "
        "`logitrack_analyst`.",
    )
    analyst_database_password: SecretStr | None = Field(
        None, description="Password for `LOGITRACK_ANALYST_DATABASE_URL`, as it is."
    )
    query_seconds: int = Field(10, ge=1, le=300, description="Time limit of an analyst's query in seconds.")
    query_rows: int = Field(10_000, ge=1, le=100_000, description="Row limit of an analyst's query.")
    query_bytes: int = Field(10_000_000, ge=1_000, description="Size limit of an analyst's query result in bytes.")
    daily_predictions: int = Field(
        200_000, ge=1, description="Predictions that an account may store in a day (UTC); more are refused with 429."
    )
    open_predictions: int = Field(
        2_000_000,
        ge=1,
        description="Predictions of the last 30 days that an account may leave without an outcome; more are refused "
        "with 429.",
    )
    metrics_access: Literal["loopback", "everyone"] = Field(
        "loopback", description="Clients that may read `/metrics` without an admin's token."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Minimum level that is logged.")

    @field_validator("trusted_proxies", "secret_keys_previous", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


@lru_cache(maxsize=1)
def get_service_settings() -> ServiceSettings:
    """Return the settings of this process, read from the environment at the first call.

    Raises:
        SettingsError: A value is invalid.
    """
    return read_settings(ServiceSettings)
