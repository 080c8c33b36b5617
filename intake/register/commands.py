"""`psephos register`: what the issuers of control numbers, and the inspector, do offline with the share register."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from audit.protocol.group import b64, wide_scalar
from audit.protocol.refused import Refused
from audit.record.entries import make_text, seal
from audit.record.manifest import Manifest
from audit.record.notices import DESTROYED
from infra.card import load_card
from infra.commands import group
from infra.desk import OTHERS_SECONDS, WAIT_HELP, Desk, open_desk, stored
from infra.keys import read_signer, write_secret
from infra.progress import bar
from infra.sealed import lock_for, new_key_file
from intake.register import letters_commands, mail_commands, privacy
from intake.register.destroying import destroy_files, expect_files
from intake.register.freezing import expect_frozen, expect_keeper, lines, register_hash
from intake.register.freezing import snapshot as make_snapshot
from intake.register.holdings import open_register
from intake.register.issuing import Issuer, check_weights, expect_issuer, signature_text, unframe_entries
from intake.register.numbers import Number, drawn_for, numbers_of, read_lost, read_numbers, renewed
from intake.register.openings import Opening, classes_of, read_openings, write_openings
from intake.register.recorded import expect_first_half, expect_own_half, expect_unpublished
from intake.register.reissuing import due_revision, expect_same_lost, next_revision, revisions_of

CardFile = Annotated[Path, typer.Option("--election", help="The election card.", metavar="CARD.toml")]
KeyFile = Annotated[Path, typer.Option("--key", help="The signer's private key.", metavar="FILE")]
RegisterFile = Annotated[Path, typer.Option("--register", help="The signer's own share register.", metavar="FILE.csv")]
SNAPSHOT_HELP = "The note by which the signer froze this register."
Snapshot = Annotated[Path, typer.Option("--snapshot", help=SNAPSHOT_HELP, metavar="FILE")]
OPENINGS_HELP = "Rows and weights, sealed: the first issuer writes them, the others read them."
Openings = Annotated[Path, typer.Option("--openings", help=OPENINGS_HELP, metavar="FILE")]
NUMBERS_HELP = "This issuer's control numbers, sealed, to be kept."
Numbers = Annotated[Path, typer.Option("--numbers", help=NUMBERS_HELP, metavar="FILE")]
OWN_HELP = "An issuer's control numbers, as they are after the last issue; an inspector has none."
OwnNumbers = Annotated[Path | None, typer.Option("--numbers", help=OWN_HELP, metavar="FILE")]
ANEW_HELP = "The first issuer begins the next revision of every roll, with numbers and openings in other files."
UNLOCK_HELP = "A file with the passphrase or key that seals the numbers; asked for at the terminal if not given."
Unlock = Annotated[Path | None, typer.Option("--unlock", help=UNLOCK_HELP, metavar="FILE")]
SHARED_HELP = "The same for the openings; whoever reads them needs it, so it is not that of the numbers."
OpeningsUnlock = Annotated[Path | None, typer.Option("--openings-unlock", help=SHARED_HELP, metavar="FILE")]
Wait = Annotated[float | None, typer.Option("--wait", help=WAIT_HELP, metavar="SECONDS")]


def register(app: typer.Typer) -> None:
    """Adds the group `register`."""
    register_group = group(app, "register", "The share register becomes control numbers and the public roll.")
    for command in (freeze, issue, sign, reissue, destroy):
        register_group.command(command.__name__)(command)
    register_group.command("new-lock")(new_lock)
    letters_commands.register(register_group)
    mail_commands.register(register_group)
    privacy.register(app)


def freeze(
    election: CardFile,
    key: KeyFile,
    register: RegisterFile,
    out: Annotated[Path, typer.Option("--out", help="The snapshot to write.", metavar="FILE")],
    wait: Wait = None,
) -> None:
    """Freezes the signer's own register for the record date; only from this one is issued and signed afterwards."""
    signer = read_signer(key)
    with open_desk(load_card(election), patience=wait, others=OTHERS_SECONDS) as desk:
        manifest = desk.begin()
        expect_keeper(manifest, signer)
        kept = open_register(register, manifest)
        write_secret(out, make_snapshot(manifest, kept, signer))
        print(f"{signer.name} has frozen {register} for {manifest.times['record_date']}:")
        print("\n".join(f"  {line}" for line in lines(manifest, kept)))
        print(f"  {b64(register_hash(kept.rows))}")


