"""The head of a log whose keys may have changed: what a reader who knows the manifest believes of a checkpoint.

A checkpoint over n entries is signed by the keys that count at n: those of the manifest, changed by every rekey among
the n entries. A reader that meets keys it does not know looks for those rekeys before it believes anything. Where they
stand custodians may say (`rekeys`, numbers and no more), and are trusted with nothing: each is shown to be in the very
tree of the checkpoint, and to be signed by the officials' quorum; only then do its keys count, and only by these is the
checkpoint judged. One that is left out leaves the old keys in force. A true checkpoint does not bear the log's old
keys, but that of a custodian which was replaced, and which hides just that, may bear its own: so what all custodians
say is put together, and one that is honest suffices. Who reads all entries finds out by itself, and drops such a head
there (`infra.follow`, `audit.verify`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from audit.log.checkpoint import open_note
from audit.log.merkle import CompactRange, frontier, leaf_hash
from audit.log.notes import parse_note
from audit.log.proving import TreeTiles
from audit.log.reader import Head, Reader, ReadError, bundle_entries, read_entries, unverified_first_entry
from audit.log.sources import CHECKPOINT, FolderReader
from audit.log.tiles import WIDTH, width_of
from audit.log.treehead import parse_checkpoint
from audit.protocol.refused import Refused
from audit.record.admission import check_signatures
from audit.record.election import check_binding
from audit.record.entries import PREFIX, Entry, parse_entry
from audit.record.manifest import Manifest, open_manifest
from audit.record.rekeying import KIND, rekeyed

SECONDS = 300.0
"""That a reader may take for all files in which it shows its rekeys, the last of them aside: some megabytes each over
the slowest connection, and few there are. Also for all entries, where the rekeys are looked for among them: nobody need
have signed that checkpoint, and who makes a tree of the same entries again and again has one of any size. A record
in a folder has an end, and is the reader's own: it may take as long as there is to read.
"""
FIRST_LINE = f"{PREFIX}{KIND}\n".encode()


@dataclass(frozen=True, slots=True)
class Shown:
    """A reader's newest witnessed head, the manifest with all rekeys under it, and entry 0 that holds that."""

    reader: Reader
    manifest: Manifest
    first: Entry
    head: Head


def is_rekey(raw: bytes) -> bool:
    """Whether an entry says it is a rekey, and so whether it may have changed a key."""
    return raw.startswith(FIRST_LINE)


def succeed(manifest: Manifest, raw: bytes, index: int) -> Manifest:
    """The manifest after a rekey, which is entry `index`, its signatures checked. Refused as the rules say."""
    entry = parse_entry(raw)
    if entry.kind != KIND:
        raise Refused("unknown-kind", f"entry {index} is no rekey, but of type {entry.kind}", "type")
    check_binding(manifest.origin, manifest.hash, entry)
    check_signatures(manifest, entry)
    return rekeyed(manifest, entry, index)


def open_head(
    reader: Reader,
    manifest: Manifest,
    *,
    exact: bool = False,
    whole: bool = False,
    every: bool = False,
    others: Sequence[Reader] = (),
) -> tuple[Head, Manifest] | None:
    """The reader's newest checkpoint, by the keys that count over its size, and the manifest with those; None if
    nothing has been published.

    `manifest` is that of the last entry known, or of entry 0. Rekeys are looked for only if the checkpoint bears other
    keys than are known, unless `every`: for who does not read all entries, and must know the intakes' keys, too.
    `others` are asked where they stand as well as the reader, which alone shows them. Where nobody says which entries
    they are, none is found, unless `whole`: then every entry is read. ReadError as `audit.log.reader.open_head`, of the
    checkpoint by the keys that are known, or that were found; `too-slow` if that takes more than SECONDS and
    the reader is not of a folder.
    """
    raw = reader.checkpoint()
    if raw is None:
        return None
    where = f"{reader}/{CHECKPOINT}"
    try:
        note = parse_note(raw)
        claim = Head(parse_checkpoint(note.text), note)
    except Refused as refusal:
        raise ReadError(str(refusal), where, refusal.reason) from None
    doubt: Refused | None = None
    try:
        open_note(note, manifest.at(claim.size).log, exact=exact)
    except Refused as refusal:
        doubt = refusal
    if doubt is None and not every:
        return claim, manifest
    try:
        manifest = with_rekeys(reader if doubt is None else _timed(reader), manifest, claim, whole=whole, others=others)
        open_note(note, manifest.at(claim.size).log, exact=exact)
    except Refused as refusal:
        raise ReadError(str(refusal if manifest.rekey or doubt is None else doubt), where, refusal.reason) from None
    return claim, manifest


def open_log(reader: Reader, pinned: bytes | None) -> Shown:
    """What the reader shows of the log. ReadError, also if nothing is published; Refused as `open_manifest`."""
    raw = unverified_first_entry(reader)
    if raw is None:
        raise ReadError("has published no log yet", str(reader), "not-found")
    manifest, entry = open_manifest(raw, pinned)
    found = open_head(reader, manifest, whole=True)
    if found is None:
        raise ReadError("has published no log yet", str(reader), "not-found")
    head, manifest = found
    return Shown(reader, with_rekeys(reader, manifest, head), entry, head)


