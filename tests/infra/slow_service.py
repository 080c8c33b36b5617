"""A service whose requests take as long as they are told, as a process: what `test_stopping` stops."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

from fastapi import Request, Response

from infra import http, log, stopping
from infra.metrics import Metrics
from infra.private import Private, serve


def main(listen: str, bound: float, how: str) -> None:
    app = http.application("slow")

    @app.post("/wait/{seconds}")
    async def wait(request: Request, seconds: float) -> Response:
        print("begun", flush=True)
        await http.read_body(request, 1 << 20)
        await asyncio.sleep(seconds)
        return Response(b"done")

    stopping.STOP_SECONDS = bound
    serve(app, listen, Private(None, Metrics(), lambda: ""))
    if how != "ends":
        # Something that does not end, as a thread that waits for a database may not.
        threading.Thread(target=never_ends, args=(how,)).start()
    print("ended", os.getpid(), flush=True)


def never_ends(how: str) -> None:
    if how == "hangs-without-a-thread-to-spare":
        # No memory for a stack, nor one that is left from a thread before.
        threading.stack_size(1 << 26)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20), used + (1 << 20)))
    with log._writing if how == "hangs-in-the-log" else nullcontext():
        threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3])
