"""The manifest: entry 0, parsed into the typed facts of an election, with every rule that can be checked before it
begins.

Its hash is all that anybody has to be told: whoever pins it cannot be shown another election, whatever answers under an
address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from audit.log.checkpoint import LogPolicy
from audit.log.keys import ED25519, ML_DSA_44, Verifier, parse_vkey
from audit.log.treehead import MAX_ORIGIN
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record import agenda
from audit.record.agenda import Contest, ShareClass, check_agenda, class_of, contest_of
from audit.record.ballot_size import check_ballot_size, largest_ballot
from audit.record.entries import Entry, check_lines, parse_entry
from audit.record.manifest_shape import NAME
from audit.record.shapes import distinct, inside

__all__ = [
    "Contest",
    "Manifest",
    "Quorum",
    "ShareClass",
    "largest_ballot",
    "load_manifest",
    "open_manifest",
    "parse_manifest",
]

# Stands in addresses and, as it is, in the paths of files: no segment is empty or begins with a dot.
ORIGIN = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")


@dataclass(frozen=True)
class Quorum:
    """Keys of which `threshold` must act together, in the manifest's order."""

    keys: tuple[Verifier, ...]
    threshold: int

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(key.name for key in self.keys)


@dataclass(frozen=True)
class Rekey:
    """Keys that changed: from entry `index` on, `new` of `to` count in the place of `old` of `name`. `office`: intake,
    log or custodian; `raw`: the entry.
    """

    index: int
    office: str
    name: str
    to: str
    old: tuple[Verifier, ...]
    new: tuple[Verifier, ...]
    raw: bytes = field(repr=False)


@dataclass(frozen=True)
class Manifest:
    """The facts of one election. `hash` is SHA-256 of the entry's text (32 bytes), what everybody pins.

    Keys are those that count now: where `rekey` is given, it is the last that changed some, and `before` is all as it
    was before it.
    """

    hash: bytes
    origin: str
    title: str
    meeting: dict[str, str]
    classes: tuple[ShareClass, ...]
    contests: tuple[Contest, ...]
    officials: Quorum
    trustees: Quorum
    issuers: tuple[Verifier, ...]
    inspectors: tuple[Verifier, ...]
    mixers: tuple[Verifier, ...]
    intakes: tuple[Verifier, ...]
    log: LogPolicy
    minimum_pseudonyms: int
    minimum_roll: int
    batch_min: int
    batch_wait: float  # seconds
    times: dict[str, str] = field(repr=False)
    before: Manifest | None = field(default=None, repr=False)
    rekey: Rekey | None = None

    def at(self, size: int) -> Manifest:
        """With the keys that count for entry number `size`, and for a checkpoint over `size` entries: those that the
        entries below that number have made it.
        """
        manifest = self
        while manifest.before is not None and manifest.rekey is not None and manifest.rekey.index >= size:
            manifest = manifest.before
        return manifest

    @property
    def history(self) -> tuple[Manifest, ...]:
        """As it was at first, and after each rekey, in their order; this one is the last."""
        past = [self]
        while past[-1].before is not None:
            past.append(past[-1].before)
        return tuple(reversed(past))

    @property
    def rekeys(self) -> tuple[Rekey, ...]:
        """All that changed a key, in the log's order."""
        return tuple(manifest.rekey for manifest in self.history if manifest.rekey is not None)

    @property
    def log_key(self) -> Verifier:
        """The log's Ed25519 key, which also signs refusals."""
        return self.log.log[0]

    @property
    def decimals(self) -> int:
        """The decimal places of a share that votes are counted in: a vote is one unit of the last."""
        return self.classes[0].decimals

    def contests_of(self, share_class: str) -> tuple[Contest, ...]:
        """The contests a ballot of this class votes on, in agenda order."""
        return agenda.contests_of(self.contests, share_class)

    def votes_on(self, contest: Contest) -> int:
        """All votes that could be given to one choice of this contest."""
        return agenda.votes_on(contest, self.classes)


