"""`psephos election`, `psephos mix` and `psephos trustee`: the offline commands of officials, mixers and trustees."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.manifest import Manifest, open_manifest, parse_manifest
from infra.card import Card, load_card
from infra.commands import group
from infra.desk import OTHERS_SECONDS, WAIT_HELP, open_desk
from infra.keys import read_signer
from tally.officials.acts import act_text, certificate, done, draft_or_perform, write_result
from tally.officials.agenda import manifest_text
from tally.officials.copy_commands import backup, restore
from tally.officials.draft import check_draft, expect_free, new_draft, read_draft, sign_draft, summary, write_new
from tally.officials.mixer import Mixer
from tally.officials.rekey import rekey
from tally.officials.restart import restart_word
from tally.officials.status import status
from tally.officials.trustee import Trustee

CardFile = Annotated[Path, typer.Option("--election", help="The election card.", metavar="CARD.toml")]
TO_CHECK = "The election card, to check who has signed; a manifest is checked without it."
ToCheck = Annotated[Path | None, typer.Option("--election", help=TO_CHECK, metavar="CARD.toml")]
DraftFile = Annotated[Path, typer.Argument(help="A draft, signed by some or none.", metavar="DRAFT")]
NewDraft = Annotated[Path | None, typer.Option("--draft", help="Write a draft for others to sign.", metavar="FILE")]
Keys = Annotated[list[Path] | None, typer.Option("--key", help="Sign with this key and submit; once per official.")]
TrusteeKey = Annotated[Path, typer.Option("--key", help="The trustee's private key.", metavar="FILE")]
MixerKey = Annotated[Path, typer.Option("--key", help="The mixer's private key.", metavar="FILE")]
MIXER_FOLDER = "Where signed entries are kept until they are recorded; no secret is."
MixerFolder = Annotated[Path, typer.Option("--state", help=MIXER_FOLDER, metavar="DIR")]
StateFolder = Annotated[Path, typer.Option("--state", help="Where this trustee keeps its secrets.", metavar="DIR")]
Overrule = Annotated[list[str] | None, typer.Option("--overrule", help="An intake whose account is set aside.")]
LookWait = Annotated[float, typer.Option("--wait", help="Seconds to wait for the log.", metavar="SECONDS")]
Wait = Annotated[float | None, typer.Option("--wait", help=WAIT_HELP, metavar="SECONDS")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register(app: typer.Typer) -> None:
    """Adds `mix`, and the groups `election` and `trustee`."""
    election = group(app, "election", "Creates an election and carries it through: acts of the officials.")
    for command in (create, show, sign, card, submit, open_, closing, close, certify, rekey, status_):
        election.command(command.__name__.rstrip("_"))(command)
    election.command("restart-word")(restart_word)
    app.command("mix")(mix)
    trustee = group(app, "trustee", "A trustee's part: making the key, and decrypting totals.")
    trustee.command("join")(join)
    trustee.command("decrypt")(decrypt)
    trustee.command("backup")(backup)
    trustee.command("restore")(restore)


def create(
    agenda: Annotated[Path, typer.Argument(help="Agenda, offices and keys.", metavar="AGENDA.toml")],
    out: Annotated[Path, typer.Option("--out", help="The draft to write.", metavar="DRAFT")],
) -> None:
    """Writes the manifest of a new election as a draft for the officials to sign; refuses an agenda naming all its
    faults.
    """
    # Drawn afresh, so that a rehearsal from the same agenda is another election and nothing of it can be replayed.
    draft = new_draft(out, manifest_text(agenda, os.urandom(16)))
    print(f"{out}: {parse_manifest(draft).officials.threshold} officials sign it")
    print(f"manifest {b64(draft.identity)}")


def show(draft: DraftFile, election: ToCheck = None, wait: LookWait = 10) -> None:
    """Prints what a draft says and who has signed it; refuses one with a signature that is not true."""
    entry = read_draft(draft)
    print("\n".join(summary(entry, check_draft(draft, entry, known_manifest(election, wait)))))


def sign(
    draft: DraftFile,
    key: Annotated[list[Path], typer.Option("--key", help="The official's private key.", metavar="FILE")],
    election: ToCheck = None,
    wait: LookWait = 10,
) -> None:
    """Adds an official's signature to a draft, and prints what it says; refuses one with a signature that is not true.
    """
    signers = [read_signer(path) for path in key]
    manifest = known_manifest(election, wait)
    entry = sign_draft(draft, signers, manifest)
    print("\n".join(summary(entry, check_draft(draft, entry, manifest))))


def known_manifest(election: Path | None, wait: float) -> Manifest | None:
    """The manifest of the election that this card names, from its log; None without a card."""
    if election is None:
        return None
    with open_desk(load_card(election), patience=wait) as desk:
        return desk.begin()


def card(
    draft: DraftFile,
    intake: Annotated[list[str], typer.Option("--intake", help="Base URL of an intake.", metavar="URL")],
    custodian: Annotated[list[str], typer.Option("--custodian", help="Base URL of a custodian.", metavar="URL")],
    out: Annotated[Path, typer.Option("--out", help="The card to write.", metavar="CARD.toml")],
) -> None:
    """Writes the election card for a manifest: what every client is given."""
    entry = read_draft(draft)
    check_draft(draft, entry, None)
    manifest = parse_manifest(entry)
    try:
        made = Card(manifest.origin, manifest.hash, tuple(intake), tuple(custodian))
    except ValueError as error:
        raise Refused("syntax", str(error)) from None
    write_new(out, made.to_toml().encode())
    print(f"{out}: {manifest.origin}, manifest {b64(manifest.hash)}")


def submit(draft: DraftFile, election: CardFile, wait: Wait = None) -> None:
    """Hands a signed draft in and returns once it is recorded."""
    entry = read_draft(draft)
    if not entry.signatures:
        raise Refused("wrong-signers", f"{draft}: nobody has signed this draft")
    where = load_card(election)
    if entry.kind == "manifest":
        open_manifest(entry.raw, where.manifest)
    with open_desk(where, patience=wait) as desk:
        if entry.kind != "manifest":
            desk.begin()
        desk.record(entry.raw)
    print(f"{entry.kind} is recorded")


def open_(election: CardFile, draft: NewDraft = None, key: Keys = None, wait: Wait = None) -> None:
    """Opens the vote, once the trustees' key and the signed rolls are complete."""
    _act("open", election, draft, key, wait)


