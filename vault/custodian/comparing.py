"""What a source serves, compared with what was verified and is held: whose bytes changed, if any did."""

from __future__ import annotations

from audit.log.encoding import encode_base64
from audit.log.merkle import leaf_hash
from audit.log.reader import Reader, ReadError, bundle_entries, split_hashes, tile_root
from audit.log.tiles import HEIGHT, WIDTH, width_of
from infra import log
from vault.custodian.alarms import Alarms
from vault.custodian.stored import StoreReader


class Comparison:
    """Compares `theirs` with `own`; raises `changed` against `label`, or `damaged` if it is the own bytes that are not
    those that were verified.
    """

    def __init__(self, own: StoreReader, theirs: Reader, alarms: Alarms, label: str) -> None:
        self._own, self._theirs, self._alarms, self._label = own, theirs, alarms, label

    def of_bundle(self, place: int, size: int) -> bool:
        """Compares bundle `place` and the tiles above it, as they are in a tree of `size` leaves; whether one of them
        is not there. ReadError if they cannot be reached; Damaged if less is held.
        """
        try:
            if self._entries(place, size):
                self._tiles(place, size)
            return False
        except ReadError as error:
            if error.reason == "not-found":
                return True
            if error.reason in ("wrong-length", "syntax", "too-long"):
                self._alarms("changed", source=self._label, what=log.word(error.reason), number=place * WIDTH)
                return False
            raise

    def _entries(self, place: int, size: int) -> bool:
        width = width_of(size, 0, place)
        theirs, ours = bundle_entries(self._theirs, place, width), bundle_entries(self._own, place, width)
        if ours == theirs:
            return True
        at = next(i for i in range(width) if ours[i] != theirs[i])
        # The stored hash decides whether the own bytes are those that were verified.
        right = leaf_hash(ours[at]) == split_hashes(self._own.tile(0, place, width))[at]
        self._differ("entry", place * WIDTH + at, right, ours[at], theirs[at])
        return False

    def _tiles(self, place: int, size: int) -> None:
        level = 0
        while size >> (HEIGHT * level):
            if width := width_of(size, level, place):
                theirs = split_hashes(self._theirs.tile(level, place, width))
                ours = split_hashes(self._own.tile(level, place, width))
                if ours != theirs:
                    at = next(i for i in range(width) if ours[i] != theirs[i])
                    number = place * WIDTH + at
                    right = ours[at] == self._made_of_below(level, number)
                    self._differ(f"tile-{level}", number, right, ours[at], theirs[at])
                    return
            level, place = level + 1, place // WIDTH

    def _made_of_below(self, level: int, number: int) -> bytes:
        """Hash `number` of an own tile level, computed from what stands below it."""
        if level == 0:
            place, offset = divmod(number, WIDTH)
            return leaf_hash(bundle_entries(self._own, place, offset + 1)[offset])
        return tile_root(split_hashes(self._own.tile(level - 1, number, WIDTH)))

    def _differ(self, what: str, number: int, right: bool, ours: bytes, theirs: bytes) -> None:
        """Raises the alarm against who does not have the bytes that were verified; `right` if the own ones are."""
        if not right:
            self._alarms("damaged", what=f"{what}-{number}")
            return
        values = {"held": encode_base64(ours), "other": encode_base64(theirs)}
        self._alarms("changed", source=self._label, what=what, number=number)
        self._alarms.keep("changed", str(self._theirs), {"what": what, "number": number, **values})
