"""Whose signatures count in a log that a custodian keeps: those of the manifest, changed by the rekeys that it holds
itself.

A custodian believes no settings in this: what the officials have replaced stands in the log, and is found there again
when the process begins anew. So nobody can make it go back to keys that are over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Protocol

from audit.log.checkpoint import LogPolicy
from audit.log.keys import Signer
from audit.log.notes import Note
from audit.log.reader import Head, Reader, ReadError
from audit.log.treehead import parse_checkpoint
from audit.protocol.refused import Refused
from audit.record.heads import is_rekey, open_head, succeed, with_rekeys
from audit.record.manifest import Manifest
from vault.custodian.storage import Damaged, Store
from vault.custodian.stored import by_log, readable_published


class Keys(Protocol):
    """Whose signatures count in one log, as far as its entries are known."""

    origin: str

    def at(self, size: int) -> LogPolicy:
        """Those that count over `size` entries, by the rekeys learned so far."""

    def after(self, start: int, entries: Sequence[bytes]) -> Keys:
        """What they are if these entries follow, from number `start` on; nothing is learned. Refused."""

    def claimed(self, reader: Reader, size: int, others: Sequence[Reader] = ()) -> LogPolicy:
        """Those that count over the reader's `size` entries, by rekeys that it shows in its tree, where it or one of
        `others` says they are; nothing is learned. ReadError.
        """

    def shown(self, reader: Reader, note: Note) -> dict[int, bytes]:
        """By number the rekeys, signed by the officials, that the reader shows in the tree of this note and that are
        not among those learned. ReadError; Refused, also if the log has not signed the note by the keys that they lead
        to: who has seen a rekey can put it into a tree of its own making, at any place.
        """

    def learn(self, index: int, entry: bytes) -> None:
        """Takes note of an entry, which is number `index` of the log: it may change a key. Refused."""

    def places(self) -> Iterable[int]:
        """The numbers of the entries by which keys were changed, ascending."""


class ManifestKeys:
    """The keys of an election, as the manifest says and rekeys change it."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest, self.origin = manifest, manifest.origin

    def at(self, size: int) -> LogPolicy:
        return self.manifest.at(size).log

    def after(self, start: int, entries: Sequence[bytes]) -> ManifestKeys:
        keys = ManifestKeys(self.manifest)
        for index, entry in enumerate(entries, start):
            keys.learn(index, entry)
        return keys

    def claimed(self, reader: Reader, size: int, others: Sequence[Reader] = ()) -> LogPolicy:
        found = open_head(reader, self.manifest, exact=True, others=others)
        return (self.manifest if found is None else found[1]).at(size).log

    def shown(self, reader: Reader, note: Note) -> dict[int, bytes]:
        first, claim = self.manifest.history[0], Head(parse_checkpoint(note.text), note)
        known = [rekey.raw for rekey in self.manifest.rekeys]
        found = with_rekeys(reader, first, claim, whole=False)
        by_log(found.at(claim.size).log, note)
        return {rekey.index: rekey.raw for rekey in found.rekeys if rekey.raw not in known}

    def learn(self, index: int, entry: bytes) -> None:
        known = self.manifest.rekey
        if is_rekey(entry) and (known is None or known.index < index):
            self.manifest = succeed(self.manifest, entry, index)

    def places(self) -> Iterable[int]:
        return [rekey.index for rekey in self.manifest.rekeys]


def of_all_times(keys: Keys) -> list[LogPolicy]:
    """Those that have counted, one after another, as far as the log is known."""
    return [keys.at(size) for size in (0, *(index + 1 for index in keys.places()))]


def stored_keys(store: Store, manifest: Manifest) -> ManifestKeys:
    """The keys of an election by what is held of its log, under a head: what is only staged may be anything.

    A rekey that was changed on disk is passed over, and so are all if it cannot be told where they are: it is the
    examination that finds it, before anything is signed.
    """
    keys = ManifestKeys(manifest)
    with suppress(Damaged):
        learn_stored(store, keys)
    return keys


def learn_stored(store: Store, keys: Keys) -> None:
    """Has `keys` learn the rekeys that are held. Damaged if it cannot be told where they are."""
    size, _ = held_size(store, keys.origin)
    for index in store.rekeys(keys.origin):
        if index < size:
            with suppress(Damaged, Refused):
                for entry in store.entries(keys.origin, index, index + 1):
                    keys.learn(index, entry)


def proven_keys(store: Store, manifest: Manifest, peers: Iterable[Reader]) -> ManifestKeys:
    """As `stored_keys`; where a rekey that is held cannot be read, by what a peer proves to be in its log, signed by
    the officials' quorum: so that a damaged rekey, too, can be mended.
    """
    keys = stored_keys(store, manifest)
    size, unknown = held_size(store, manifest.origin)
    places: set[int] = set()
    try:
        places.update(index for index in store.rekeys(manifest.origin) if index < size)
    except Damaged:
        unknown = True
    for peer in peers:
        # With the newest head, or the index of rekeys, it may be lost that there is one at all.
        if not (places - set(keys.places()) or unknown):
            break
        with suppress(ReadError):
            found = open_head(peer, manifest, exact=True, every=True)
            # An old checkpoint is true, too, and takes nothing away from what is known.
            if found is not None and set(keys.manifest.rekeys) <= set(found[1].rekeys):
                keys = ManifestKeys(found[1])
    return keys


def held_size(store: Store, origin: str) -> tuple[int, bool]:
    """How many entries are held; if the newest head cannot be read, as many as were published, and True."""
    try:
        return store.newest(origin).size, False
    except Damaged:
        return readable_published(store, origin)[0], True


def in_office(signers: Sequence[Signer], policy: LogPolicy) -> Sequence[Signer]:
    """Those of a custodian's keys that count by this policy. Of one whose office begins later, all: over what stood in
    the log before, its lines count for nobody, and say that it holds it.
    """
    counting = {key for _, keys in policy.custodians for key in keys}
    return [signer for signer in signers if signer.verifier in counting] or signers
