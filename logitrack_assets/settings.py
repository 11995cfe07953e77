"""Settings of an installation: typed, read from `LOGITRACK_*` environment variables.

The README's table of settings is compared with this file by a test.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from logitrack_assets.errors import LogitrackError

TLC_SERVER = "https://d37ci6vzurychx.cloudfront.net"
JAVA_OPTIONS = "-XX:+UseParallelGC"

PREFIX = "LOGITRACK_"
INTERNAL_VARIABLES = frozenset({"LOGITRACK_COMPUTE_LOGS", "LOGITRACK_TEST_TLC"})
"""Variables with the prefix that are not settings: the folder of Dagster's compute logs, and the tests' data folder."""

MonthKey = Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]
Port = Annotated[int, Field(ge=1, le=65535)]
AnySettings = TypeVar("AnySettings", bound=BaseSettings)


class SettingsError(LogitrackError):
    """An environment variable cannot be used: its value does not fit, or no setting has its name."""


class Settings(BaseSettings):
    """Settings that both packages use. Immutable."""

    model_config = SettingsConfigDict(env_prefix="LOGITRACK_", frozen=True, env_ignore_empty=True)

    home: Path = Field(Path(".logitrack"), description="Folder of the lake, the models and the embedded PostgreSQL.")
    tlc_url: str | None = Field(
        None,
        description="Where trip files come from: `https://`, `http://`, `file://` or a folder. "
        "`up` and `demo` use the packaged sample when it is unset, `materialize` the TLC's server.",
    )
    fleets: Annotated[tuple[Literal["yellow", "green"], ...], NoDecode] = Field(
        ("yellow",), min_length=1, description="Fleets to load, separated by commas: `yellow`, `green`."
    )
    first_month: MonthKey = Field(
        "2011-01",
        description="Month `YYYY-MM` at which the partitions begin; `up` and `demo` take the first one of a folder "
        "when it is unset.",
    )
    last_month: MonthKey | None = Field(
        None,
        description="Month `YYYY-MM` at which the partitions end, for a source that does not grow; the last complete "
        "month when unset. `up` and `demo` take the last one of the packaged sample.",
    )
    first_load_months: int = Field(
        12, ge=2, le=120, description="Months that the first `up` or `demo` loads: the newest of the source."
    )
    database_url: SecretStr | None = Field(
        None, description="PostgreSQL as `postgresql://user:password@host/db`; the embedded one when unset."
    )
    database_password: SecretStr | None = Field(
        None,
        description="Password for `LOGITRACK_DATABASE_URL`, as it is: nothing in it needs percent-encoding.",
    )
    postgres_port: Port | None = Field(
        None,
        description="Port on loopback at which analysts' own tools reach the embedded PostgreSQL; none when unset.",
    )
    spark_master: str = Field("local[*]", description="Spark's master: `local[*]`, `spark://…` or `k8s://…`.")
    spark_driver_memory: str = Field(
        "2g",
        pattern=r"^\d+[kmgKMG]$",
        description="Memory of the driver's JVM; in local mode all of Spark's.",
    )
    spark_java_options: str = Field(JAVA_OPTIONS, description="Options of the driver's JVM.")
    spark_runs: int = Field(1, ge=1, description="Runs that may use Spark at once on this machine; more on a cluster.")
    sample_rows_per_month: int = Field(
        20_000, ge=1, le=1_000_000, description="Trips of a month and fleet that `analytics_sample` keeps."
    )
    source_interval_seconds: int = Field(
        900, ge=5, description="Seconds between two checks of the source for new months."
    )
    retrain_interval_seconds: int = Field(60, ge=5, description="Seconds between two checks whether a training is due.")
    retrain_cooldown_hours: float = Field(
        24, ge=0, description="Hours after a training during which drift or live error start no other."
    )
    live_error_worse_by: float = Field(
        0.25, gt=0, description="Share by which the live error may exceed the test error before a training starts."
    )
    promotion: Literal["gates", "shadow"] = Field(
        "gates",
        description="When a candidate that passes every gate is served: at once (`gates`), or after it proved better "
        "than the champion in shadow (`shadow`).",
    )
    drift_psi: float = Field(
        0.1, gt=0, description="Population stability index of an input above which a month counts as drifted."
    )
    drift_volume_ratio: float = Field(
        2.0, gt=1, description="Factor by which a fleet's trips may rise or fall before a month counts as drifted."
    )
    drift_error_ratio: float = Field(
        1.4, gt=1, description="Factor of the test error above which the champion's error in a month counts as drift."
    )
    alert_webhook: SecretStr | None = Field(
        None, description="Address that alerts are posted to as JSON (`text`, the format of Slack's webhooks)."
    )
    keep_runs_days: int = Field(
        180,
        ge=1,
        description="Days that finished runs and their logs are kept; the newest materialisations always stay.",
    )
    keep_requests_days: int = Field(
        400, ge=30, description="Days that logged predictions, their outcomes and audit events are kept."
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Key that signs access tokens, at least 32 bytes; created under the home folder "
        "in the embedded mode, required with `LOGITRACK_DATABASE_URL`.",
    )
    registry_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="Key that signs the champion, at least 32 bytes, for the assets and the service; created under the "
        "home folder in the embedded mode. With `LOGITRACK_DATABASE_URL` and no key, champions are not signed.",
    )
    service_host: str = Field("127.0.0.1", description="Address the HTTP service listens on.")
    service_port: Port = Field(8000, description="Port of the HTTP service.")
    dagster_host: str = Field("127.0.0.1", description="Address Dagster's web UI listens on.")
    dagster_port: Port = Field(3000, description="Port of Dagster's web UI.")
    dagster_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Host names under which browsers reach Dagster's web UI, separated by commas, besides the loopback "
        "ones and `LOGITRACK_DAGSTER_HOST`.",
    )
    dagster_url: str | None = Field(
        None, description="Address at which users open Dagster's web UI, for links in alerts; host and port when unset."
    )

    @field_validator("home")
    @classmethod
    def _make_absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("fleets", mode="before")
    @classmethod
    def _split_fleets(cls, fleets: object) -> object:
        if isinstance(fleets, str):
            return tuple(dict.fromkeys(part.strip().lower() for part in fleets.split(",") if part.strip()))
        return fleets

    @field_validator("dagster_allowed_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, hosts: object) -> object:
        if isinstance(hosts, str):
            return tuple(part.strip().lower() for part in hosts.split(",") if part.strip())
        return hosts

    @property
    def source_url(self) -> str:
        """Where trip files come from: the setting, or the TLC's server."""
        return self.tlc_url or TLC_SERVER

    @property
    def dagster_address(self) -> str:
        """Address of Dagster's web UI: the setting, or host and port."""
        return self.dagster_url or f"http://{self.dagster_host}:{self.dagster_port}"

    @property
    def embedded(self) -> bool:
        """Whether PostgreSQL is the embedded one, because no address is set."""
        return self.database_url is None


