"""The officials' word that the log may go on without some of its custodians, after its ledger was lost: a note of the
type `restart`, which no rule ever admits to the log.

An empty ledger is filled from the custodians, and all must have answered before anything is signed, for any of them
may hold the longest tree that the log signed. When one cannot answer any more, nobody but the officials can decide to
go on: what only the named custodians hold is then lost, and what they cosigned last may contradict the log as it goes
on. It counts until the time that it names, so that nobody who has kept it can say it again at another loss.
"""

from __future__ import annotations

from dataclasses import dataclass

from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.election import check_binding
from audit.record.entries import make_text, parse_entry, read_text
from audit.record.manifest import Manifest, check_quorum


@dataclass(frozen=True)
class Restart:
    """`without`: the custodians that need not answer. `least`: how many entries the log is known to have had; 0 if
    nobody knows. `until`: when it ceases to count (POSIX seconds).
    """

    without: frozenset[str]
    least: int
    until: int


def restart_text(manifest: Manifest, without: list[str], least: int, until: int) -> bytes:
    """The text of the word, for a quorum of officials to sign. Refused as `check_restart`."""
    body = {"least": least, "manifest": b64(manifest.hash), "until": until, "without": sorted(without)}
    text = make_text("restart", manifest.origin, body)
    read_text(text)
    # By the names of entry 0: after a loss nobody knows yet who has taken whose place since.
    check_restart(Restart(frozenset(without), least, until), manifest.history[0])
    return text


def open_restart(raw: bytes, manifest: Manifest) -> Restart:
    """The word in a note that a quorum of this election's officials has signed, whether it still counts or not.

    Refused as `parse_entry`, `check_quorum` and `check_restart`; `another-election`; `wrong-phase` for another type.
    """
    entry = parse_entry(raw)
    if entry.kind != "restart":
        raise Refused("wrong-phase", f"the word on which a log goes on is of type restart, not {entry.kind}", "type")
    check_binding(manifest.origin, manifest.hash, entry)
    check_quorum(manifest.officials, entry)
    word = Restart(frozenset(entry.fields["without"]), entry.fields["least"], entry.fields["until"])
    check_restart(word, manifest)
    return word


def check_restart(word: Restart, manifest: Manifest) -> None:
    """Refused `unknown-key` for who is no custodian, `not-complete` if nobody is left to answer, or if so many are left
    out that a published tree may be with none of the others, unless `least` says how long the log was.
    """
    names = {name for name, _ in manifest.log.custodians}
    for name in sorted(word.without - names):
        raise Refused("unknown-key", f"{name} is no custodian of this election", "without")
    if word.without >= names:
        raise Refused("not-complete", "at least one custodian must answer", "without")
    if len(word.without) >= manifest.log.W and not word.least:
        text = f"a tree is published once {manifest.log.W} custodians hold it: without {len(word.without)} of them, "
        raise Refused("not-complete", text + "`least` must say how many entries the log is known to have had", "least")
