"""Starts services as processes of their own, quickly: a process that has loaded every service and forks one for each
line that it is told. What it forks runs the service's `run`, as the command line does, in a namespace of its own if it
is told one, and with the fault that the line says, which no setting of a service can. It also runs single commands so.

It ends, and all that it forked with it, when its standard input does.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

SERVICES = {
    "intake": "intake.door.serve",
    "queue-ingress": "infra.queue.ingress",
    "queue-egress": "infra.queue.egress",
    "tally": "tally.sequencer.service",
    "custodian": "vault.custodian.serve",
}
SHORTER = {
    "audit.log.sources.TIMEOUT": 2.0,
    "infra.connections.HEAD_SECONDS": 3.0,
    "infra.connections.BODY_SECONDS": 3.0,
    "infra.queue.egress.LEASE_SECONDS": 1.5,
    "infra.http.SHUTDOWN_SECONDS": 1,
    "intake.door.mover.AGAIN_MS": 1_500,
    "intake.door.mover.AGAIN_WAITS": 1,
    "intake.door.mover.TIMEOUT": 2.0,
    "intake.door.watch.RETRY_SECONDS": 0.3,
    "tally.sequencer.custodian.TIMEOUT": 2.0,
    "tally.sequencer.egress.TIMEOUT": 2.0,
    "tally.sequencer.courier.LONGEST_PAUSE": 1.0,
    "tally.sequencer.push.LOOK_AGAIN_SECONDS": 4.0,
    "tally.sequencer.term.RETRY_SECONDS": 0.3,
    "vault.custodian.examining.BETWEEN_SECONDS": 1.0,
    "vault.custodian.examining.PART": 0.5,
}
"""How long services wait here for what is not there: seconds, where it would be half a minute. The order of what they
do is the same. With `--patient` they wait as long as in production.
"""
DEATH_SIGNAL, NEW_NETWORK = 1, 0x40000000
"""PR_SET_PDEATHSIG and CLONE_NEWNET."""


def main() -> None:
    for module in SERVICES.values():
        import_module(module)
    if "--patient" not in sys.argv:
        shorten()
    # Nobody waits for those that it forks.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            become(order)
        print(pid, flush=True)


def shorten() -> None:
    import httpx

    for name, seconds in SHORTER.items():
        place, constant = name.rsplit(".", 1)
        module = import_module(place)
        kind = httpx.Timeout if constant == "TIMEOUT" else type(getattr(module, constant))
        setattr(module, constant, kind(seconds))


def become(order: dict[str, Any]) -> None:
    """This process is the service from here on."""
    code = 1
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(DEATH_SIGNAL, signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number in (1, 2):
            os.dup2(log, number)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        if order.get("network"):
            namespace = os.open(order["network"], os.O_RDONLY)
            if libc.setns(namespace, NEW_NETWORK):
                raise OSError(ctypes.get_errno(), "setns")
        plant(order)
        if "command" in order:
            sys.argv = ["psephos", *order["command"]]
            import_module("infra.commands").main()
        else:
            import_module(SERVICES[order["service"]]).run(Path(order["config"]))
        code = 0
    except SystemExit:
        pass
    except BaseException as error:
        print(
            json.dumps({"event": "broke", "kind": type(error).__name__, "said": str(error)}),
            file=sys.stderr,
            flush=True,
        )
        traceback.print_exc()
    finally:
        os._exit(code)


def plant(order: dict[str, Any]) -> None:
    """The faults of an order. `at`: a failpoint's name, `fail`: at which passings it fails as a database does that is
    restarting, `kill`: at which this process is killed, `stop`: at which it hangs; `tells`: failpoints that it says it
    has come to; `ahead` and `rate`: of the clock; `unsafe`: nothing is written through to disk or checked for that;
    `lies`: as `lying` says.
    """
    from infra import failpoints

    if "at" in order or "tells" in order:
        failpoints.set(hook(order))
    if "ahead" in order or "rate" in order:
        shift_clock(order.get("ahead", 0.0), order.get("rate", 1.0))
    if order.get("unsafe"):
        write_through_nothing()
    if "lies" in order:
        from tests.faults import lying

        lying.LIES[order["lies"]]()


def hook(order: dict[str, Any]) -> Callable[[str], None]:
    from sqlalchemy.exc import OperationalError

    passed = 0

    def strike(at: str) -> None:
        nonlocal passed
        if at in order.get("tells", ()):
            print(json.dumps({"event": "came-to", "at": at}), file=sys.stderr, flush=True)
        if at != order.get("at"):
            return
        passed += 1
        for what, number in (("kill", signal.SIGKILL), ("stop", signal.SIGSTOP)):
            if passed in order.get(what, ()):
                os.kill(os.getpid(), number)
        if passed in order.get("fail", ()):
            raise OperationalError("statement", {}, Exception("the server closed the connection"))

    return strike


def shift_clock(ahead: float, rate: float) -> None:
    true, began = time.time, time.time()

    def shifted() -> float:
        return began + ahead + rate * (true() - began)

    # Both names: some modules have taken the function into their own.
    for module in list(sys.modules.values()):
        if getattr(module, "time", None) is true:
            module.time = shifted  # type: ignore[attr-defined]
    time.time = shifted


def write_through_nothing() -> None:
    from vault.custodian import sql_ahead, sql_store
    from vault.custodian.disk import RealDisk

    RealDisk.sync = RealDisk.sync_folder = lambda self, path: None  # type: ignore[method-assign]
    sql_store.check_settings = sql_ahead.check_settings = lambda *_, **__: None


if __name__ == "__main__":
    main()
