"""What a webhook is told: Alertmanager's JSON, version 4, with one alert. Pure."""

import json
from collections.abc import Mapping
from typing import Any

NEVER = "0001-01-01T00:00:00Z"  # Alertmanager's end of an alert that has none
_FNV_OFFSET, _FNV_PRIME, _U64 = 0xCBF2_9CE4_8422_2325, 0x100_0000_01B3, (1 << 64) - 1


def notification(alert: Mapping[str, Any], annotations: Mapping[str, str], external_url: str) -> dict[str, Any]:
    """The document for an alert as an event shows it (contract §7), and the annotations of its rule.

    What identifies the alert (`groupKey`, `fingerprint`) is made without its severity, which changes while it fires.
    """
    identity = _identity(alert)
    labels = identity | {"severity": alert["severity"]}
    shown = {"value": _number(alert["value"]), "threshold": _number(alert["threshold"])} | dict(annotations)
    resolved = alert["state"] == "resolved"
    status = "resolved" if resolved else "firing"
    rule_id = alert["rule"]["id"]
    matchers = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in sorted(identity.items()))
    return {
        "version": "4",
        "groupKey": f'{{rule="{rule_id}"}}:{{{matchers}}}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "sluice",
        "groupLabels": identity,
        "commonLabels": labels,
        "commonAnnotations": shown,
        "externalURL": external_url,
        "alerts": [
            {
                "status": status,
                "labels": labels,
                "annotations": shown,
                "startsAt": alert["fired_at"],
                "endsAt": alert["resolved_at"] if resolved else NEVER,
                "generatorURL": f"{external_url}/v1/rules/{rule_id}",
                "fingerprint": fingerprint(identity | {"rule": str(rule_id)}),
            }
        ],
    }


def fingerprint(labels: Mapping[str, str]) -> str:
    """Prometheus' fingerprint of a label set: 64 bits of FNV-1a over its sorted pairs, in hexadecimal digits."""
    digest = _FNV_OFFSET
    for name, value in sorted(labels.items()):
        for byte in f"{name}\0{value}\0".encode().replace(b"\0", b"\xff"):
            digest = (digest ^ byte) * _FNV_PRIME & _U64
    return f"{digest:016x}"


def _identity(alert: Mapping[str, Any]) -> dict[str, str]:
    """The labels that stay the same. A label of the series that is named as one of ours is shown as `exported_…`."""
    ours = {"alertname": alert["rule"]["name"], "device": alert["device"], "metric": alert["metric"]}
    reserved = {*ours, "severity"}
    series = {f"exported_{name}" if name in reserved else name: value for name, value in alert["labels"].items()}
    return series | ours


def _number(value: float) -> str:
    return repr(value).removesuffix(".0")
