"""What a webhook is told, and what its answer means: pure."""

import email.utils
import hashlib
import hmac
import re
import time
from pathlib import Path
from typing import Any

import pytest

from alerts.webhooks.courier import Outcome, Verdict, judge, sign
from alerts.webhooks.notification import fingerprint, notification


def alert(**changes: Any) -> dict[str, Any]:
    """An alert as an event shows it."""
    return {
        "id": 1,
        "rule": {"id": 3, "name": "hot"},
        "device": "pump-7",
        "metric": "temperature",
        "labels": {},
        "severity": "warning",
        "state": "firing",
        "value": 71.25,
        "threshold": 70.0,
        "started_at": "2026-11-20T10:00:00.000Z",
        "fired_at": "2026-11-20T10:00:05.000Z",
        "resolved_at": None,
        "acknowledged_at": None,
        "acknowledged_by": None,
    } | changes


def test_a_fingerprint_is_that_of_prometheus() -> None:
    # model.LabelSet of prometheus/common: FNV-1a over name \\xff value \\xff, sorted by name.
    assert fingerprint({}) == "cbf29ce484222325"
    digest = 0xCBF29CE484222325
    for byte in b"a\xff1\xffb\xff\xc3\xa9\xff":
        digest = ((digest ^ byte) * 0x100000001B3) % 2**64
    assert fingerprint({"b": "é", "a": "1"}) == f"{digest:016x}"


def test_an_alert_keeps_its_identity_while_it_escalates_and_shares_it_with_no_other() -> None:
    def identity(**changes: Any) -> tuple[str, str]:
        document = notification(alert(**changes), {}, "")
        return document["groupKey"], document["alerts"][0]["fingerprint"]

    assert identity(severity="critical", state="resolved", value=1.0) == identity()
    others = [
        identity(device="pump-8"),
        identity(metric="pressure"),
        identity(labels={"site": "A"}),
        identity(labels={"site": 'A"'}),
        identity(rule={"id": 4, "name": "hot"}),
    ]
    assert len({identity(), *others}) == 6


def test_labels_of_a_series_do_not_hide_ours() -> None:
    document = notification(alert(labels={"site": "A", "severity": "x", "device": "y"}), {}, "")
    assert document["commonLabels"] == {
        "alertname": "hot", "device": "pump-7", "metric": "temperature", "severity": "warning",
        "site": "A", "exported_severity": "x", "exported_device": "y",
    }  # fmt: skip


def test_annotations_are_text_and_the_rules_own_win() -> None:
    assert notification(alert(), {}, "")["commonAnnotations"] == {"value": "71.25", "threshold": "70"}
    assert notification(alert(value=0.1), {"value": "mine"}, "")["commonAnnotations"]["value"] == "mine"


def test_a_signature_is_over_the_time_and_the_body() -> None:
    expected = hmac.new(b"key", b'1795428000.{"a":1}', hashlib.sha256).hexdigest()
    assert sign(b"key", 1_795_428_000, b'{"a":1}') == f"sha256={expected}"
    assert sign(b"key", 1_795_428_001, b'{"a":1}') != f"sha256={expected}"


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, "delivered"), (202, "delivered"), (204, "delivered"), (299, "delivered"),
        (408, "retry"), (425, "retry"), (429, "retry"), (500, "retry"), (503, "retry"), (599, "retry"),
        (300, "dead"), (302, "dead"), (400, "dead"), (401, "dead"), (404, "dead"), (413, "dead"), (422, "dead"),
    ],
)  # fmt: skip
def test_what_a_status_means(status: int, verdict: str) -> None:
    assert judge(status, None).verdict is Verdict(verdict)


def test_retry_after_is_seconds_or_a_date() -> None:
    def asked_s(text: str | None) -> float:
        return judge(503, text).retry_after_s

    assert [asked_s(text) for text in (None, "0", "17", "3600", "3601", "9" * 40, "-1", "1.5", "soon", "")] == [
        0, 0, 17, 3_600, 3_600, 3_600, 0, 0, 0, 0,
    ]  # fmt: skip
    assert 58 <= asked_s(email.utils.formatdate(time.time() + 60, usegmt=True)) <= 60
    assert asked_s(email.utils.formatdate(time.time() - 60, usegmt=True)) == 0
    assert asked_s("Fri, 31 Dec 9999 23:59:59 GMT") == 3_600
    assert judge(404, "17") == Outcome(Verdict.DEAD, "HTTP 404")


def test_the_receiver_in_the_documentation_believes_us_and_nobody_else() -> None:
    text = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    scope: dict[str, Any] = {}
    exec(code, scope)  # noqa: S102 - the documentation is ours
    now = int(time.time())

    def is_genuine(body: bytes, *, stamp: int = now, key: bytes = b"key") -> bool:
        headers = {"X-Sluice-Timestamp": str(stamp), "X-Sluice-Signature": sign(key, stamp, b"body")}
        genuine: bool = scope["is_genuine"]("key", headers, body)
        return genuine

    assert is_genuine(b"body")
    assert not is_genuine(b"other")
    assert not is_genuine(b"body", stamp=now - 301)
    assert not is_genuine(b"body", key=b"other")
