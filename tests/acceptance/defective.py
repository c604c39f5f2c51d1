"""A worker with a defect: decoding breaks for readings of one device. Run as `python -m tests.acceptance.defective`."""

import asyncio
import socket
import sys

import uvicorn

from ingest.formats import native
from ingest.formats.times import Bounds
from schemas.columns import Columns
from server.settings import Settings
from server.worker import configure

DEVICE = "defect"


def main() -> None:
    """Serve on the socket whose descriptor is the first argument."""
    decode = native.decode

    def broken(body: bytes, bounds: Bounds, *, partial: bool = False) -> Columns:
        columns = decode(body, bounds, partial=partial)
        if any(key.device == DEVICE for key in columns.series):
            raise ZeroDivisionError("injected by a test")
        return columns

    native.decode = broken
    server = uvicorn.Server(configure(Settings()))
    asyncio.run(server.serve(sockets=[socket.socket(fileno=int(sys.argv[1]))]))


if __name__ == "__main__":
    main()
