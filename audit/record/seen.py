"""What admission must remember about the whole log: identities, revisions and which intake passed what on.

The rules ask through this narrow interface, so that verification can keep it in memory and a service in its database.
It grows with the log; nothing else in the state of an election does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from audit.record.entries import Entry


class Seen(Protocol):
    """The index over the log that admission reads. Identities and pseudonyms are 32 bytes."""

    def recorded(self, identity: bytes) -> str | None:
        """Under which intake's line the entry with this identity stands in the log ("" if it bears none), None if it
        does not.
        """

    def refused(self, identity: bytes, intake: str) -> Collection[bytes]:
        """The leaf hashes (32 bytes) of the entries with this identity that the log refuses as handed in by this
        intake; empty if it refuses none.
        """

    def revision(self, pseudonym: bytes) -> int | None:
        """The highest revision among the ballots in the log under this pseudonym."""

    def passed(self, intake: str) -> Iterable[bytes]:
        """The identities of all ballots, recorded or refused, that came through this intake, in ascending order."""

    def counted(self) -> Iterable[bytes]:
        """Of every pseudonym that voted, the entry that counts: the ballot with the highest revision."""


class MemorySeen:
    """The index in memory, filled by `add` as entries are applied."""

    def __init__(self) -> None:
        self.identities: dict[bytes, str] = {}
        self.refusals: dict[tuple[bytes, str], set[bytes]] = {}
        self.by_intake: dict[str, list[bytes]] = {}
        self.latest: dict[bytes, tuple[int, bytes]] = {}

    def recorded(self, identity: bytes) -> str | None:
        return self.identities.get(identity)

    def refused(self, identity: bytes, intake: str) -> Collection[bytes]:
        return self.refusals.get((identity, intake), ())

    def revision(self, pseudonym: bytes) -> int | None:
        latest = self.latest.get(pseudonym)
        return latest[0] if latest else None

    def passed(self, intake: str) -> Iterable[bytes]:
        return sorted(set(self.by_intake.get(intake, [])))

    def counted(self) -> Iterable[bytes]:
        return [raw for _, raw in self.latest.values()]

    def add(self, entry: Entry) -> None:
        """Remembers an admitted entry."""
        self.identities[entry.identity] = intake_of(entry)
        if entry.kind == "ballot":
            self.by_intake.setdefault(intake_of(entry), []).append(entry.identity)
            self.latest[entry.fields["pseudonym"]] = (entry.fields["revision"], entry.raw)
        if entry.kind == "refusal":
            of = entry.fields["identity"], entry.fields["intake"]
            self.refusals.setdefault(of, set()).add(entry.fields["leaf"])
            if entry.fields["kind"] == "ballot":
                self.by_intake.setdefault(entry.fields["intake"], []).append(entry.fields["identity"])


def intake_of(entry: Entry) -> str:
    """The name on a ballot's only signature line; "" for every other kind."""
    return entry.signatures[0].name if entry.kind == "ballot" and entry.signatures else ""