def issue(
    election: CardFile,
    key: KeyFile,
    register: RegisterFile,
    snapshot: Snapshot,
    numbers: Numbers,
    openings: Openings,
    unlock: Unlock = None,
    openings_unlock: OpeningsUnlock = None,
    anew: Annotated[bool, typer.Option("--anew", help=ANEW_HELP)] = False,
    wait: Wait = None,
) -> None:
    """Draws this issuer's control numbers and publishes its half of the roll; may be stopped and started again.

    The first issuer of the manifest also draws the order of rows, encrypts the weights, and writes the openings for the
    others, who wait for its half and compare.
    """
    signer = read_signer(key)
    own, shared = lock_for(numbers, unlock), lock_for(openings, openings_unlock)
    with open_desk(load_card(election), patience=wait, others=OTHERS_SECONDS) as desk:
        manifest = desk.begin()
        warn_if_alone(manifest)
        expect_issuer(manifest, signer)
        kept = open_register(register, manifest)
        expect_frozen(snapshot, manifest, kept, signer)
        wait_for_key(desk)
        first = manifest.issuers[0]
        opened: list[Opening] = []
        if signer.verifier != first:
            if anew:
                raise Refused("wrong-signers", f"it is the first issuer, {first.name}, who begins the next revision")
            opened = read_openings(openings, shared, kept.accounts, first.name)
            revisions = classes_of(opened)
        elif numbers.exists():
            # Of a half that was begun before, the file has the revisions.
            revisions = drawn_for(read_numbers(numbers, own, kept.accounts), kept.accounts)
        elif anew and openings.exists():
            raise Refused("another-roll", f"{openings} opens the revision before: with --anew, name another file")
        else:
            revisions = {c.id: due_revision(desk.election, c.id, signer.name) if anew else 0 for c in manifest.classes}
        issuer = Issuer.at(desk.election, signer, {c.id: revisions.get(c.id, 0) for c in manifest.classes})
        if not entries_of(numbers).exists():
            expect_unpublished(desk.election, signer.name, issuer.revisions)
        if not issuer.first:
            expect_revisions(openings, opened, issuer.revisions)
            check_first_half(desk, opened, issuer.revisions)
        drawn = numbers_of(numbers, own, kept.accounts, issuer.revisions, os.urandom)
        if drawn_for(drawn, kept.accounts) != issuer.revisions:
            raise Refused("another-roll", f"{numbers} holds numbers for another revision than {openings} opens")
        if issuer.first and not openings.exists():
            rows = issuer.openings(kept.accounts, drawn, secrets.SystemRandom().shuffle)
            write_openings(openings, shared, rows)
        if issuer.first:
            opened = read_openings(openings, shared, kept.accounts, first.name)
            expect_revisions(openings, opened, issuer.revisions)
        publish(desk, issuer, opened, drawn, numbers)


def reissue(
    election: CardFile,
    key: KeyFile,
    register: RegisterFile,
    snapshot: Snapshot,
    lost: Annotated[Path, typer.Option("--lost", help="The accounts, an id a line.", metavar="FILE")],
    numbers: Numbers,
    new_numbers: Annotated[Path, typer.Option("--new-numbers", help="The numbers after it, sealed.", metavar="FILE")],
    openings: Openings,
    unlock: Unlock = None,
    openings_unlock: OpeningsUnlock = None,
    wait: Wait = None,
) -> None:
    """Draws new numbers for accounts that lost theirs, and publishes the rolls of their classes again; before mixing.

    Every issuer does so, the first one first; then all who have to sign the rolls sign them again. `--openings` is
    another file than the one before.
    """
    signer = read_signer(key)
    own, shared = lock_for(numbers, unlock), lock_for(openings, openings_unlock)
    with open_desk(load_card(election), patience=wait, others=OTHERS_SECONDS) as desk:
        manifest = desk.begin()
        warn_if_alone(manifest)
        expect_issuer(manifest, signer)
        kept = open_register(register, manifest)
        expect_frozen(snapshot, manifest, kept, signer)
        former = read_numbers(numbers, own, kept.accounts)
        classes = {account.id: account.share_class for account in kept.accounts}
        gone = read_lost(lost, kept.accounts)
        # Of a reissue that was begun before, the file has the revisions.
        revisions = dict.fromkeys(gone, 0)
        if not new_numbers.exists():
            revisions = {id: next_revision(desk.election, classes[id], signer.name) for id in gone}
        drawn = renewed(new_numbers, own, kept.accounts, former, revisions, os.urandom)
        issuer = Issuer.at(desk.election, signer, revisions_of(gone, drawn, classes))
        if issuer.first and not openings.exists():
            rows = issuer.openings(kept.accounts, drawn, secrets.SystemRandom().shuffle)
            write_openings(openings, shared, rows)
        opened = read_openings(openings, shared, kept.accounts, manifest.issuers[0].name)
        expect_same_lost(openings, opened, gone, issuer.revisions)
        if not entries_of(new_numbers).exists():
            expect_unpublished(desk.election, signer.name, issuer.revisions)
        if not issuer.first:
            check_first_half(desk, opened, issuer.revisions)
        publish(desk, issuer, opened, drawn, new_numbers)
        print(f"new numbers are in {new_numbers} for {len(gone)} accounts, all others have theirs as before")


