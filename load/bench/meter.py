"""CPU by part: what a server costs, what its PostgreSQL, what its Redis."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from load.bench import proc

_POSTGRES_ROLE = re.compile(
    r"^postgres: (?:\S+: )?(checkpointer|background writer|walwriter|io worker|autovacuum|logical replication)"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU seconds so far."""

    parts: dict[str, float]
    roles: dict[str, float]
    """PostgreSQL's share by what the process is for; those that have ended are with `postmaster`."""
    busy_s: float
    """Of the whole machine."""

    def since(self, earlier: "Reading") -> "Reading":
        """What was used between the two."""
        roles = {role: cpu - earlier.roles.get(role, 0) for role, cpu in self.roles.items()}
        parts = {part: cpu - earlier.parts.get(part, 0) for part, cpu in self.parts.items()}
        return Reading(parts, roles, self.busy_s - earlier.busy_s)


@dataclass(frozen=True, slots=True)
class Meter:
    """Knows the root process of each part; a part's family does not contain another part's."""

    roots: Mapping[str, int]

    def read(self) -> Reading:
        """Take the reading."""
        stats = proc.processes()
        parts: dict[str, float] = {}
        roles: dict[str, float] = {}
        for part, root in self.roots.items():
            members = proc.family(stats, root, set(self.roots.values()) - {root})
            parts[part] = sum(stats[pid].ticks for pid in members) / proc.TICKS_PER_S
            if part == "postgres":
                for pid in members:
                    name = role(pid, root)
                    roles[name] = roles.get(name, 0) + stats[pid].ticks / proc.TICKS_PER_S
        return Reading(parts, roles, proc.busy_ticks() / proc.TICKS_PER_S)


def role(pid: int, postmaster: int) -> str:
    """What a process of PostgreSQL is for."""
    if pid == postmaster:
        return "postmaster"
    found = _POSTGRES_ROLE.match(proc.command(pid))
    return found[1] if found else "backend"