def load_manifest(path: Path, pinned: bytes | None = None) -> tuple[Manifest, Entry]:
    """The manifest in a file that holds its signed note, as every service and command reads it. See `open_manifest`.

    OSError; Refused with the path in front of the detail.
    """
    try:
        return open_manifest(path.read_bytes(), pinned)
    except Refused as refusal:
        raise Refused(refusal.reason, f"{path}: {refusal.detail}", refusal.field) from None


def open_manifest(raw: bytes, pinned: bytes | None = None) -> tuple[Manifest, Entry]:
    """The manifest in a signed note, parsed, and signed by a quorum of the officials it names.

    Those signatures show nothing until the hash is compared, for anybody can name officials: with `pinned` (32 bytes)
    it is, and another manifest is Refused `another-election`. Otherwise Refused as `parse_entry` and `parse_manifest`,
    or `wrong-signers`.
    """
    entry = parse_entry(raw)
    manifest = parse_manifest(entry)
    check_pinned(manifest, pinned)
    check_quorum(manifest.officials, entry)
    return manifest, entry


def check_pinned(manifest: Manifest, pinned: bytes | None) -> None:
    """Refuses another manifest than the one of this hash (any, if None)."""
    if pinned is not None and manifest.hash != pinned:
        raise Refused("another-election", f"this manifest has the hash {b64(manifest.hash)}, not {b64(pinned)}")


def check_quorum(officials: Quorum, entry: Entry) -> None:
    """Refuses an entry that a quorum of the officials has not signed, or anybody else has."""
    wanted = f"{officials.threshold} of the {len(officials.keys)} officials"
    check_lines(entry, officials.keys, officials.threshold, len(officials.keys), wanted)


def parse_manifest(entry: Entry) -> Manifest:
    """The manifest in entry 0; refuses one that breaks a rule, naming the field. Its signatures are checked by
    `check_quorum`.
    """
    if entry.kind != "manifest":
        raise Refused("wrong-phase", f"the log begins with the manifest, not with {entry.kind}", "type")
    fields = entry.fields
    manifest = Manifest(
        hash=entry.identity,
        origin=origin_of(entry),
        title=fields["meeting"]["title"],
        meeting=fields["meeting"],
        classes=tuple(map(class_of, fields["classes"])),
        contests=tuple(contest_of(c, inside("contests", i)) for i, c in enumerate(fields["contests"])),
        officials=quorum_of(fields["officials"], "officials"),
        trustees=quorum_of(fields["trustees"], "trustees"),
        issuers=entry_keys(fields["issuers"], "issuers"),
        inspectors=entry_keys(fields["inspectors"], "inspectors"),
        mixers=entry_keys(fields["mixers"], "mixers"),
        intakes=entry_keys(fields["intakes"], "intakes"),
        log=log_policy(entry.origin, fields),
        minimum_pseudonyms=fields["minimum"]["pseudonyms"],
        minimum_roll=fields["minimum"]["roll"],
        batch_min=fields["batch"]["min"],
        batch_wait=fields["batch"]["wait_ms"] / 1000,
        times=fields["times"],
    )
    check_times(manifest.times)
    check_names(manifest)
    check_publics(manifest)
    check_agenda(manifest.classes, manifest.contests)
    check_ballot_size(manifest)
    return manifest


def origin_of(entry: Entry) -> str:
    if not ORIGIN.fullmatch(entry.origin) or len(entry.origin) > MAX_ORIGIN:
        text = "an origin is a host and a path: lower-case letters, digits, and . _ - between slashes"
        raise Refused("syntax", text, "origin")
    return entry.origin


def keys_of(vkeys: tuple[str, ...], path: str) -> tuple[Verifier, ...]:
    keys = []
    for i, vkey in enumerate(vkeys):
        try:
            key = parse_vkey(vkey)
        except Refused as refusal:
            raise refusal.at(inside(path, i)) from None
        # Bodies name signers, some as the names of JSON fields, which are ASCII.
        NAME(key.name, inside(path, i))
        keys.append(key)
    return tuple(keys)


