"""Values: what a reading, a name, a label and a time may be; and what looks bad but is only text."""

from datetime import UTC, datetime, timedelta

from tests.acceptance.catalogue.case import SECRET, Case, batch, one_bad, posted, reading

NOW = datetime.now(UTC)
NOW_S = int(NOW.timestamp())
TEXTS = {
    "SQL": "'; DROP TABLE readings; --",
    "a lookup": "${jndi:ldap://s3cretValue}",
    "a format": "%n%s%x{0}",
    "markup": "<img src=x onerror=alert(1)>",
    "a path": "../../etc/passwd",
    "an emoji": "\U0001f525 pumpe-ä",
}


def named(name: str, text: str) -> list[Case]:
    """A device, a metric and a label's name that may not be."""
    return [
        posted(f"{name} as a device", 422, "invalid", batch(device=text)),
        one_bad(f"{name} as a metric", "invalid", metric=text),
        posted(f"{name} as a metric in columns", 422, "invalid", _columns(text)),
        posted(f"{name} as a label", 422, "invalid", batch(labels={text: "1"})),
    ]


def _columns(metric: str, value: object = 1, ts: object = None) -> dict[str, object]:
    return {"device": "pump-7", "ts": [reading()["ts"] if ts is None else ts], "values": {metric: [value]}}


def timed(name: str, ts: object) -> list[Case]:
    """A time that is none of ours, as a row and in columns."""
    return [
        one_bad(name, "invalid", ts=ts),
        posted(f"{name}, in columns", 422, "invalid", _columns("temperature", ts=ts)),
    ]


def text(place: str, name: str, value: str) -> Case:
    """Something that is dangerous elsewhere, and text here."""
    changed = {
        "device": batch(device=value),
        "metric": batch(readings=[reading(metric=value)]),
        "label": batch(labels={value: value}),
    }[place]
    return posted(f"{name} as a {place}", 200, "", changed, stored=1)


VALUES = [
    posted("no readings", 200, "", batch(readings=[])),
    posted("no batches", 200, "", b"[]"),
    posted("10,001 readings", 413, "too_large", batch(10_001)),
    posted("10,001 readings in two batches", 413, "too_large", [batch(5_000), batch(5_001)]),
    one_bad("a value as text", "invalid", value="1.5"),
    one_bad("null as a value", "invalid", value=None),
    one_bad("a list as a value", "invalid", value=[1]),
    one_bad("an object as a value", "invalid", value={SECRET: 1}),
    posted("a value as text, in columns", 422, "invalid", _columns("temperature", "1.5")),
    *named("NUL", f"{SECRET}\0"),
    *named("a control character", f"{SECRET}\x07"),
    *named("a line feed", f"{SECRET}\n"),
    *named("a bidi character", f"{SECRET}\u202e"),
    *named("a zero-width space", f"{SECRET}\u200b"),
    *named("a zero-width joiner", f"{SECRET}\u200d"),
    *named("an unassigned character", f"{SECRET}\u0378"),
    *named("nothing", ""),
    *named("129 characters", "x" * 129),
    *named("200 KB", SECRET * 20_000),
    *named("a glob", f"{SECRET}*"),
    *named("a leading space", f" {SECRET}"),
    posted("NUL in a label's value", 422, "invalid", batch(labels={"site": f"{SECRET}\0"})),
    posted("a label of 257 characters", 422, "invalid", batch(labels={"site": "x" * 257})),
    posted("33 labels", 422, "invalid", batch(labels={str(number): "" for number in range(33)})),
    posted("32 labels", 200, "", batch(labels={str(number): "" for number in range(32)}), stored=1),
    posted("a label that is no text", 422, "invalid", batch(labels={"site": 5})),
    *[text(place, name, value) for name, value in TEXTS.items() for place in ("device", "metric", "label")],
    posted("CRLF and ANSI in a label", 200, "", batch(labels={"a": "\r\n\x1b[31mred {\"level\":\"fatal\"}"}), stored=1),
    *timed("a naive time", NOW.replace(tzinfo=None).isoformat()),
    *timed("a date", "2026-11-20"),
    *timed("a leap second", "2026-06-30T23:59:60Z"),
    *timed("seconds as text", "1767225600"),
    *timed("a time that is text", SECRET),
    *timed("a time that is 200 KB", SECRET * 20_000),
    *timed("the year 1", "0001-01-01T00:00:00Z"),
    *timed("the year 9999", "9999-12-31T23:59:59Z"),
    *timed("the 30th of February", "2026-02-30T00:00:00Z"),
    *timed("seconds as an integer", NOW_S),
    *timed("nanoseconds as an integer", NOW_S * 10**9),
    *timed("a fraction of a millisecond", NOW_S * 1_000 + 0.5),
    *timed("a negative time", -1),
    *timed("an hour ahead", (NOW + timedelta(hours=1)).isoformat()),
    *timed("true as a time", True),
    posted("both layouts at once", 422, "invalid", batch(ts=[1])),
    posted("neither layout", 422, "invalid", {"device": SECRET}),
    posted("columns of unlike lengths", 422, "invalid", _columns("temperature") | {"ts": []}),
]  # fmt: skip
