"""The manifest: entry 0, parsed into the typed facts of an election, with every rule that can be checked before it begins."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from audit.log.checkpoint import LogPolicy
from audit.log.keys import ED25519, ML_DSA_44, Verifier, parse_vkey
from audit.protocol.ballot import ContestForm
from audit.protocol.refused import Refused
from audit.record.entries import Entry
from audit.record.shapes import distinct, inside

TOTAL_BOUND = 1 << 40


@dataclass(frozen=True)
class Contest:
    """One agenda item: its form says what a ballot may hold, its rule what the totals mean."""

    id: str
    title: str
    text: str
    kind: str  # "director" or "resolution"
    form: ContestForm
    choices: tuple[str, ...]
    classes: tuple[str, ...]
    rule: dict[str, Any]


@dataclass(frozen=True)
class ShareClass:
    """A class of shares, voting by a roll of its own; `votes` is the sum of all weights on that roll."""

    id: str
    votes: int
    votes_per_share: int


@dataclass(frozen=True)
class Quorum:
    """Keys of which `threshold` must act together, in the manifest's order."""

    keys: tuple[Verifier, ...]
    threshold: int

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(key.name for key in self.keys)


@dataclass(frozen=True)
class Manifest:
    """The facts of one election. `hash` is SHA-256 of the entry's text (32 bytes), what everybody pins."""

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

    @property
    def log_key(self) -> Verifier:
        """The log's Ed25519 key, which also signs refusals."""
        return self.log.log[0]

    def contests_of(self, share_class: str) -> tuple[Contest, ...]:
        """The contests a ballot of this class votes on, in agenda order."""
        return tuple(contest for contest in self.contests if share_class in contest.classes)

    def votes_on(self, contest: Contest) -> int:
        """All votes that could be given to one choice of this contest."""
        q = contest.form.limit if contest.form.form == "cumulative" else 1
        return q * sum(c.votes for c in self.classes if c.id in contest.classes)


def parse_manifest(entry: Entry) -> Manifest:
    """The manifest in entry 0; refuses one that breaks a rule, naming the field. Its signatures are checked by admission."""
    if entry.kind != "manifest":
        raise Refused("wrong-phase", f"the log begins with the manifest, not with {entry.kind}", "type")
    fields = entry.fields
    custodians = tuple(keys_of(keys, inside("custodians.keys", i)) for i, keys in enumerate(fields["custodians"]["keys"]))
    for i, keys in enumerate(custodians):
        if len({key.name for key in keys}) != 1:
            raise Refused("wrong-signers", "the keys of one custodian carry one name", inside("custodians.keys", i))
    manifest = Manifest(
        hash=hashlib.sha256(entry.text).digest(),
        origin=entry.origin,
        title=fields["meeting"]["title"],
        meeting=fields["meeting"],
        classes=tuple(ShareClass(c["id"], c["votes"], c["votes_per_share"]) for c in fields["classes"]),
        contests=tuple(contest_of(c, inside("contests", i)) for i, c in enumerate(fields["contests"])),
        officials=quorum_of(fields["officials"], "officials"),
        trustees=quorum_of(fields["trustees"], "trustees"),
        issuers=entry_keys(fields["issuers"], "issuers"),
        inspectors=entry_keys(fields["inspectors"], "inspectors"),
        mixers=entry_keys(fields["mixers"], "mixers"),
        intakes=entry_keys(fields["intakes"], "intakes"),
        log=LogPolicy(
            entry.origin,
            keys_of(fields["log"], "log"),
            tuple((keys[0].name, keys) for keys in custodians),
            threshold_of(fields["custodians"]["threshold"], len(custodians), "custodians"),
        ),
        minimum_pseudonyms=fields["minimum"]["pseudonyms"],
        minimum_roll=fields["minimum"]["roll"],
        batch_min=fields["batch"]["min"],
        batch_wait=fields["batch"]["wait_ms"] / 1000,
        times=fields["times"],
    )
    check_log_keys(manifest)
    check_names(manifest)
    check_agenda(manifest)
    return manifest