class RoleSettings(BaseSettings):
    """Passwords of the logins that `logitrack database migrate` creates. Immutable."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True)

    service_database_password: SecretStr = Field(
        description="Password for the role `logitrack_service`, for `logitrack database migrate`."
    )
    assets_database_password: SecretStr = Field(
        description="Password for the role `logitrack_assets`, for `logitrack database migrate`."
    )
    analyst_database_password: SecretStr = Field(
        description="Password for the role `logitrack_analyst`, for `logitrack database migrate`."
    )


def read_settings(kind: type[AnySettings]) -> AnySettings:
    """Return the settings of a class, read from the environment.

    Raises:
        SettingsError: A value does not fit; the message names the variable.
    """
    try:
        return kind()
    except ValidationError as error:
        problems = "; ".join(
            f"{PREFIX}{'_'.join(str(part) for part in row['loc'][:1]).upper()}: {row['msg']}" for row in error.errors()
        )
        raise SettingsError(
            f"Settings that cannot be used: {problems}.", hint="The README lists every setting."
        ) from None


def require_known_variables(kinds: Iterable[type[BaseSettings]], environment: Mapping[str, str] = os.environ) -> None:
    """Refuse variables with the prefix that are not settings, so that a misspelt one has an effect: this error.

    The entry points call this, because only they may import the settings of both packages.

    Args:
        kinds: All classes of settings whose variables can be set.
        environment: Variables to look at.

    Raises:
        SettingsError: A variable has the prefix and is not known; the hint has the known name that is most similar.
    """
    known = {f"{PREFIX}{name.upper()}" for kind in kinds for name in kind.model_fields} | INTERNAL_VARIABLES
    unknown = sorted(name for name in environment if name.upper().startswith(PREFIX) and name.upper() not in known)
    if not unknown:
        return
    suffixes = [name.removeprefix(PREFIX) for name in sorted(known)]  # the common prefix makes all names similar
    similar = [
        PREFIX + match
        for name in unknown
        for match in get_close_matches(name.upper().removeprefix(PREFIX), suffixes, n=1)
    ]
    hint = f"Did you mean {', '.join(similar)}? " if similar else ""
    raise SettingsError(
        f"{', '.join(unknown)}: no such setting.", hint=f"{hint}The README lists every setting; unset all others."
    )


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process, read at the first call."""
    return read_settings(Settings)
