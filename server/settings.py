"""Every setting, from the environment (`SLUICE_*`) or `.env`, read once."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from ingest.formats.mapping import (
    DEVICE_TAGS,
    OTLP_DEVICE_TAGS,
    OTLP_DROPPED,
    PROMETHEUS_DEVICE_TAGS,
    SENML_NAME,
    Mapping,
)
from schemas.names import name_fault
from server.engines import Engine
from server.mqtt_settings import MqttSettings
from server.redis_url import UNREADABLE, RedisUrl

_SCHEMES = {"postgres", "postgresql"}
MIN_TOKEN_KEY_CHARS = 32
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]*\]|[^:\[\]]*)(:\d*)?")


def _is_url(url: str) -> bool:
    """Whether a driver would find in it what its writer meant."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    hosts = parts.netloc.rpartition("@")[2].split(",")
    return parts.scheme in _SCHEMES and "@" not in parts.path and all(map(_HOST.fullmatch, hosts))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for each in text.split(",") if (part := each.strip()))


class Settings(MqttSettings):
    """What an operator can set. `sluice doctor` prints each with its source."""

    model_config = SettingsConfigDict(
        env_prefix="SLUICE_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    database_url: SecretStr | None = Field(default=None, description="PostgreSQL; without it `up` starts its own.")
    engine: Engine = Field(default=Engine.PLAIN, description="What `migrate` makes of PostgreSQL: docs/engines.md.")
    direct_url: SecretStr | None = Field(
        default=None, description="PostgreSQL itself, where DATABASE_URL leads to a pooler in transaction mode."
    )
    redis_url: SecretStr | None = Field(default=None, description="Redis or Valkey; without it `up` starts its own.")
    redis_prefix: str = Field(default="sluice", description="Tells installations that share one Redis apart.")
    data_dir: Path = Field(default=Path(".sluice"), description="Where `up` keeps its servers' data and the admin key.")
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    log_level: str = "info"
    log_format: str = Field(default="auto", pattern="^(auto|json|console)$", description="auto: console on a terminal.")

    tracing: bool = Field(default=False, description="OpenTelemetry, with the extra `tracing`; OTEL_* say whither.")

    retention_days: Annotated[int, Field(ge=1, le=36_500)] = Field(default=365, description="Older ones are refused.")
    audit_days: Annotated[int, Field(ge=1, le=36_500)] = Field(default=365, description="Older acts are deleted.")
    pack_after_days: Annotated[int, Field(ge=0, le=36_500)] = Field(default=2, description="Older days are packed.")
    storage_every_s: Annotated[float, Field(gt=0)] = Field(default=60.0, description="Between two looks at old days.")
    rollup_minutes_days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        default=90, description="For rollups of a minute."
    )
    rollup_hours_days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        default=1_830, description="Of an hour; days stay."
    )
    rollup_close_after_s: Annotated[float, Field(ge=0)] = Field(
        default=3_900.0, description="An hour is rolled up so long after its end; readings that come later cost more."
    )
    rollup_settle_s: Annotated[float, Field(ge=0)] = Field(
        default=300.0, description="Until an hour with late readings is rolled up again; it is read raw meanwhile."
    )
    max_readings: Annotated[int, Field(ge=1, le=100_000)] = Field(default=10_000, description="Of one request.")
    max_body_bytes: Annotated[int, Field(ge=1_024)] = Field(default=8 << 20, description="After inflating.")
    receive_s: Annotated[float, Field(gt=0)] = Field(default=10.0, description="For a body to arrive.")
    head_s: Annotated[float, Field(gt=0)] = Field(
        default=9.0, description="For a first byte, and for a head, to arrive."
    )
    idle_s: Annotated[float, Field(gt=0)] = Field(default=75.0, description="For the next request on a connection.")
    intake_bytes: Annotated[int, Field(ge=1_024)] = Field(
        default=64 << 20, description="Of bodies on their way in, of one worker."
    )
    allowed_origins: str = Field(
        default="", description="Besides our own: of pages that may use the cookie on /ws; separated by commas."
    )
    session_idle_s: Annotated[int, Field(ge=1)] = Field(
        default=43_200, description="A browser's session ends after so long without use."
    )
    session_max_s: Annotated[int, Field(ge=1)] = Field(default=604_800, description="And after so long in any case.")
    token_ttl_s: Annotated[int, Field(ge=1, le=900)] = Field(default=600, description="Life of a token for /ws.")
    token_key: SecretStr | None = Field(
        default=None, description="Signs these; without it one is made and kept. Two with a comma: NEW,OLD."
    )
    max_cached_series: Annotated[int, Field(ge=1_000)] = Field(default=1_000_000, description="Of one worker.")
    max_series_per_key: Annotated[int, Field(ge=1)] = Field(
        default=1_000_000, description="That a key has made and that still exist."
    )
    quota_requests_per_s: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Of a key without one of its own, over all workers and nodes."
    )
    quota_readings_per_s: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Of a key without one of its own, over all workers and nodes."
    )

    mapping_device_tags: str = Field(
        default=",".join(DEVICE_TAGS), description="Foreign protocols: the first tag of these names the device."
    )
    mapping_influx_device_tags: str = Field(default="", description="The same of InfluxDB's alone; empty: as of all.")
    mapping_prometheus_device_tags: str = Field(
        default=",".join(PROMETHEUS_DEVICE_TAGS), description="The same of Prometheus's labels; empty: as of all."
    )
    mapping_otlp_device_tags: str = Field(
        default=",".join(OTLP_DEVICE_TAGS), description="The same of OTLP's attributes; empty: as of all."
    )
    mapping_otlp_dropped: str = Field(
        default=",".join(OTLP_DROPPED), description="Globs: attributes of a resource or a scope that are no labels."
    )
    mapping_default_device: str = Field(
        default="", description="Of readings without such a tag, sent with a key that is not bound to one device."
    )
    mapping_value_field: str = Field(default="value", description="The metric of this field is its measurement.")
    mapping_separator: str = Field(default=".", description="Between measurement and field.", max_length=8)
    mapping_senml_name: str = Field(
        default=SENML_NAME, description="How a SenML name is read: a pattern with the groups device and metric."
    )

    flap_high: Annotated[float, Field(gt=0, le=1)] = Field(default=0.5, description="Share of changes: it flaps above.")
    flap_low: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.25, description="It has settled at or below it.")
    max_rules: Annotated[int, Field(ge=1)] = Field(default=100_000, description="A worker holds all of them in memory.")
    external_url: str = Field(default="", description="Where people reach this installation; told to webhooks.")
    webhook_key: SecretStr | None = Field(default=None, description="Signs webhooks; without it one is made and kept.")
    webhook_allow_private: bool = Field(default=True, description="Whether webhooks may lead to private addresses.")

    lanes: Annotated[int, Field(ge=1, le=16)] = Field(default=2, description="Flushes in flight, of one worker.")
    flush_rows: Annotated[int, Field(ge=1)] = Field(default=10_000, description="Rows of one group.")
    queue_rows: Annotated[int, Field(ge=1)] = Field(default=200_000, description="Rows that may wait, of one worker.")
    queue_bytes: Annotated[int, Field(ge=1)] = Field(
        default=64 << 20, description="Bytes that may wait, of one worker."
    )
    deadline_s: Annotated[float, Field(gt=0)] = Field(default=5.0, description="From a batch's arrival to its answer.")
    pool_size: Annotated[int, Field(ge=4)] = Field(default=10, description="Connections of one worker to PostgreSQL.")
    read_pool_size: Annotated[int, Field(ge=1)] = Field(
        default=4, description="Connections of one worker for reading back, besides those."
    )
    max_streams: Annotated[int, Field(ge=1)] = Field(default=8, description="CSV and NDJSON under way, of one worker.")
    farewell_s: Annotated[float, Field(ge=0, le=5)] = Field(
        default=1.0, description="At SIGTERM, for idle connections to send once more and be told to close."
    )
    drain_s: Annotated[float, Field(gt=0, le=7)] = Field(default=6.5, description="For what is in flight at SIGTERM.")

    @field_validator("flap_low")
    @classmethod
    def _settles(cls, low: float, info: ValidationInfo) -> float:
        if low > info.data.get("flap_high", 1):
            raise ValueError("must not be greater than SLUICE_FLAP_HIGH")
        return low

    @field_validator("direct_url")
    @classmethod
    def _beside_a_pooler(cls, url: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if url is not None and info.data.get("database_url") is None:
            raise ValueError("needs SLUICE_DATABASE_URL beside it, which leads to the same database by way of a pooler")
        if url is not None and info.data.get("engine") is Engine.CITUS:
            raise ValueError("a pooler before Citus is not supported: leave it out")
        return url

    @field_validator("token_key")
    @classmethod
    def _long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and min(map(len, value.get_secret_value().split(","))) < MIN_TOKEN_KEY_CHARS:
            raise ValueError(f"a key that signs needs at least {MIN_TOKEN_KEY_CHARS} characters")
        return value

    @field_validator("mapping_default_device")
    @classmethod
    def _names_a_device(cls, name: str) -> str:
        if name and (fault := name_fault(name)):
            raise ValueError(fault)
        return name

    @field_validator("mapping_senml_name")
    @classmethod
    def _has_both_groups(cls, text: str) -> str:
        try:
            groups = re.compile(text).groupindex
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        if not {"device", "metric"} <= groups.keys():
            raise ValueError("needs the groups (?P<device>…) and (?P<metric>…)")
        return text

    @field_validator("database_url", "direct_url", "redis_url")
    @classmethod
    def _readable(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        # Here, as the drivers would name the part of a password that they took for a port.
        if value is not None and info.field_name == "redis_url":
            RedisUrl.parse(value.get_secret_value())
        elif value is not None and not _is_url(value.get_secret_value()):
            raise ValueError(UNREADABLE)
        return value

    @property
    def database(self) -> str:
        """The URL of PostgreSQL. Raises ValueError, saying what to do, where there is none."""
        if self.database_url is None:
            raise ValueError("SLUICE_DATABASE_URL is not set; `sluice up` starts a PostgreSQL of its own")
        return self.database_url.get_secret_value()

    @property
    def direct(self) -> str:
        """The URL of PostgreSQL for sessions that last. Raises what `database` raises."""
        return self.database if self.direct_url is None else self.direct_url.get_secret_value()

    @property
    def redis(self) -> RedisUrl:
        """Where Redis is. Raises ValueError, saying what to do, where that is not set."""
        if self.redis_url is None:
            raise ValueError("SLUICE_REDIS_URL is not set; `sluice up` starts a Valkey of its own")
        return RedisUrl.parse(self.redis_url.get_secret_value())

    @property
    def token_keys(self) -> list[bytes]:
        """What signs tokens, the newest first; none where that is kept in PostgreSQL."""
        return (
            []
            if self.token_key is None
            else [each.strip().encode() for each in self.token_key.get_secret_value().split(",")]
        )

    def mapping(self, protocol: str) -> Mapping:
        """How names of a foreign protocol are read: with the tags of its own setting, where there is one."""
        own: str = getattr(self, f"mapping_{protocol}_device_tags", "") or self.mapping_device_tags
        made = Mapping(
            _listed(own),
            self.mapping_default_device,
            self.mapping_value_field,
            self.mapping_separator,
            self.mapping_senml_name,
            self.topics,
        )
        return replace(made, dropped=_listed(self.mapping_otlp_dropped)) if protocol == "otlp" else made

    @property
    def origins(self) -> frozenset[str]:
        """`allowed_origins`, as browsers send them."""
        return frozenset(origin.strip().rstrip("/").lower() for origin in self.allowed_origins.split(",")) - {""}