def keys_of(vkeys: tuple[str, ...], path: str) -> tuple[Verifier, ...]:
    keys = []
    for i, vkey in enumerate(vkeys):
        try:
            keys.append(parse_vkey(vkey))
        except Refused as refusal:
            raise refusal.at(inside(path, i)) from None
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


def contest_of(fields: dict[str, Any], path: str) -> Contest:
    distinct(fields["choices"], inside(path, "choices"))
    distinct(fields["classes"], inside(path, "classes"))
    form = ContestForm(fields["id"], fields["form"], len(fields["choices"]), fields["limit"])
    return Contest(
        fields["id"], fields["title"], fields["text"], fields["kind"], form, fields["choices"], fields["classes"], fields["rule"]
    )


def check_log_keys(manifest: Manifest) -> None:
    """The log signs with Ed25519 and with ML-DSA-44, so that a broken one of the two does not suffice to forge a head."""
    if tuple(key.type for key in manifest.log.log) != (ED25519, ML_DSA_44):
        raise Refused("unknown-key", "the log's keys are one of type 0x01 and one of type 0x06, in this order", "log")
    if len({key.name for key in manifest.log.log}) != 1:
        raise Refused("wrong-signers", "both keys of the log carry one name", "log")


def check_names(manifest: Manifest) -> None:
    """One name, one office: a signature line must say in which office somebody acts."""
    roles = {
        "officials": manifest.officials.keys,
        "trustees": manifest.trustees.keys,
        "issuers": manifest.issuers,
        "inspectors": manifest.inspectors,
        "mixers": manifest.mixers,
        "intakes": manifest.intakes,
        "log": manifest.log.log[:1],
        "custodians": tuple(keys[0] for _, keys in manifest.log.custodians),
    }
    held: dict[str, str] = {}
    for role, keys in roles.items():
        for key in keys:
            if key.name in held:
                raise Refused("duplicate", f"the name {key.name} is among the {held[key.name]} already", role)
            held[key.name] = role


def check_agenda(manifest: Manifest) -> None:
    distinct(manifest.classes, "classes", lambda c: c.id)
    distinct(manifest.contests, "contests", lambda c: c.id)
    known = {c.id for c in manifest.classes}
    for i, contest in enumerate(manifest.contests):
        check_contest(manifest, contest, known, inside("contests", i))
    for i, share_class in enumerate(manifest.classes):
        if not manifest.contests_of(share_class.id):
            raise Refused("missing-contest", "this class votes on nothing", inside("classes", i))


def check_contest(manifest: Manifest, contest: Contest, known: set[str], path: str) -> None:
    for i, share_class in enumerate(contest.classes):
        if share_class not in known:
            raise Refused("unknown-roll", f"there is no class {share_class}", inside(inside(path, "classes"), i))
    if contest.form.form == "choose-one" and contest.form.limit != 1:
        raise Refused("out-of-range", "choose-one has limit 1", inside(path, "limit"))
    if contest.form.form == "choose-up-to" and contest.form.limit > len(contest.choices):
        raise Refused("out-of-range", "more may be chosen than there are choices", inside(path, "limit"))
    if manifest.votes_on(contest) >= TOTAL_BOUND:
        raise Refused("out-of-range", "votes per share times all votes must stay below 2^40", inside(path, "limit"))
    check_rule(contest, inside(path, "rule"))


def check_rule(contest: Contest, path: str) -> None:
    if contest.rule["name"] == "plurality":
        if contest.rule["seats"] > len(contest.choices):
            raise Refused("out-of-range", "more seats than choices", inside(path, "seats"))
        return
    numerator, denominator = contest.rule["threshold"]
    if not {"for", "against"} <= set(contest.choices):
        raise Refused("missing-field", "a majority is counted between the choices for and against", inside(path, "name"))
    if contest.form.form != "choose-one":
        raise Refused("syntax", "a majority is counted over choose-one", inside(path, "name"))
    if numerator > denominator:
        raise Refused("out-of-range", "the threshold is at most 1", inside(path, "threshold"))
