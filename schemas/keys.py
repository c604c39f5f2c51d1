"""API keys and who presents one."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from schemas.names import is_glob, matches, name_fault

FIRST_YEAR, LAST_YEAR = 2000, 9000
MAX_QUOTA = 1_000_000_000

KeyQuota = Annotated[
    int | None,
    Field(strict=True, ge=1, le=MAX_QUOTA, description="Over all workers and nodes; null: as is set for all."),
]


class Scope(StrEnum):
    """What a key may do. `admin` includes the other two."""

    INGEST = "ingest"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request: a key, and what it may do."""

    key_id: str
    name: str
    scopes: frozenset[Scope]
    device_glob: str | None = None
    quota_requests_per_s: int | None = None
    """Of this key; None: as is set for all."""
    quota_readings_per_s: int | None = None

    def has(self, scope: Scope) -> bool:
        """Whether the key holds the scope, or all of them."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    @property
    def own_device(self) -> str | None:
        """The device that the key is bound to, where that is exactly one."""
        return None if self.device_glob is None or is_glob(self.device_glob) else self.device_glob

    def may_use(self, device: str) -> bool:
        """Whether the key is bound to this device, or to none."""
        return self.device_glob is None or matches(self.device_glob, device)


class Holder(NamedTuple):
    """What lets somebody in for a while: a key, or a session of it, that may end meanwhile."""

    key_id: str
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """Who was let in, by what, and for how long."""

    principal: Principal
    holder: Holder
    ttl_s: float | None = None
    """Seconds until it has to be renewed; None: no need."""


class KeyRequest(BaseModel):
    """What a new key shall be."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=128, examples=["line 3 gateway"])
    scopes: list[Scope] = Field(min_length=1, examples=[["ingest"]])
    device_glob: str | None = Field(default=None, max_length=128, examples=["pump-*"])
    expires_at: AwareDatetime | None = None
    quota_requests_per_s: KeyQuota = None
    quota_readings_per_s: KeyQuota = None

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        if fault := name_fault(name):
            raise ValueError(fault)
        return name

    @field_validator("device_glob")
    @classmethod
    def _globbed(cls, glob: str | None) -> str | None:
        # Whatever is left of a glob without its wildcards has to be part of a possible name.
        if glob is not None and (fault := name_fault(glob.replace("*", "x").replace("?", "x"))):
            raise ValueError(fault)
        return glob

    @field_validator("expires_at")
    @classmethod
    def _storable(cls, expires_at: datetime | None) -> datetime | None:
        # The first and the last year of the calendar leave it in another zone.
        if expires_at is not None and not FIRST_YEAR <= expires_at.year < LAST_YEAR:
            raise ValueError(f"a key expires between the years {FIRST_YEAR} and {LAST_YEAR}")
        return expires_at


class Key(BaseModel):
    """A key as it is listed: never its secret."""

    id: str
    name: str
    scopes: list[Scope]
    device_glob: str | None
    quota_requests_per_s: int | None
    quota_readings_per_s: int | None
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None


class NewKey(Key):
    """A key on the day it is made: the only time its secret is shown."""

    key: str = Field(examples=["slk_k3v9q2hd_Zk1n…"])
