"""The share register frozen for the record date: a note over what decides who votes with how much, signed by the issuer
or inspector who keeps this copy.

Nothing is issued and no roll is signed from a register that is not, to the last share, the one its keeper froze. What
is frozen are accounts, holders, groups, nominees, classes and shares; a name or an address may still be mended, and an
issuer needs only those it writes to. The note is no entry of the log and is not published: it stands beside the
register until that is destroyed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from audit.log.keys import Signer
from audit.protocol.canonical import canonical
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.election import check_binding
from audit.record.entries import Entry, check_lines, make_text, parse_entry, seal
from audit.record.manifest import Manifest
from infra.table import Row
from intake.register.holdings import Register, in_shares

FROZEN = ("account_id", "class", "group_id", "holder_id", "nominee_parent", "shares")


def register_hash(rows: Iterable[Row]) -> bytes:
    """SHA-256 over a label and the rows, each as a line of canonical JSON, in the order of accounts (32 bytes)."""
    digest = hashlib.sha256(b"psephos/v1 register\n")
    for row in sorted(rows, key=lambda row: str(row["account_id"])):
        digest.update(canonical({name: row[name] for name in FROZEN}) + b"\n")
    return digest.digest()


def expect_keeper(manifest: Manifest, signer: Signer) -> None:
    """Refused `wrong-signers` unless the signer is an issuer or inspector of this election."""
    if signer.verifier not in manifest.issuers + manifest.inspectors:
        text = f"{signer.name}, with this key, is neither an issuer nor an inspector of this election"
        raise Refused("wrong-signers", text)


def snapshot(manifest: Manifest, register: Register, signer: Signer) -> bytes:
    """The note that freezes the register. Refused `wrong-signers`; `missing-field` for a manifest without a record
    date.
    """
    expect_keeper(manifest, signer)
    if not manifest.times["record_date"]:
        raise Refused("missing-field", "the manifest names no record date", "times.record_date")
    return seal(make_text("snapshot", manifest.origin, _body(manifest, register, signer.name)), [signer])


def expect_frozen(path: Path, manifest: Manifest, register: Register, signer: Signer) -> Entry:
    """The snapshot in the file at `path`, which this signer signed over this register.

    OSError; Refused as `parse_entry`; `another-election`; `wrong-signers`; `another-register`, saying what differs.
    """
    expect_keeper(manifest, signer)
    try:
        entry = parse_entry(path.read_bytes())
        if entry.kind != "snapshot":
            raise Refused("unknown-kind", f"is of type {entry.kind}, not a snapshot of a register", "type")
        check_binding(manifest.origin, manifest.hash, entry)
        check_lines(entry, [signer.verifier], 1, 1, f"{signer.name} alone, who keeps this copy")
    except Refused as refusal:
        raise Refused(refusal.reason, f"{path}: {refusal.detail}", refusal.field) from None
    now = _body(manifest, register, signer.name)
    if entry.body != now:
        text = f"{register.path} is not the register that {signer.name} froze in {path}"
        raise Refused("another-register", f"{text}: {'; '.join(_differences(entry.body, now))}")
    return entry


def lines(manifest: Manifest, register: Register) -> list[str]:
    """What is frozen, a line for each class."""
    said = []
    for total in register.totals:
        own = f", {in_shares(total.treasury, manifest.decimals)} of them the company's own" if total.treasury else ""
        held = f"{total.accounts} accounts hold {in_shares(total.shares, manifest.decimals)} shares{own}"
        said.append(f"{total.id}: {held}; {total.voting} vote, with {total.votes} votes")
    return said


def _body(manifest: Manifest, register: Register, signer: str) -> dict[str, Any]:
    return {
        "classes": [asdict(total) for total in register.totals],
        "manifest": b64(manifest.hash),
        "record_date": manifest.times["record_date"],
        "register": b64(register_hash(register.rows)),
        "signer": signer,
    }


def _differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    known = {total["id"]: total for total in then["classes"]}
    return [
        f"{total['id']} had {known.get(total['id'], {}).get(name, 0)} {name}, now {total[name]}"
        for total in now["classes"]
        for name in total
        if name != "id" and known.get(total["id"], {}).get(name, 0) != total[name]
    ] or ["as many accounts and shares in all, held otherwise"]
