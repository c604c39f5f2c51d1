"""What the kernel says about processes (`/proc`, Linux)."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Stat:
    """One process."""

    pid: int
    name: str
    parent: int
    ticks: int
    """CPU used so far, of all its threads, and of those of its children that have ended and were waited for.

    So the sum over a tree of processes loses nothing when one of them ends.
    """


def parse_stat(text: str) -> Stat:
    """Read `/proc/PID/stat`. The name stands in parentheses and may hold both spaces and parentheses."""
    pid, _, rest = text.partition(" (")
    name, _, fields = rest.rpartition(") ")
    words = fields.split()
    # state ppid … utime stime cutime cstime are fields 3, 4, 14 to 17 of proc(5)
    return Stat(int(pid), name, int(words[1]), sum(map(int, words[11:15])))


def processes() -> dict[int, Stat]:
    """Every process there is."""
    found = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                stat = parse_stat((folder / "stat").read_text())
            except OSError:
                continue  # it has just ended
            found[stat.pid] = stat
    return found


def family(stats: Mapping[int, Stat], root: int, without: Iterable[int] = ()) -> set[int]:
    """A process and all its descendants, without some of them and theirs."""
    barred = set(without)
    children: dict[int, list[int]] = {}
    for stat in stats.values():
        children.setdefault(stat.parent, []).append(stat.pid)
    found: set[int] = set()
    waiting = [root] if root in stats else []
    while waiting:
        pid = waiting.pop()
        if pid not in barred and pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def command(pid: int) -> str:
    """Its command line, words divided by spaces; PostgreSQL writes there what a process of it is for."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def environment(pid: int) -> dict[str, str]:
    """The environment it was started with; empty where we may not look."""
    try:
        text = (PROC / str(pid) / "environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)


def parse_memory(text: str) -> dict[str, float]:
    """Read the lines `Name: n kB` of `/proc/PID/status` or `/proc/PID/smaps_rollup`, as MB."""
    sizes = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB":
            sizes[name] = int(words[0]) / 1_024
    return sizes


def memory(pid: int) -> dict[str, float]:
    """MB: `rss` now, `peak` since the last `forget_peak`, `pss` (what is shared counts in part)."""
    try:
        status = parse_memory((PROC / str(pid) / "status").read_text())
        rollup = parse_memory((PROC / str(pid) / "smaps_rollup").read_text())
    except OSError:
        return {}
    return {"rss": status.get("VmRSS", 0), "peak": status.get("VmHWM", 0), "pss": rollup.get("Pss", 0)}


def forget_peak(pid: int) -> None:
    """Let its peak begin at what it holds now."""
    try:
        (PROC / str(pid) / "clear_refs").write_text("5")
    except OSError:
        return


def parse_busy(text: str) -> int:
    """Ticks that all cores were busy, from the first line of `/proc/stat`; what a hypervisor stole is not ours."""
    user, nice, system, _idle, _wait, irq, softirq = map(int, text.split()[1:8])
    return user + nice + system + irq + softirq


def busy_ticks() -> int:
    """Ticks that all cores were busy since the start."""
    with (PROC / "stat").open() as file:
        return parse_busy(file.readline())


def listeners(port: int) -> set[int]:
    """Processes that hold a listening TCP socket of this port."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        for line in (PROC / "net" / table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{words[9]}]")
    return {pid for pid in processes() if inodes & _sockets(pid)}


def _sockets(pid: int) -> set[str]:
    try:
        return {os.readlink(entry.path) for entry in os.scandir(PROC / str(pid) / "fd")}
    except OSError:
        return set()
