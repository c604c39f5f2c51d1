"""What came of a run: figures, losses, checks and courses, ready to be shown or kept."""

from dataclasses import asdict, dataclass, field
from typing import Any

from load.findings import Findings
from load.scenarios.catalogue import Scenario
from load.scenarios.courses import Climb, Course
from load.scenarios.limits import Check, Figures, Losses, checks
from load.scenarios.recorder import Recorder, quantile_ms
from load.scenarios.told import Told

WARM_UP_SHARE, WARM_UP_S = 0.05, 2.0
"""Of a run so much is not judged, at least so long: users begin, connections are made."""
SHORT_SHARE = 0.95
"""Below this the intended and the achieved rate differ."""
BUSY_CPU = 85.0
"""Per cent of a core: a process that makes load and needs more is late itself."""

COURSES = {
    "readings": ("intended", "readings"),
    "errors": ("errors",),
    "users": ("users", "sockets"),
    "cpu": ("cpu",),
}
LATENCIES = ("write", "alert", "crowd", "resume", "connect")


@dataclass(slots=True)
class Books:
    """What the processes of a run have handed in when it was over."""

    findings: Findings = field(default_factory=Findings)
    told: Told = field(default_factory=Told)
    unknown: int = 0
    missed: int = 0
    repeated: int = 0
    let_in: int = 0
    troubles: list[str] = field(default_factory=list)
    processes: int = 0
    rolled: bool = False
    """Readings were looked up as the run went: who sent the others of the same time was not judged."""


@dataclass(slots=True)
class Outcome:
    """A run that is over."""

    scenario: Scenario
    url: str
    recorder: Recorder
    books: Books
    loaded_s: float
    """How long it was under load."""
    course: Course | None = None
    ready_again_s: float | None = None
    """After an outage: when the target was ready again, since the run began."""
    errors: dict[str, int] = field(default_factory=dict)
    """What was answered instead of success, and how often."""

    @property
    def slots(self) -> int:
        """Of the recorder, under load."""
        return max(1, int(self.loaded_s / self.recorder.width_s))

    @property
    def first(self) -> int:
        """The first slot that is judged."""
        warm_up = max(WARM_UP_S, WARM_UP_SHARE * self.loaded_s)
        return min(self.slots - 1, round(warm_up / self.recorder.width_s))

    def _quantile(self, name: str, share: float = 0.99) -> float:
        return quantile_ms(self.recorder.histogram(name, self.first), share)

    @property
    def figures(self) -> Figures:
        """What is judged."""
        recorder = self.recorder
        requests = recorder.total("requests")
        intended = recorder.total("intended", self.first, self.slots)
        stored = recorder.total("readings", self.first, self.slots)
        crowd = recorder.histogram("crowd", self.first)
        alerts = recorder.histogram("alert", self.first) + crowd
        return Figures(
            self._quantile("write"),
            recorder.total("errors") / requests if requests else float("nan"),
            quantile_ms(alerts, 0.99),
            stored / intended if intended else float("nan"),
            self._quantile("resume"),
            self._back_s(),
        )

    def _back_s(self) -> float:
        """From being ready again to the first slot in which something was stored."""
        if self.ready_again_s is None:
            return float("nan")
        ready = int(self.ready_again_s / self.recorder.width_s)
        slots = [slot for (name, slot), amount in self.recorder.counts.items() if name == "readings" and amount > 0]
        first = min((slot for slot in slots if slot >= ready), default=None)
        return float("nan") if first is None else max(0.0, (first + 1) * self.recorder.width_s - self.ready_again_s)

    @property
    def losses(self) -> Losses:
        """What may not be."""
        books, found = self.books, self.books.findings
        invented = None if books.rolled else max(0, found.extra - books.unknown)
        return Losses(
            found.missing + found.different,
            found.doubled,
            invented,
            books.told.missing,
            books.told.doubled,
            books.missed,
            books.repeated,
            books.let_in,
            len(books.troubles),
        )

    @property
    def checks(self) -> list[Check]:
        """Everything that it was held to."""
        return checks(self.scenario.limits, self.figures, self.losses)

    @property
    def passed(self) -> bool:
        """Whether all of that held."""
        return all(check.passed for check in self.checks)

    @property
    def remarks(self) -> list[str]:
        """What whoever reads the figures has to know."""
        found, cpu = [], max(self.recorder.course("cpu", self.slots), default=0.0)
        share = self.figures.achieved_share
        if share < SHORT_SHARE:
            why = "the target answers late" if cpu < BUSY_CPU else f"this generator is short of CPU ({cpu:.0f} %)"
            found.append(f"only {share:.0%} of the intended readings were achieved: {why}")
        if cpu >= BUSY_CPU:
            found.append(
                f"a process that makes load used {cpu:.0f} % of its core: what it says of latency includes itself; "
                "use more of them (--processes, or --master and --worker)"
            )
        if self.books.rolled:
            found.append("not judged: readings that nobody sent, since this run looked its own up as it went")
        return [*found, *self.knee]

    @property
    def knee(self) -> list[str]:
        """Where the target bends, in a sentence; nothing where nobody looked for it."""
        if not isinstance(self.course, Climb):
            return []
        best, last = self.course.knee, self.course.steps[-1] if self.course.steps else None
        if best is None or last is None:
            return ["knee: below the first step; try --scale 0.2"]
        text = f"knee: {best.seen.achieved:,.0f} readings/s (p99 {best.seen.p99_ms:,.0f} ms, {best.users} users)"
        if last.held:
            return [f"{text} held to the end; the knee is higher: --minutes or --scale more"]
        beyond = f"beyond it, at {last.seen.intended:,.0f} intended, {last.seen.achieved:,.0f} were stored"
        text += f"; {beyond}, p99 {last.seen.p99_ms:,.0f} ms"
        return [text + (": the knee of this generator, not of the target" if last.seen.cpu >= BUSY_CPU else "")]

    def document(self) -> dict[str, Any]:
        """For JSON: everything, in plain types."""
        steps = self.course.steps if isinstance(self.course, Climb) else []
        books = self.books
        return {
            "scenario": self.scenario.name,
            "url": self.url,
            "passed": self.passed,
            "began": round(self.recorder.began, 3),
            "seconds": round(self.loaded_s, 1),
            "processes": books.processes,
            "checks": [check.document() for check in self.checks],
            "remarks": self.remarks,
            "totals": {
                name: round(self.recorder.total(name)) for name in ("requests", "errors", "readings", "intended")
            },
            "latency_ms": {
                name: {f"p{share * 100:g}": self._quantile(name, share) for share in (0.5, 0.95, 0.99)}
                for name in LATENCIES
                if self.recorder.histogram(name, self.first)
            },
            "readings": {"acknowledged": books.findings.acknowledged, "stored": books.findings.stored},
            "alerts": {"expected": books.told.expected},
            "examples": [*books.troubles, *books.findings.examples, *books.told.examples],
            "errors": self.errors,
            "steps": [asdict(step) for step in steps],
            "courses": {
                "slot_s": self.recorder.width_s,
                **{name: self.recorder.course(name, self.slots) for names in COURSES.values() for name in names},
            },
        }