def closing(election: CardFile, draft: NewDraft = None, key: Keys = None, wait: Wait = None) -> None:
    """Announces the close: intakes take no more ballots and say what they passed on."""
    _act("closing", election, draft, key, wait)


def close(
    election: CardFile,
    overrule: Overrule = None,
    draft: NewDraft = None,
    key: Keys = None,
    wait: Wait = None,
) -> None:
    """Closes the vote, once the log holds all ballots that the intakes passed on."""
    _act("close", election, draft, key, wait, overruled=sorted(overrule or []))


def certify(
    election: CardFile,
    result: Annotated[Path | None, typer.Option("--result", help="Write the result as JSON.", metavar="FILE")] = None,
    draft: NewDraft = None,
    key: Keys = None,
    wait: Wait = None,
) -> None:
    """Certifies the result that the log shows, once enough trustees have decrypted."""
    _expect_one(draft, key)
    with open_desk(load_card(election), patience=wait) as desk:
        desk.begin()
        if result is not None and not done(desk.election, "certify"):
            # Before anything is certified, which nobody can undo.
            expect_free(result)
        found = certificate(desk)
        if done(desk.election, "certify"):
            print("certify is recorded already")
        else:
            signers = [read_signer(path) for path in key or []]
            print(draft_or_perform(desk, lambda: act_text(desk, "certify", result=found), draft, signers))
    if result is not None:
        write_result(result, found)
        print(f"{result}: {found['present']} votes present, {found['ballots']} ballots")
        if "withheld" in found:
            print(f"withheld: {', '.join(found['withheld'])}")


def status_(election: CardFile, as_json: AsJson = False, wait: LookWait = 10) -> None:
    """Says where the election stands and whose turn it is."""
    with open_desk(load_card(election), patience=wait) as desk:
        desk.begin()
        found = status(desk.election)
    if as_json:
        print(json.dumps(found, sort_keys=True))
        return
    print(f"{found['phase']}: {found['entries']} entries, {found['ballots']} ballots, {found['refusals']} refusals")
    for sentence in found["waiting_for"]:
        print(f"waiting for {sentence}")


def mix(election: CardFile, key: MixerKey, state: MixerFolder, wait: Wait = None) -> None:
    """Mixes every roll when it is this mixer's turn: nobody can tell any more whose row is whose. May be stopped and
    started again."""
    with open_desk(load_card(election), patience=wait, others=OTHERS_SECONDS) as desk:
        desk.begin()
        Mixer(desk, read_signer(key), state).mix(print)
        for roll in desk.election.rolls.values():
            if len(roll.rows) < desk.manifest.minimum_roll:
                text = f"the roll of {roll.share_class} has {len(roll.rows)} rows, and is not anonymous"
                print(f"psephos: {text}: the manifest's minimum is {desk.manifest.minimum_roll}", file=sys.stderr)


def join(election: CardFile, key: TrusteeKey, state: StateFolder, wait: Wait = None) -> None:
    """Takes part in the key ceremony until the key is complete; may be stopped and started again."""
    with open_desk(load_card(election), patience=wait, others=OTHERS_SECONDS) as desk:
        desk.begin()
        share = Trustee(desk, read_signer(key), state).join(print)
        print(f"the key is complete: {b64(share.Y.raw)}; {state / 'share'} holds share {share.j}")


def decrypt(election: CardFile, key: TrusteeKey, state: StateFolder, wait: Wait = None) -> None:
    """Verifies the whole log, every ballot's proofs included, and answers once for its totals."""
    with open_desk(load_card(election), patience=wait, others=OTHERS_SECONDS) as desk:
        desk.begin()
        new = Trustee(desk, read_signer(key), state).decrypt()
        print("decrypt is recorded" if new else "decrypt is recorded already")


def _act(kind: str, election: Path, draft: Path | None, key: Keys, wait: float | None, **fields: list[str]) -> None:
    _expect_one(draft, key)
    signers = [read_signer(path) for path in key or []]
    with open_desk(load_card(election), patience=wait) as desk:
        desk.begin()
        if done(desk.election, kind):
            print(f"{kind} is recorded already")
            return
        print(draft_or_perform(desk, lambda: act_text(desk, kind, **fields), draft, signers))


def _expect_one(draft: Path | None, key: list[Path] | None) -> None:
    if (draft is None) == (not key):
        raise typer.BadParameter("give either --draft, for others to sign, or --key for each official who signs")
