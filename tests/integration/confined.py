"""Becomes a program under the system calls, and the memory protection, that a systemd unit leaves it.

`python -m tests.integration.confined UNIT PROGRAM …`, for tests where no systemd runs: libseccomp, as systemd does it.
"""

import ctypes
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

ALLOW, ERRNO = 0x7FFF0000, 0x00050000  # SCMP_ACT_ALLOW, SCMP_ACT_ERRNO
PR_SET_NO_NEW_PRIVS, PR_SET_MDWE = 38, 65


def members(name: str) -> set[str]:
    """The system calls of a set of systemd's, sets in it included."""
    if not name.startswith("@"):
        return {name}
    done = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
    words = [line.strip() for line in done.stdout.splitlines()[1:]]
    return {call for word in words if word and not word.startswith("#") for call in members(word)}


def allowed(unit: str) -> set[str]:
    """What its lines `SystemCallFilter=` leave, in their order; systemd adds @default."""
    calls = members("@default")
    for line in re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        named = {call for word in line.removeprefix("~").split() for call in members(word)}
        calls = calls - named if line.startswith("~") else calls | named
    return calls


def confine(unit: str) -> None:
    """Confine this process, and all that it becomes."""
    libc, seccomp = ctypes.CDLL(None, use_errno=True), ctypes.CDLL("libseccomp.so.2", use_errno=True)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    if "MemoryDenyWriteExecute=yes" in unit and libc.prctl(PR_SET_MDWE, 1, 0, 0, 0) != 0:
        assert ctypes.get_errno() == errno.EINVAL, "refused, and not for the kernel being older than 6.3"
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ERRNO | errno.EPERM))
    for call in allowed(unit):
        number = seccomp.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:  # else this processor has none of that name
            assert seccomp.seccomp_rule_add_array(context, ALLOW, number, 0, None) == 0, call
    assert seccomp.seccomp_load(context) == 0


if __name__ == "__main__":
    confine(Path(sys.argv[1]).read_text())
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - that is what it is for
