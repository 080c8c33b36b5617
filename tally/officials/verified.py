"""Who acts on what a log adds up to, a trustee who decrypts or an official who certifies, verifies the whole of it
first.

Nothing a custodian or tally says is believed here: every signature line, every proof of every ballot, every sum and
share is computed again, on all cores, exactly as an auditor does it with `psephos verify`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import nullcontext

from audit.commands import executor, told
from audit.log.reader import ReadError
from audit.verify import NotVerified, verify_record
from audit.verify_report import Report
from infra.desk import Desk, GaveUp


def verified(desk: Desk, far_enough: Callable[[Report], bool], workers: Executor | None = None) -> Report:
    """What the log holds, all of it verified, once a custodian shows it as far as is needed; by `workers`, or processes
    of its own.

    NotVerified if the log breaks a rule, or if none of the custodians shows a log that leads to its head; GaveUp when
    patience ends.
    """
    end = desk.monotonic() + desk.patience
    while True:
        report = _from_any(desk, workers)
        if far_enough(report):
            return report
        if desk.monotonic() > end:
            raise GaveUp(f"after {desk.patience:.0f} s no custodian shows more than {report.head.size} entries")
        desk.sleep(desk.pause)


def _from_any(desk: Desk, workers: Executor | None) -> Report:
    over: NotVerified | None = None
    fault: Exception | None = None
    for reader in desk.readers:
        try:
            with executor() if workers is None else nullcontext(workers) as pool, told() as progress:
                return verify_record(reader, desk.card.manifest, pool, progress)
        except NotVerified as error:
            if error.kind == "rekey":
                # It may be the custodian that was replaced: the others show what the log is signed with.
                over = error
            elif error.number is not None:
                # The log itself is wrong, whichever copy is read.
                raise
            else:
                fault = error
        except ReadError as error:
            fault = error
    raise fault or over or ReadError("no custodian was asked")
