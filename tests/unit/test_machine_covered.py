"""The pure machine's own tests take every branch of it: none of its lines is there unseen."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MACHINE = ("alerts/machine.py", "alerts/flapping.py", "alerts/rate.py")
TESTS = ("test_machine.py", "test_prometheus.py", "test_flapping.py", "test_rate.py")


def test_every_branch_of_the_machine_is_taken(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    # In a process of its own: here the modules are imported already, and pytest's own tracing may be at work.
    measured = ("coverage", "run", "--branch", f"--data-file={tmp_path / 'data'}", f"--include={','.join(MACHINE)}")
    tests = [str(ROOT / "tests" / "unit" / name) for name in TESTS]
    # Without conftest.py, which imports the whole server, and without plugins that would run tests elsewhere.
    _run(*measured, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", "-p", "no:xdist", *tests)
    _run("coverage", "json", f"--data-file={tmp_path / 'data'}", "-o", str(report))
    found = json.loads(report.read_text())["files"]
    missing = {
        name: found[name]["missing_lines"] + found[name]["missing_branches"] if name in found else "never imported"
        for name in MACHINE
    }
    assert not any(missing.values()), missing
    assert sum(each["summary"]["num_branches"] for each in found.values()) > 20, "no branches were measured"


def _run(*words: str) -> None:
    done = subprocess.run((sys.executable, "-m", *words), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
