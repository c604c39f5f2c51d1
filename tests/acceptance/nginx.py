"""A real nginx with the project's own files for it, on ports and in folders of a test."""

import asyncio
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

FILES = Path(__file__).parents[2] / "server" / "deploy" / "nginx"
INSTANCES, NODES = "instances.conf", "nodes.conf"
SILENCE_S = 10
"""Of an instance that was sent readings, before another one is."""
TRIED = "X-Upstreams"
"""A header of every answer, in tests only: all who were tried."""
BINARY = shutil.which("nginx") or next((str(at) for at in (Path("/usr/sbin/nginx"),) if at.exists()), None)
HOST = "127.0.0.1"
PATIENCE_S = 30
MAIN = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log info;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    access_log off;
    include {folder}/behind.conf;
    include {folder}/sluice.conf;
}}
"""


@dataclass(frozen=True)
class Nginx:
    """One that runs."""

    tls_port: int
    plain_port: int
    folder: Path
    trust: ssl.SSLContext
    tls: bool = True

    @property
    def url(self) -> str:
        """Where devices come."""
        return f"http{'s' * self.tls}://{HOST}:{self.tls_port}"

    @property
    def logs(self) -> str:
        """All that it wrote down."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))


@dataclass(frozen=True)
class Setup:
    """What tests choose."""

    behind: str = INSTANCES
    """The file that says who stands behind."""
    tls: bool = True
    silence_s: int = SILENCE_S


def prepare(folder: Path, upstreams: Sequence[str], tls_port: int, plain_port: int, setup: Setup) -> Path:
    """Write the configuration with these addresses in place of its own, and a certificate; returns the main file."""
    _certify(folder)
    servers = "".join(f"server {one} \\1;\n" for one in upstreams)
    behind, found = re.subn(r"(?:    server \d+[\d.]+:\d+ (.*);\n)+", servers, (FILES / setup.behind).read_text())
    assert found == 1
    (folder / "behind.conf").write_text(behind)
    hsts = r"add_header Strict.*always;\n\n"
    text = (FILES / "sluice.conf").read_text()
    for pattern, wanted, count in (
        (r"listen \[::\]:(443|80)[^;]*;", "", 2),
        (r"listen 443 ssl http2", f"listen {HOST}:{tls_port}" + " ssl http2" * setup.tls, 1),
        (hsts, f"\\g<0>add_header {TRIED} $upstream_addr always;\n", 1),
        (rf"proxy_read_timeout  {SILENCE_S}s;", f"proxy_read_timeout {setup.silence_s}s;", 3),
        (r"listen 80;", f"listen {HOST}:{plain_port};", 1),
        (r"/etc/ssl/sluice/", f"{folder}/", 2),
        (r"/var/log/nginx/", f"{folder}/", 2),
        (r"8m;", "64k;", 1),  # so that little is too much
    ):
        text, found = re.subn(pattern, wanted, text)
        assert found == count, f"{pattern} is there {found} times"
    (folder / "sluice.conf").write_text(text)
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder))
    folder.chmod(0o755)  # its workers are not root
    return folder / "nginx.conf"


def check(main: Path) -> str:
    """`nginx -t`; returns what it said."""
    assert BINARY
    command = [BINARY, "-t", "-c", str(main), "-p", str(main.parent), "-e", str(main.parent / "error.log")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


@asynccontextmanager
async def nginx(folder: Path, upstreams: Sequence[str], setup: Setup = Setup()) -> AsyncIterator[Nginx]:
    """Run it before these addresses."""
    assert BINARY
    tls_port, plain_port = free_port(), free_port()
    main = prepare(folder, upstreams, tls_port, plain_port, setup)
    check(main)
    command = (BINARY, "-c", str(main), "-p", str(folder), "-e", str(folder / "error.log"))
    process = await asyncio.create_subprocess_exec(*command)
    try:
        await _listens(tls_port, process)
        trust = ssl.create_default_context(cafile=folder / "fullchain.pem")
        trust.check_hostname = False
        yield Nginx(tls_port, plain_port, folder, trust, setup.tls)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _listens(port: int, process: asyncio.subprocess.Process) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        assert process.returncode is None, "nginx ended"
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server((HOST, 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _certify(folder: Path) -> None:
    """A certificate that signs itself."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=sluice.example.com", "-addext", f"subjectAltName=IP:{HOST}"]
    command += ["-keyout", "privkey.pem", "-out", "fullchain.pem"]
    subprocess.run(command, cwd=folder, capture_output=True, timeout=PATIENCE_S, check=True)
