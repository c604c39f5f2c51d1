"""Which names say what, by protocol: as settings have it."""

from server.settings import Settings

DISK = [("device", "sda"), ("host", "h"), ("instance", "web-1:9100")]


def place(protocol: str, **settings: str) -> tuple[str, str]:
    """The device and the labels of a disk of a host."""
    return Settings(_env_file=None, **settings).mapping(protocol).place(DISK)  # type: ignore[arg-type]


def test_a_device_is_a_sensor_but_where_prometheus_scraped_it() -> None:
    assert place("influx") == ("sda", '{"host":"h","instance":"web-1:9100"}')
    assert place("anything else") == place("influx")
    assert place("prometheus") == ("web-1:9100", '{"device":"sda","host":"h"}')


def test_one_protocol_may_have_tags_of_its_own() -> None:
    assert place("influx", mapping_influx_device_tags=" host, device") == (
        "h",
        '{"device":"sda","instance":"web-1:9100"}',
    )
    assert place("influx", mapping_device_tags="host")[0] == "h"
    assert place("prometheus", mapping_device_tags="host")[0] == "web-1:9100", "which has its own, unless it is emptied"
    assert place("prometheus", mapping_device_tags="host", mapping_prometheus_device_tags="")[0] == "h"
