"""The child's side of a leash: become the right user, tie this process's life to its parent's, become the program.

Started by `server.leash` as `python -I -S launch.py JSON`, never imported by it. A process of its own rather than a
`preexec_fn`, because running Python between fork and exec may deadlock where there are threads (and Python 3.12
warns about it). Standard library only, and little of it: it adds about 15 ms to a start.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import TypedDict

NOBODY = 65534  # uid and gid; has a name everywhere, which initdb wants

PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CLONE_NEWUSER = 0x10000000
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522

LIBC = ctypes.CDLL(None, use_errno=True)


class Order(TypedDict):
    """What to become."""

    argv: list[str]
    folder: str  # the working directory
    way: str  # a key of WAYS
    parent: int  # process id whose death is ours
    death_signal: int


def main(order: Order) -> None:
    """Carry out the order; returns only by exception."""
    os.umask(0o077)
    WAYS[order["way"]]()
    os.chdir(order["folder"])
    leash(order["parent"], order["death_signal"])
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and what is ignored stays so across exec
    os.execv(order["argv"][0], order["argv"])  # noqa: S606 - no shell is wanted


def leash(parent: int, death_signal: int) -> None:
    """Have the kernel send the signal when the parent dies. Comes after every change of user, which would undo it.

    Linux only. The kernel means the parent's *thread*: whoever spawns must do so from a thread that lives as long
    as the server is to live. Elsewhere a server outlives a parent killed with -9; the next start ends it.
    """
    if sys.platform != "linux":
        return
    check(LIBC.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the call above, so the signal will never come
        os._exit(0)


def stay() -> None:
    """Stay whoever we are."""


def become_nobody() -> None:
    """Drop root for good. Fails later, in chdir or exec, where a folder on the way is closed to others."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def enter_namespace() -> None:
    """Be called nobody in a user namespace of our own: files of root stay ours, and no capability survives exec."""
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        os.setgroups([])
    check(LIBC.unshare(CLONE_NEWUSER), "unshare(CLONE_NEWUSER)")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} {group} 1")


def become_nobody_who_reaches() -> None:
    """Become nobody but keep the one capability to pass closed folders; for containers that forbid namespaces."""
    # The change of user then leaves capabilities alone, and access(2), by which initdb looks for postgres, heeds them.
    check(LIBC.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0), "prctl(PR_SET_SECUREBITS)")
    become_nobody()
    mask = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)  # effective, permitted, inheritable; low words first
    check(LIBC.capset(header, sets), "capset")
    check(LIBC.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0), "prctl(PR_CAP_AMBIENT)")


def check(result: int, call: str) -> None:
    """Raise what a C function complains about."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


WAYS = {
    "self": stay,
    "nobody": become_nobody,
    "namespace": enter_namespace,
    "capability": become_nobody_who_reaches,
}


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except OSError as error:
        sys.exit(f"{json.loads(sys.argv[1])['argv'][0]}: {error}")
