"""A file for third parties: what was claimed, in which election, and what the log said to it.

Three lines like an entry's, which nobody signs: each thing within bears its own signatures. If the log answers the
claim, the file holds the proof (C2SP tlog-proof) of that entry's place, which can be checked without any log. That the
log holds nothing can only be seen in the log: then the file holds the cosigned checkpoint up to which it was searched,
and any copy of at least that length shows it again. So it is with a ballot, and with the refusal of one, too: it is no
answer if it came after the close, which its place does not tell.
"""

from __future__ import annotations

from dataclasses import dataclass

from audit.dispute import Claim, Finding, Place, answers, log_time, open_claim
from audit.log.checkpoint import Checkpoint, open_note, parse_checkpoint
from audit.log.notes import Note, parse_note
from audit.log.proof import HEADER, Proof, parse_proof
from audit.log.reader import Head
from audit.protocol.canonical import canonical, parse_canonical
from audit.protocol.refused import Refused
from audit.receipts import open_recorded, with_kept_rekeys
from audit.record.manifest import Manifest, open_manifest
from audit.record.shapes import array, record, string

FIRST = "psephos/v1 evidence"
MAX_EVIDENCE = 1 << 21
"""Bytes: a manifest, a claim, and a proof with the entry that it proves."""
MEMBER = string(MAX_EVIDENCE)
MEMBERS = {"claim": MEMBER, "manifest": MEMBER, "rekeys": array(MEMBER), "shown": MEMBER}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Claim and manifest as they are signed; `shown`: the proof of the log's answer, or the checkpoint searched;
    `rekeys`: the proofs of all that changed a key below it, in the log's order; `refused`: the refused entry, if it
    was at hand.
    """

    claim: bytes
    manifest: bytes
    shown: Proof | Note
    rekeys: tuple[Proof, ...] = ()
    refused: bytes = b""

    @property
    def raw(self) -> bytes:
        """The file; `parse_evidence` gives this back."""
        members = {"claim": self.claim, "manifest": self.manifest, "shown": self.shown.raw}
        origin = self.manifest.split(b"\n", 2)[1].decode()
        members |= {"refused": self.refused} if self.refused else {}
        rekeys = [proof.raw.decode() for proof in self.rekeys]
        body = canonical({**{name: value.decode() for name, value in members.items()}, "rekeys": rekeys})
        return f"{FIRST}\n{origin}\n".encode() + body + b"\n"


def is_evidence(raw: bytes) -> bool:
    return raw.startswith(f"{FIRST}\n".encode())


def parse_evidence(raw: bytes) -> Evidence:
    """The evidence in a file, nothing in it verified. Refused `syntax`, or as `parse_canonical` and `parse_proof`."""
    lines = raw.split(b"\n")
    if not is_evidence(raw) or len(lines) != 4 or lines[3]:
        raise Refused("syntax", f"evidence is three lines, the first of them {FIRST}")
    body = parse_canonical(lines[2])
    shapes = {**MEMBERS, "refused": MEMBER} if isinstance(body, dict) and "refused" in body else MEMBERS
    fields = record(**shapes)(body, "")
    claim, manifest, shown = (fields[name].encode() for name in ("claim", "manifest", "shown"))
    if manifest.count(b"\n") < 2:
        raise Refused("syntax", "this manifest is no entry", "manifest")
    proves = shown.startswith(f"{HEADER}\n".encode())
    rekeys = tuple(parse_proof(text.encode()) for text in fields["rekeys"])
    refused = fields.get("refused", "").encode()
    evidence = Evidence(claim, manifest, parse_proof(shown) if proves else parse_note(shown), rekeys, refused)
    if evidence.raw != raw:
        raise Refused("not-canonical", "the evidence is not written the way this evidence would be")
    return evidence


def open_evidence(evidence: Evidence, pinned: bytes | None) -> tuple[Manifest, Claim, Checkpoint]:
    """What was claimed, and the checkpoint up to which the log was searched, their signatures verified. Refused as
    `open_manifest`, `open_claim`, `open_note`.
    """
    manifest = with_kept_rekeys(open_manifest(evidence.manifest, pinned)[0], evidence.rekeys)
    note = evidence.shown.note if isinstance(evidence.shown, Proof) else evidence.shown
    policy = manifest.at(parse_checkpoint(note.text).size).log
    return manifest, open_claim(evidence.claim, manifest), open_note(note, policy)


def proved(evidence: Evidence, pinned: bytes | None) -> Finding:
    """The log's answer, from the evidence alone: to an act of an office. Refused `missing-entry` if that cannot show
    it, `another-entry` if it proves one to another claim, and as `open_evidence` and `open_recorded`.
    """
    manifest, claim, checkpoint = open_evidence(evidence, pinned)
    if not isinstance(evidence.shown, Proof):
        text = "that the log holds neither the entry nor its refusal can only be seen in the log: give --election"
        raise Refused("missing-entry", text)
    shown = open_recorded(evidence.shown, manifest)
    found, head = Place(shown.index, shown.entry), Head(checkpoint, evidence.shown.note)
    time = log_time(head.note, manifest.at(head.size).log)
    if shown.entry.identity == claim.identity:
        kind, said = shown.entry.kind, "records"
        finding = Finding(claim, manifest, head, time, recorded=found)
    elif shown.entry.kind == "refusal" and answers(shown.entry, claim):
        kind, said = shown.entry.fields["kind"], "refuses"
        finding = Finding(claim, manifest, head, time, refusal=found)
    else:
        raise Refused("another-entry", f"entry {shown.index}, which this evidence proves, answers another claim")
    if kind == "ballot":
        text = f"that entry {shown.index} {said} this ballot before the close can only be seen in the log"
        raise Refused("missing-entry", f"{text}: give --election")
    return finding