def entry_keys(vkeys: tuple[str, ...], path: str) -> tuple[Verifier, ...]:
    """Keys that sign entries: Ed25519 (0x01), each name once."""
    keys = keys_of(vkeys, path)
    distinct(keys, path, lambda key: key.name)
    for i, key in enumerate(keys):
        if key.type != ED25519:
            raise Refused("unknown-key", "a key that signs entries is of type 0x01 (Ed25519)", inside(path, i))
    return keys


def quorum_of(fields: dict[str, Any], path: str) -> Quorum:
    keys = entry_keys(fields["keys"], f"{path}.keys")
    return Quorum(keys, threshold_of(fields["threshold"], len(keys), path))


def threshold_of(threshold: int, keys: int, path: str) -> int:
    if threshold > keys:
        raise Refused("out-of-range", f"{threshold} must sign, but there are {keys} keys", f"{path}.threshold")
    return threshold


def log_policy(origin: str, fields: dict[str, Any]) -> LogPolicy:
    """Whose signatures make a checkpoint.

    The log signs with Ed25519 and with ML-DSA-44, so that a broken one of the two does not suffice to forge a head.
    """
    log = log_keys(fields["log"], "log")
    path = "custodians.keys"
    custodians = tuple(keys_of(keys, inside(path, i)) for i, keys in enumerate(fields["custodians"]["keys"]))
    for i, keys in enumerate(custodians):
        if len({key.name for key in keys}) != 1:
            raise Refused("wrong-signers", "the keys of one custodian carry one name", inside(path, i))
    W = threshold_of(fields["custodians"]["threshold"], len(custodians), "custodians")
    try:
        return LogPolicy(origin, log, tuple((keys[0].name, keys) for keys in custodians), W)
    except Refused as refusal:
        raise refusal.at("custodians") from None


def log_keys(vkeys: tuple[str, ...], path: str) -> tuple[Verifier, ...]:
    """Ed25519, then ML-DSA-44, of one name."""
    log = keys_of(vkeys, path)
    if tuple(key.type for key in log) != (ED25519, ML_DSA_44):
        raise Refused("unknown-key", "the log's keys are one of type 0x01 and one of type 0x06, in this order", path)
    if len({key.name for key in log}) != 1:
        raise Refused("wrong-signers", "both keys of the log carry one name", path)
    return log


def check_times(times: dict[str, str]) -> None:
    """The record date, the opening and the close, those that are announced, stand in this order."""
    known = [name for name in ("record_date", "open", "close") if times[name]]
    for before, after in pairwise(known):
        first, then = datetime.fromisoformat(times[before]), datetime.fromisoformat(times[after])
        # Days are compared as they are written, unless both are moments.
        exact = first.tzinfo is not None and then.tzinfo is not None
        if first > then if exact else times[before][:10] > times[after][:10]:
            text = f"{times[after]} is before {before}, {times[before]}"
            raise Refused("out-of-range", text, inside("times", after))


def check_names(manifest: Manifest) -> None:
    """One name, one office: a signature line must say in which office somebody acts."""
    held: dict[str, str] = {}
    for office, key in signers(manifest):
        if held.setdefault(key.name, office) != office:
            raise Refused("duplicate", f"the name {key.name} is among the {held[key.name]} already", office)


def check_publics(manifest: Manifest) -> None:
    """One key, one name and purpose: otherwise one person could be counted as two of a quorum."""
    held: dict[bytes, str] = {}
    for office, key in signers(manifest):
        if key.public in held:
            raise Refused("duplicate", f"{key.name} has the key of {held[key.public]}", office)
        held[key.public] = key.name


def signers(manifest: Manifest) -> list[tuple[str, Verifier]]:
    """Every key of the election with its office."""
    offices = {
        "officials": manifest.officials.keys,
        "trustees": manifest.trustees.keys,
        "issuers": manifest.issuers,
        "inspectors": manifest.inspectors,
        "mixers": manifest.mixers,
        "intakes": manifest.intakes,
        "log": manifest.log.log,
        "custodians": tuple(key for _, keys in manifest.log.custodians for key in keys),
    }
    return [(office, key) for office, keys in offices.items() for key in keys]