def publish(
    desk: Desk, issuer: Issuer, opened: Sequence[Opening], drawn: Mapping[str, Number], numbers: Path
) -> None:
    """Hands in the issuer's half, made once and kept beside its numbers."""

    def make() -> bytes:
        with bar("rows", len(opened)) as progress:
            return issuer.entries(opened, drawn, lambda: wide_scalar(os.urandom(64)), progress.advance)

    raws = list(unframe_entries(stored(entries_of(numbers), make)))
    issuer.expect_own(raws, opened, drawn)
    desk.record(*raws)
    name = issuer.signer.name
    print(f"{name}'s half of the roll is recorded: {len(opened)} accounts, {len(raws)} entries")


def sign(
    election: CardFile,
    key: KeyFile,
    register: RegisterFile,
    snapshot: Snapshot,
    openings: Openings,
    openings_unlock: OpeningsUnlock = None,
    numbers: OwnNumbers = None,
    unlock: Unlock = None,
    wait: Wait = None,
) -> None:
    """Recomputes every weight on the roll from the signer's own register, and signs the roll if all are right. An
    issuer gives its control numbers too: its own half, row by row, must be for them.
    """
    signer = read_signer(key)
    shared = lock_for(openings, openings_unlock)
    own = lock_for(numbers, unlock) if numbers is not None else None
    with open_desk(load_card(election), patience=wait, others=OTHERS_SECONDS) as desk:
        manifest = desk.begin()
        if signer.verifier not in manifest.issuers[1:] + manifest.inspectors:
            text = f"{signer.name}, with this key, is neither a further issuer nor an inspector of this election"
            raise Refused("wrong-signers", text)
        kept = open_register(register, manifest)
        expect_frozen(snapshot, manifest, kept, signer)
        if (signer.verifier in manifest.issuers) != (numbers is not None):
            text = "an issuer gives --numbers, as they are after the last issue; an inspector has none"
            raise Refused("missing-field", text)
        first = manifest.issuers[0].name
        opened = read_openings(openings, shared, kept.accounts, first)
        drawn = read_numbers(numbers, own, kept.accounts) if numbers is not None and own is not None else {}
        revisions = classes_of(opened)
        wait_for_key(desk)
        wait_for_rolls(desk, revisions)
        raws: list[bytes] = []
        left: list[str] = []
        with bar("rows", len(opened)) as progress:
            for share_class in (c.id for c in manifest.classes):
                if (share_class, signer.name) in desk.election.roll_signatures:
                    continue
                if share_class not in revisions:
                    left.append(f"{first} has not opened the roll of {share_class} in {openings}")
                    continue
                roll = desk.election.roll(share_class)
                if roll.revision != revisions[share_class]:
                    text = f"{openings} opens the roll of {share_class} with revision {revisions[share_class]}"
                    left.append(f"{text}; it is published with revision {roll.revision}")
                    continue
                weights = roll.rows.values()
                check_weights(share_class, weights, opened, desk.election.context, first, progress.advance)
                if drawn:
                    issuer = Issuer.at(desk.election, signer, {share_class: roll.revision})
                    expect_own_half(desk, issuer, opened, drawn)
                raws.append(seal(signature_text(manifest, roll, signer.name), [signer]))
        desk.record(*raws)
        print(f"{signer.name} has signed {len(raws)} rolls: all accounts hold on them what they hold in {register}")
        if left:
            raise Refused("not-complete", f"not signed: {'; '.join(left)}")


