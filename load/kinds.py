"""What the simulated devices are: their signals in plausible units, their weak spot, and the rule that watches it."""

from dataclasses import dataclass, field

from schemas.conditions import Level, Severity, Threshold
from schemas.rules import RuleRequest


@dataclass(frozen=True, slots=True)
class Signal:
    """A number that a sensor reports. All amplitudes are in the signal's own unit."""

    metric: str
    base: float
    """Around which it moves."""
    low: float
    high: float
    """The sensor's range: it never reports anything beyond."""
    spread: float = 0
    """How far one device's base may lie from another's."""
    day: float = 0
    """Rises and falls so far with the time of day, highest at 15:00 UTC."""
    drift: float = 0
    """Wanders so far within hours."""
    noise: float = 0
    """Standard deviation from one reading to the next."""
    idle: float = 0
    """Is added while the device's switch is off."""
    fault: float = 0
    """Is added at the height of a fault."""
    digits: int = 2
    """Decimals the sensor resolves."""


@dataclass(frozen=True, slots=True)
class Switch:
    """A boolean: on for a part (`duty`) of every `period_s`, and all through a fault."""

    metric: str
    period_s: float
    duty: float


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of device."""

    name: str
    signals: tuple[Signal, ...]
    rule: RuleRequest
    """Fires in a fault, and resolves after it."""
    switch: Switch | None = None
    labels: dict[str, str] = field(default_factory=dict)
    gateway: bool = False
    """Whether several of them send through one gateway, as an array."""


def _rule(name: str, device: str, metric: str, *levels: Level, for_s: float = 0) -> RuleRequest:
    condition = Threshold(type="threshold", levels=levels)
    return RuleRequest(name=name, device=device, metric=metric, condition=condition, for_s=for_s)


def _above(severity: Severity, limit: float, clear: float) -> Level:
    return Level(severity=severity, above=limit, clear=clear)


PUMP = Kind(
    "pump",
    (
        Signal("temperature", 52, -20, 120, spread=3, day=3, drift=1.5, noise=0.25, idle=-9, fault=36),  # °C
        Signal("vibration_x", 0.14, 0, 4, spread=0.03, drift=0.02, noise=0.012, idle=-0.13, fault=0.6, digits=4),  # g
        Signal("vibration_y", 0.11, 0, 4, spread=0.03, drift=0.02, noise=0.010, idle=-0.10, fault=0.5, digits=4),  # g
        Signal("pressure", 4.2, 0, 10, spread=0.3, drift=0.1, noise=0.03, idle=-3.1, fault=-0.8, digits=3),  # bar
    ),
    _rule(
        "Pump overheating",
        "pump-*",
        "temperature",
        _above(Severity.WARNING, 70, 65),
        _above(Severity.CRITICAL, 80, 75),
    ),
    Switch("running", period_s=420, duty=0.9),
    {"site": "A"},
)
ROOM = Kind(
    "room",
    (
        Signal("temperature", 21.5, 5, 45, spread=1, day=1.8, drift=0.5, noise=0.04, fault=1.5),  # °C
        Signal("humidity", 45, 5, 95, spread=5, day=-4, drift=3, noise=0.3, fault=6, digits=1),  # % RH
        Signal("co2", 620, 400, 5_000, spread=80, day=120, drift=40, noise=8, fault=1_000, digits=0),  # ppm
    ),
    _rule("Stale air", "room-*", "co2", _above(Severity.INFO, 1_000, 950), _above(Severity.WARNING, 1_400, 1_200)),
    gateway=True,
)
BATTERY = Kind(
    "battery",
    (
        Signal("voltage", 51.2, 40, 58.4, spread=0.2, day=0.5, drift=0.2, noise=0.02, fault=-6),  # V
        Signal("soc", 71, 0, 100, spread=8, day=14, drift=2, noise=0.05, fault=-15, digits=1),  # % of charge
        Signal("temperature", 27, -20, 80, spread=1, day=3, drift=1, noise=0.08, fault=11),  # °C
    ),
    _rule(
        "Battery sagging",
        "battery-*",
        "voltage",
        Level(severity=Severity.WARNING, below=48.5, clear=49),
        Level(severity=Severity.CRITICAL, below=46.5, clear=47),
    ),
    gateway=True,
)
COLDSTORE = Kind(
    "coldstore",
    (
        Signal("temperature", -18.5, -40, 30, spread=0.5, day=0.4, drift=0.6, noise=0.08, fault=11),  # °C
        Signal("humidity", 78, 5, 100, spread=3, drift=3, noise=0.4, fault=14, digits=1),  # % RH
    ),
    _rule("Cold store warm", "coldstore-*", "temperature", _above(Severity.CRITICAL, -12, -14), for_s=3),
    Switch("door_open", period_s=900, duty=0.02),
)

KINDS = (PUMP, ROOM, BATTERY, COLDSTORE)