def with_rekeys(
    reader: Reader, manifest: Manifest, head: Head, *, whole: bool = True, others: Sequence[Reader] = ()
) -> Manifest:
    """The manifest with the keys that every rekey under this head has made it; without `whole`, those of which the
    reader, or one of `others`, says where they stand.

    ReadError if one that the reader names is not in the tree of the head; Refused if one is against the rules.
    """
    for index, entry in _rekeys(reader, manifest, head, whole, others):
        manifest = succeed(manifest, entry, index)
    return manifest


def expect_one_log(one: Shown, another: Shown) -> None:
    """Two trees witnessed by keys that count at their sizes are of one log: the shorter begins the longer.

    A shorter one by keys that do not count there for the longer is `expect_rekeys`' to judge. Who holds keys that were
    replaced later can sign one for which they do, and put into it a rekey that everybody knows, at another place: by
    what the two show, nobody can say which is true. Refused `fork`; ReadError of the longer, if its tiles do not show
    how it begins.
    """
    short, long = sorted((one, another), key=lambda shown: shown.head.size)
    size = short.head.size
    try:
        open_note(short.head.note, long.manifest.at(size).log)
    except Refused:
        return
    begun = long.head.root
    if size < long.head.size:
        tiles = TreeTiles(long.reader, long.head)
        begun = frontier(tiles, size).root()
        tiles.consistency(size, begun)
    if begun != short.head.root:
        text = f"{short.reader}: its witnessed tree of {size} entries does not begin that of {long.head.size}"
        raise Refused("fork", f"{text} which {long.reader} shows: there are two logs, or keys were stolen")


def expect_rekeys(one: Shown, others: Iterable[Shown]) -> None:
    """Whoever was replaced, or has stolen a key that was, may show another log in which that never happened; the
    officials' quorum signed what others show, so nobody has made it up.

    Refused `fork` if one of the others shows a rekey below the head's size by which the head was not judged.
    """
    size, mine = one.head.size, {rekey.index: rekey.raw for rekey in one.manifest.rekeys}
    for other in others:
        for rekey in other.manifest.rekeys:
            if rekey.index < size and mine.get(rekey.index) != rekey.raw:
                text = f"with {size} entries, keeps back the rekey of {rekey.name} that {other.reader} shows"
                said = f"{text} as entry {rekey.index}: it is another log, or signed with keys that are over"
                raise Refused("fork", f"{one.reader}: {said}")


def _rekeys(
    reader: Reader, manifest: Manifest, claim: Head, whole: bool, others: Sequence[Reader]
) -> Iterator[tuple[int, bytes]]:
    """Number and entry of the rekeys beyond those known, in the log's order, each in the tree of the claimed head when
    it is given. The next is not read before it is asked for: whoever judges each as it comes stops at the first that
    nobody's quorum has signed, and a claim costs no more than it is worth. ReadError.
    """
    known = manifest.rekey.index if manifest.rekey else 0
    own = reader.rekeys()
    said = [places for other in others if (places := _said(other)) is not None]
    if own is None and not said:
        try:
            for index, entry in enumerate(read_entries(reader, CompactRange(), claim) if whole else ()):
                if index > known and is_rekey(entry):
                    yield index, entry
        except ReadError as error:
            # What cannot be read through is no tree of this checkpoint, and the checkpoint was in doubt before.
            if error.reason == "too-slow":
                raise
        return
    reader = _timed(reader)
    tiles = TreeTiles(reader, claim)
    sources = [set(own or ()), *map(set, said)]
    for index in sorted(set().union(*sources)):
        who = [named for named in sources if index in named]
        if not who or not known < index < claim.size:
            continue
        place, offset = divmod(index, WIDTH)
        entry = bundle_entries(reader, place, width_of(claim.size, 0, place))[offset]
        tiles.inclusion(index, leaf_hash(entry))
        if is_rekey(entry) or index in sources[0]:
            yield index, entry
        else:
            # It is not the reader that lied. One false number is enough: each costs a bundle.
            for named in who:
                named.clear()


def _timed(reader: Reader) -> Reader:
    return reader if isinstance(reader, FolderReader) else _Timed(reader)


class _Timed:
    """A reader of tiles and bundles that has SECONDS for all of them: the claim may be of a tree as high as can be, and
    each file come in the last second. ReadError `too-slow` before the next.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader, self._end = reader, monotonic() + SECONDS
        self.checkpoint, self.rekeys = reader.checkpoint, reader.rekeys

    def __str__(self) -> str:
        return str(self._reader)

    def tile(self, level: int, index: int, width: int) -> bytes:
        self._expect_time()
        return self._reader.tile(level, index, width)

    def bundle(self, index: int, width: int) -> bytes:
        self._expect_time()
        return self._reader.bundle(index, width)

    def _expect_time(self) -> None:
        if monotonic() > self._end:
            said = f"takes more than {SECONDS:g} seconds to show its rekeys; read another source, or a copy in a folder"
            raise ReadError(said, str(self), "too-slow")


def _said(other: Reader) -> Sequence[int] | None:
    with suppress(ReadError):
        return other.rekeys()
    return None