def destroy(
    election: CardFile,
    key: KeyFile,
    files: Annotated[list[Path] | None, typer.Argument(help="Files, and folders of files.", metavar="FILE...")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: Wait = None,
) -> None:
    """Removes register, numbers, openings, letters and what unlocks them, and says so in the log; once the result is
    certified. The signer's key is not touched. What is needed to verify the election is all in the log. Stopped between
    the two, run it again with the files that are left; without any, it only hands in the notice.
    """
    signer = read_signer(key)
    with open_desk(load_card(election), patience=wait, others=OTHERS_SECONDS) as desk:
        manifest = desk.begin()
        expect_issuer(manifest, signer)
        text = f"{signer.name} has destroyed its share register, its control numbers and what opens the roll."
        body = {"manifest": b64(manifest.hash), "signer": signer.name, "subject": DESTROYED, "text": text}
        raw = seal(make_text("notice", manifest.origin, body), [signer])
        if desk.election.phase != "certified":
            text = f"a register is kept until the result is certified; the election is {desk.election.phase} now"
            raise Refused("wrong-phase", text)
        found = expect_files(files or [])
        if key.resolve() in {path.resolve() for path in found}:
            raise Refused("another-entry", f"{key} signs the notice: remove it yourself afterwards")
        print("\n".join(str(path) for path in found))
        if not yes and not typer.confirm(f"Destroy these {len(found)} files for good?"):
            raise typer.Exit(1)
        destroy_files(found, files or [])
        print(f"{len(found)} files are overwritten and removed")
        warning = "an SSD, a copy-on-write file system, snapshots and backups may hold what was overwritten"
        print(f"psephos: {warning}: see to those yourself", file=sys.stderr)
        desk.record(raw)
        print(f"{signer.name}'s notice is recorded")


def new_lock(out: Annotated[Path, typer.Argument(help="The key file to write.", metavar="FILE")]) -> None:
    """Draws a key for --unlock: a file to keep elsewhere than what it seals."""
    new_key_file(out)
    print(f"{out} seals what it is given for; without it nobody reads that, you included")


def entries_of(numbers: Path) -> Path:
    """Where the entries made from these numbers are kept."""
    return numbers.with_name(f"{numbers.name}.entries")


def expect_revisions(path: Path, opened: Sequence[Opening], revisions: Mapping[str, int]) -> None:
    """Refuses openings of other rolls than all of these."""
    if classes_of(opened) != revisions:
        wanted = ", ".join(f"{name} with revision {revision}" for name, revision in revisions.items())
        raise Refused("another-roll", f"{path} does not open the rolls of all classes: {wanted}")


def check_first_half(desk: Desk, opened: Sequence[Opening], revisions: Mapping[str, int]) -> None:
    """Compares the openings with what the first issuer has published, before anything is made from them."""
    with bar("weights", len(opened)) as progress:
        expect_first_half(desk, opened, revisions, progress.advance)


def wait_for_key(desk: Desk) -> None:
    desk.wait_for(lambda: desk.election.ceremony.complete, lambda: "; ".join(desk.election.ceremony.waiting_for()))


def wait_for_rolls(desk: Desk, revisions: Mapping[str, int]) -> None:
    """Until the rolls of these classes are complete with these revisions, or later ones."""

    def missing() -> list[str]:
        rolls = desk.election.rolls
        return [name for name, revision in revisions.items() if name not in rolls or rolls[name].revision < revision]

    desk.wait_for(lambda: not missing(), lambda: f"all issuers to publish the roll of {', '.join(missing())}")


def warn_if_alone(manifest: Manifest) -> None:
    """Said at every step, because it is the issuer that voters then have to trust."""
    if len(manifest.issuers) == 1:
        name = manifest.issuers[0].name
        print(f"psephos: {name} is the only issuer: it alone can vote for, and trace, every account", file=sys.stderr)
