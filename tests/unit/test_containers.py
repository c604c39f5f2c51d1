"""The files that make containers, held against those they repeat something of."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def text(name: str) -> str:
    """A file of the top level."""
    return (ROOT / name).read_text()


def test_every_package_is_let_into_the_image() -> None:
    """.dockerignore refuses everything but what it names, so a new package must be named there too."""
    packages = tomllib.loads(text("pyproject.toml"))["tool"]["setuptools"]["packages"]["find"]["include"]
    named = {line.removeprefix("!") for line in text(".dockerignore").splitlines() if line.startswith("!")}
    assert {package.removesuffix("*") for package in packages} <= named
    assert {"pyproject.toml", "README.md", "LICENSE"} <= named  # without them there is no wheel
    assert set(re.findall(r"requirements[\w-]*\.txt", text("Dockerfile"))) <= named


def test_every_variable_of_the_compose_file_is_explained() -> None:
    """Whoever copies .env.example sees all there is to set."""
    compose = text("docker-compose.yml")
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", compose)) | set(
        re.findall(r"^\s+- ((?:SLUICE|LOCUST)_\w+)$", compose, re.M)
    )
    explained = set(re.findall(r"^#?(\w+)=", text(".env.example"), re.MULTILINE))
    assert asked, "the pattern no longer finds the variables"
    assert asked <= explained


def test_passwords_are_asked_for_and_have_no_default() -> None:
    """A password that everybody knows is none: compose must refuse to start without them."""
    compose, example = text("docker-compose.yml"), text(".env.example")
    for name in ("SLUICE_DB_PASSWORD", "SLUICE_REDIS_PASSWORD"):
        assert f"${{{name}:?" in compose
        assert f"${{{name}:-" not in compose
        assert re.search(rf"^{name}=$", example, re.MULTILINE)


def test_profiles_ask_for_their_passwords_themselves() -> None:
    """`:?` would ask everybody, whatever the profile; so the containers do, and stop without them."""
    compose = text("docker-compose.yml")
    for name, asked in (
        ("SLUICE_GRAFANA_PASSWORD", "GF_SECURITY_ADMIN_PASSWORD"),
        ("SLUICE_GRAFANA_DB_PASSWORD", "SLUICE_READER_PASSWORD"),
        ("SLUICE_PROMETHEUS_KEY", "SLUICE_KEY"),
    ):
        assert f'{asked}: "${{{name}:-}}"' in compose
        assert f': "$${{{asked}:?' in compose


def test_no_secret_is_an_argument() -> None:
    """Everybody on the machine may read the arguments of a process, and a shell keeps them in its history."""
    compose = text("docker-compose.yml")
    assert "mosquitto_passwd -b" not in compose
    assert '| mosquitto_passwd -c /tmp/users "$$MQTT_USERNAME" ' in compose
    for name in ("docs/operations.md", "server/deploy/kubernetes/10-namespace.yaml"):
        assert "--from-literal" not in text(name)
        assert "--from-env-file" in text(name)


def test_no_service_keeps_its_privileges() -> None:
    """What every service shares takes away capabilities, and no service takes it back."""
    services = yaml.safe_load(text("docker-compose.yml"))["services"]
    assert len(services) > 20
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "devices", "pid", "network_mode"} & service.keys(), name
        if "image" in service:
            assert service["user"].partition(":")[0] not in {"0", "root"}, name  # our own images say it themselves


def test_no_service_is_reached_from_beyond_this_machine_unasked() -> None:
    """Keys travel in the headers, and without TLS here."""
    ports = [
        port
        for each in yaml.safe_load(text("docker-compose.yml"))["services"].values()
        for port in each.get("ports", ())
    ]
    assert len(ports) > 4
    assert all(re.fullmatch(r"\$\{SLUICE_(\w+_)?PUBLISH:-127\.0\.0\.1:\d+\}:\d+", port) for port in ports)
