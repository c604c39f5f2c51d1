"""The settings of `sluice mqtt`, and of reading its messages (`SLUICE_MQTT_*`)."""

import socket
import ssl
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from ingest.formats.topics import TIME_FIELDS, Topics, read_templates
from ingest.mqtt.broker_settings import BrokerSettings

PORTS = {"mqtt": 1883, "mqtts": 8883}


class MqttSettings(BaseSettings):
    """Where messages come from, how they are read, where they go."""

    mqtt_url: str = Field(
        default="", description="The broker, without credentials: mqtt://host:1883, mqtts://host:8883."
    )
    mqtt_username: str | None = None
    mqtt_password: SecretStr | None = None
    mqtt_ca_file: Path | None = Field(default=None, description="mqtts: who signed the broker's certificate.")
    mqtt_cert_file: Path | None = Field(default=None, description="mqtts: our own certificate, with its chain.")
    mqtt_key_file: Path | None = Field(default=None, description="mqtts: the key to it, where it is not in that file.")
    mqtt_version: Literal["5", "3.1.1"] = "5"
    mqtt_client_id: str = Field(
        default="", max_length=128, description="Each bridge its own, and the same after a restart; sluice-<host name>."
    )
    mqtt_group: str = Field(
        default="", pattern="^[^/+#]*$", description="Bridges of one group share the messages; empty: there is but one."
    )
    mqtt_topics: str = Field(default="sensors/{device}/{metric}", description="Templates; separated by commas.")
    mqtt_time_fields: str = Field(
        default=",".join(TIME_FIELDS), description="Keys of an object; the first that is there holds its time."
    )
    mqtt_time_unit: Literal["s", "ms", "us", "ns"] = Field(default="ms", description="Of times that are numbers.")
    mqtt_time_zone: str = Field(default="", description="Of times without an offset: Europe/Berlin; else refused.")
    mqtt_receive_maximum: Annotated[int, Field(ge=1, le=65_535)] = Field(
        default=500, description="Messages in flight, not acknowledged."
    )
    mqtt_queue_bytes: Annotated[int, Field(ge=65_536)] = Field(default=16 << 20, description="Of what is held.")
    mqtt_session_s: Annotated[int, Field(ge=0, le=0xFFFF_FFFF)] = Field(
        default=86_400, description="How long the broker keeps messages for a bridge that is away."
    )
    mqtt_keepalive_s: Annotated[int, Field(ge=5, le=65_535)] = 30
    mqtt_server_url: str = Field(default="http://127.0.0.1:8000", description="Sluice, for its readings.")
    mqtt_key: SecretStr | None = Field(default=None, description="A key of Sluice with the scope ingest.")
    mqtt_metrics_port: Annotated[int, Field(ge=0, le=65_535)] | None = Field(
        default=None, description="Where `sluice mqtt` shows its metrics; none: nowhere."
    )
    mqtt_metrics_host: str = "127.0.0.1"

    @field_validator("mqtt_url")
    @classmethod
    def _is_a_broker(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in PORTS or not parts.hostname or "@" in parts.netloc or parts.path.strip("/")):
            raise ValueError("mqtt://HOST[:PORT] or mqtts://…; user and password are SLUICE_MQTT_USERNAME, …_PASSWORD")
        parts.port  # noqa: B018 - raises ValueError where it is no number
        return url

    @field_validator("mqtt_server_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
            raise ValueError("http://HOST:PORT or https://…")
        return url

    @field_validator("mqtt_time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            return name and ZoneInfo(name).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("no such time zone; a name such as Europe/Berlin, or UTC") from None

    @field_validator("mqtt_topics")
    @classmethod
    def _are_templates(cls, texts: str) -> str:
        Topics(read_templates(_split(texts))).filters()
        return texts

    @property
    def topics(self) -> Topics:
        """How messages are read. Raises TemplateError, a ValueError."""
        zone = ZoneInfo(self.mqtt_time_zone) if self.mqtt_time_zone else None
        templates = read_templates(_split(self.mqtt_topics))
        return Topics(templates, tuple(_split(self.mqtt_time_fields)), self.mqtt_time_unit, zone)

    @property
    def mqtt_subscriptions(self) -> list[str]:
        """What the broker is asked for."""
        share = f"$share/{self.mqtt_group}/" if self.mqtt_group else ""
        return [share + each for each in self.topics.filters()]

    def broker(self, max_packet_bytes: int) -> BrokerSettings:
        """What a connection needs. Raises ValueError, saying what to do, and OSError where a file cannot be read."""
        if not self.mqtt_url:
            raise ValueError("SLUICE_MQTT_URL is not set: mqtt://HOST:1883")
        parts = urlsplit(self.mqtt_url)
        return BrokerSettings(
            host=parts.hostname or "",
            port=parts.port or PORTS[parts.scheme],
            client_id=self.mqtt_client_id or f"sluice-{socket.gethostname()}",
            username=self.mqtt_username,
            password=self.mqtt_password.get_secret_value() if self.mqtt_password else None,
            tls=self._tls() if parts.scheme == "mqtts" else None,
            is_version_5=self.mqtt_version == "5",
            receive_maximum=self.mqtt_receive_maximum,
            session_s=self.mqtt_session_s,
            keepalive_s=self.mqtt_keepalive_s,
            max_packet_bytes=max_packet_bytes,
            filters=self.mqtt_subscriptions,
        )

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.mqtt_ca_file)
        if self.mqtt_cert_file is not None:
            context.load_cert_chain(self.mqtt_cert_file, self.mqtt_key_file)
        return context


def _split(text: str) -> list[str]:
    return [each for part in text.split(",") if (each := part.strip())]
