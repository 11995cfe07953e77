"""Everything that may change from machine to machine, read once from `LOGITRACK_*` and typed.

The table in the README is checked against this file, so a setting that is added here and not there fails the tests.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from logitrack_assets.errors import LogitrackError

TLC_SERVER = "https://d37ci6vzurychx.cloudfront.net"
JAVA_OPTIONS = "-XX:+UseParallelGC"

Port = Annotated[int, Field(ge=1, le=65535)]
AnySettings = TypeVar("AnySettings", bound=BaseSettings)


class SettingsError(LogitrackError):
    """A setting that cannot be used; the message names the variable and the mend."""


class Settings(BaseSettings):
    """The settings both halves share. Instances never change."""

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
    database_url: SecretStr | None = Field(
        None, description="PostgreSQL as `postgresql://user:password@host/db`; the embedded one when unset."
    )
    spark_master: str = Field("local[*]", description="Spark's master: `local[*]`, `spark://…` or `k8s://…`.")
    spark_driver_memory: str = Field(
        "2g",
        pattern=r"^\d+[kmgKMG]$",
        description="Memory of the driver's JVM; in local mode all of Spark's.",
    )
    spark_java_options: str = Field(JAVA_OPTIONS, description="TrainingOptions of the driver's JVM.")
    spark_runs: int = Field(1, ge=1, description="Runs that may use Spark at once on this machine; more on a cluster.")
    sample_rows_per_month: int = Field(
        20_000, ge=1, le=1_000_000, description="Trips of a month and fleet that `analytics_sample` keeps."
    )
    source_interval_seconds: int = Field(
        900, ge=5, description="Seconds between two questions to the source whether months are new."
    )
    retrain_interval_seconds: int = Field(
        60, ge=5, description="Seconds between two looks at whether the model is due for training."
    )
    retrain_cooldown_hours: float = Field(
        24, ge=0, description="Hours after a training in which drift or live error alone start no other."
    )
    live_error_worse_by: float = Field(
        0.25, gt=0, description="Share by which the live error may exceed the test error before it leads to training."
    )
    drift_psi: float = Field(
        0.1, gt=0, description="Population stability index of an input above which a month has drifted."
    )
    drift_volume_ratio: float = Field(
        2.0, gt=1, description="Factor by which a fleet's trips may rise or fall before a month has drifted."
    )
    drift_error_ratio: float = Field(
        1.4, gt=1, description="Factor by which the champion's error may exceed its test error before a month drifted."
    )
    alert_webhook: SecretStr | None = Field(
        None, description="Address that failures are posted to as JSON (`text`, as Slack and others take it)."
    )
    keep_runs_days: int = Field(
        180, ge=1, description="Days that finished runs and their logs are kept; newest materialisations stay."
    )
    keep_requests_days: int = Field(
        400, ge=30, description="Days that logged predictions, their outcomes and audit events are kept."
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Key that signs access tokens, at least 32 bytes; made and kept under the home folder "
        "in the embedded mode, required with `LOGITRACK_DATABASE_URL`.",
    )
    service_host: str = Field("127.0.0.1", description="Address the HTTP service listens on.")
    service_port: Port = Field(8000, description="Port of the HTTP service.")
    dagster_host: str = Field("127.0.0.1", description="Address Dagster's web UI listens on.")
    dagster_port: Port = Field(3000, description="Port of Dagster's web UI.")

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("fleets", mode="before")
    @classmethod
    def _split(cls, fleets: object) -> object:
        if isinstance(fleets, str):
            return tuple(dict.fromkeys(part.strip().lower() for part in fleets.split(",") if part.strip()))
        return fleets

    @property
    def source_url(self) -> str:
        """Where trip files come from when no command chose for the user: the TLC's own server."""
        return self.tlc_url or TLC_SERVER

    @property
    def embedded(self) -> bool:
        """Whether PostgreSQL is the embedded one: nobody gave an address of another."""
        return self.database_url is None


def read_settings(kind: type[AnySettings]) -> AnySettings:
    """Reads settings of a kind from the environment.

    Raises:
        SettingsError: a value that does not fit, named as the variable that holds it.
    """
    try:
        return kind()
    except ValidationError as error:
        wrong = "; ".join(
            f"LOGITRACK_{'_'.join(str(part) for part in row['loc'][:1]).upper()}: {row['msg']}"
            for row in error.errors()
        )
        raise SettingsError(f"Settings that cannot be used: {wrong}. The README lists every setting.") from None


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read at the first call."""
    return read_settings(Settings)
