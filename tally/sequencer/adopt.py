"""After a lost ledger: the log is read back from the custodians, all of them, before anything new is signed.

Any custodian may hold the longest tree that the log has signed. Were one left out, the log might sign a second tree of
the same size. So an empty ledger is taken as a new log only if every custodian of the manifest answers and holds
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

from sqlalchemy import Connection

from audit.log.checkpoint import open_note
from audit.log.notes import Note
from audit.protocol.refused import Refused
from audit.record.election import Election
from audit.record.entries import parse_entry
from audit.record.manifest import Manifest
from infra import log
from infra.seen import SqlSeen
from tally.sequencer.custodian import Custodian, Rejected, Unavailable
from tally.sequencer.ledger import PAGE, Ledger, Stage

Sign = Callable[[Stage], bytes]

_log = log.Log("tally.adopt", asking=("custodian",), adopted=("size",), new=())


class WrongCopy(Exception):
    """A custodian's entries are not those of the head that it shows with the log's signatures."""


def survey(
    custodians: Sequence[Custodian], manifest: Manifest, pause: Callable[[], None]
) -> tuple[Custodian, Note] | None:
    """The custodian with the longest tree that the log signed, and the note over it; None if all hold nothing.

    Asks until every one has answered; `pause` waits between two attempts and raises to give up. An answer that the log
    has not signed counts as none, since going on without that custodian's word would be guessing.
    """
    best: tuple[int, Custodian, Note] | None = None
    for custodian in custodians:
        while True:
            try:
                note = custodian.held()
                size = open_note(note, manifest.log, witnessed=False).size if note else 0
                break
            except (Unavailable, Rejected, Refused):
                _log.warning("asking", custodian=custodian.label)
                pause()
        if note and (best is None or size > best[0]):
            best = size, custodian, note
    return best[1:] if best else None


def adopt(ledger: Ledger, manifest: Manifest, custodian: Custodian, note: Note, sign: Sign) -> None:
    """Fills an empty ledger with the tree that `note` is over, read from the custodian, all of it or nothing.

    It is staged in pages of 256, each signed as a beginning of the same tree, so that custodians that hold less can be
    sent the rest. WrongCopy; Refused or Unavailable as the custodian gives cause.
    """
    head = open_note(note, manifest.log, witnessed=False)
    log_keys = {(key.name, key.key_id) for key in manifest.log.log}
    own = Note(note.text, tuple(line for line in note.signatures if (line.name, line.key_id) in log_keys))
    election = Election(manifest.hash)
    entries = iter(custodian.entries(head.size))
    with ledger.engine.begin() as connection:
        while page := list(islice(entries, PAGE)):
            stage = _take_page(ledger, connection, election, page)
            ledger.sign_within(connection, stage.size, own.raw if stage.size == head.size else sign(stage))
        if (election.size, election.head.root()) != (head.size, head.root):
            raise WrongCopy(f"{custodian.label} does not hold the entries of the tree of {head.size} that it shows")
    _log.info("adopted", size=head.size)


def _take_page(ledger: Ledger, connection: Connection, election: Election, page: Sequence[bytes]) -> Stage:
    old_size = election.size
    with SqlSeen(connection, ledger.origin) as seen:
        for raw in page:
            entry = parse_entry(raw)
            election.apply_recorded(entry)
            seen.add(entry)
    stage = Stage(old_size, election.size, election.head.root(), election.head.to_bytes())
    ledger.append(connection, stage, page)
    return stage
