"""Mixing: every mixer that the manifest names mixes every roll once, in the manifest's order, before the vote opens.

What a mixer can do wrong is refused by its name: out of turn, twice, another list than the last, rows too many or too
few, and anything else by the proof. `admit_mix` sees all but the proof; `check_mix` verifies that, on all cores, when
the last chunk has come. The order of things before the opening is: a roll is complete, its other issuers and the
inspectors sign it, it is mixed; so nobody mixes what nobody has compared with the register, and once a mix has begun
the roll is not issued again.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from audit.protocol.group import ELEMENT_SIZE
from audit.protocol.refused import MixerFault, Refused
from audit.protocol.roll import anonymous_roll_hash
from audit.protocol.shuffle import verify_shuffle
from audit.protocol.shuffle_rows import ROW_SIZE
from audit.protocol.shuffle_statement import Place
from audit.record.admission import signer_of
from audit.record.entries import Entry
from audit.record.manifest import Manifest
from audit.record.mixes import MOST_ATTEMPTS, MixAssembly, MixedRows, RollRows, expect_even, row_in, rows_in
from audit.record.opening import Span
from audit.record.rolls import Roll
from audit.record.seen import Seen

if TYPE_CHECKING:
    from audit.record.election import Election


class Mixed(NamedTuple):
    """What a chunk of this identity leads to: the mix so far, and once it is complete its rows and the new list."""

    identity: bytes
    former: Roll
    assembly: MixAssembly
    rows: MixedRows
    roll: Roll | None


def next_mixer(manifest: Manifest, roll: Roll) -> str | None:
    """Whose turn it is to mix this roll; None once every mixer has."""
    done = len(roll.mixers)
    return manifest.mixers[done].name if done < len(manifest.mixers) else None


def unsigned_by(election: Election, share_class: str) -> Iterator[str]:
    """Who has yet to compare the roll with the register and sign it."""
    for key in election.manifest.issuers[1:] + election.manifest.inspectors:
        if (share_class, key.name) not in election.roll_signatures:
            yield key.name


def expect_signed(election: Election, share_class: str) -> None:
    for name in unsigned_by(election, share_class):
        raise Refused("not-complete", f"{name} has not signed the roll of {share_class}")


def expect_unmixed(election: Election, share_class: str) -> None:
    """Refuses to issue a roll again once a chunk of a mix of it is in the log: the same numbers are sent again then."""
    roll, begun = election.rolls.get(share_class), election.mixings.get(share_class)
    if begun is not None or (roll is not None and roll.mixers):
        name = begun.mixer if begun is not None else roll.mixers[0] if roll is not None else ""
        raise Refused("mixed", f"{name} has begun to mix the roll of {share_class}: it is not issued again", "class")


def admit_mix(election: Election, entry: Entry, seen: Seen) -> None:
    """A chunk joins its whole: by the mixer whose turn it is, of the last list, which all who must have signed. The
    proof is not looked at."""
    mixer, share_class = signer_of(entry), entry.fields["class"]
    roll = election.roll(share_class)
    expect_turn(election.manifest, roll, mixer)
    expect_signed(election, share_class)
    if entry.fields["before"] != roll.hash:
        text = f"{mixer} has mixed another list than the last one of {share_class}"
        raise MixerFault(mixer, "another-list", text, "before")
    assembly_for(election, entry).check(entry.body)
    part = entry.fields["part"]
    try:
        rows = rows_in(entry.fields["rows"])
        expect_even(len(roll.rows), entry.fields["first"], part["index"], part["of"], rows)
    except Refused as refusal:
        raise MixerFault(mixer, refusal.reason, f"{mixer}: {refusal.detail}", refusal.field) from None
    look_ahead(election, entry)


def expect_turn(manifest: Manifest, roll: Roll, mixer: str) -> None:
    if mixer in roll.mixers:
        text = f"{mixer} has mixed the roll of {roll.share_class}, and mixes it once"
        raise MixerFault(mixer, "duplicate", text, "class")
    due = next_mixer(manifest, roll)
    if mixer != due:
        text = f"it is the turn of {due} to mix the roll of {roll.share_class}, not of {mixer}"
        raise MixerFault(mixer, "wrong-turn", text, "signer")


def assembly_for(election: Election, entry: Entry) -> MixAssembly:
    """What the chunk joins: the mix begun, or a new one. The next attempt begins anew: for a mixer that has lost what
    it was handing in, or has handed in what its proof does not show. Attempts are counted, so that none is the last
    for which there is room.
    """
    begun, attempt = election.mixings.get(entry.fields["class"]), entry.fields["attempt"]
    if begun is not None and attempt == begun.attempt:
        return begun
    due = 0 if begun is None else begun.attempt + 1
    if attempt != due or attempt >= MOST_ATTEMPTS:
        mixer = signer_of(entry)
        text = f"attempt {attempt} of {mixer} does not follow: next would be {due}, and the last is {MOST_ATTEMPTS - 1}"
        raise MixerFault(mixer, "wrong-attempt", text, "attempt")
    return MixAssembly()


def look_ahead(election: Election, entry: Entry) -> Mixed:
    """What this chunk would lead to; that of the last chunk looked at is kept, for joining a large mix is long work."""
    kept, former = election.mixed, election.roll(entry.fields["class"])
    if kept is None or kept.identity != entry.identity or kept.former is not former:
        assembly = assembly_for(election, entry).with_chunk(entry.body, entry.fields["rows"])
        rows, roll = MixedRows(()), None
        if assembly.complete:
            rows = assembly.mixed(len(former.rows))
            roll = new_list(election, former, entry, rows)
        kept = election.mixed = Mixed(entry.identity, former, assembly, rows, roll)
    return kept


def new_list(election: Election, former: Roll, entry: Entry, rows: MixedRows) -> Roll:
    """The roll after the mix. MixerFault if a key stands on another class's roll: revisions count under it alone."""
    mixer, generator = signer_of(entry), entry.fields["generator"]
    mixed = {row[:ELEMENT_SIZE]: row[ELEMENT_SIZE:ROW_SIZE] for row in rows.lines()}
    for other in election.rolls.values():
        if other.share_class != former.share_class and not mixed.keys().isdisjoint(other.rows):
            text = f"{mixer} gives a row a key that stands on the roll of {other.share_class} too"
            raise MixerFault(mixer, "duplicate", text, "rows")
    return replace(
        former,
        hash=anonymous_roll_hash(generator, (row_in(row) for row in rows.lines())),
        generator=generator,
        rows=mixed,
        mixers=(*former.mixers, mixer),
    )


def check_mix(election: Election, entry: Entry) -> None:
    """Verifies the proof of the mix that this chunk, admitted but for that, completes; of any other there is nothing to
    check yet. MixerFault unless it holds."""
    ahead = look_ahead(election, entry)
    if ahead.roll is None:
        return
    former, mixer = election.roll(entry.fields["class"]), signer_of(entry)
    place = place_of(election, former, mixer)
    try:
        with workers(election) as executor:
            generator, proof = entry.fields["generator"], entry.fields["proof"]
            verify_shuffle(place, generator, proof, RollRows.of(former), ahead.rows, executor)
    except Refused as refusal:
        raise MixerFault(mixer, refusal.reason, refusal.detail, refusal.field) from None


def place_of(election: Election, former: Roll, mixer: str) -> Place:
    """What a mix of this list by this mixer is bound to."""
    k = len(former.mixers) + 1
    return Place(election.context, former.share_class, mixer, k, former.generator, len(former.rows))


@contextmanager
def workers(election: Election) -> Iterator[Executor]:
    """What checks proofs: the executor that the election was given, or a thread."""
    if election.executor is not None:
        yield election.executor
        return
    with ThreadPoolExecutor(1) as one:
        yield one


def apply_mix(election: Election, entry: Entry) -> None:
    share_class, ahead = entry.fields["class"], look_ahead(election, entry)
    # With the first chunk of every attempt the span begins anew, whatever hash it names: between `first` and `last`
    # there must be no chunk of this mixer and class but of the one attempt that its proof holds for.
    index = election.size - 1
    span = election.spans.get(share_class)
    if span is None or len(ahead.assembly.parts) == 1:
        span = Span(ahead.assembly.hash, index, index)
    election.spans[share_class] = span._replace(last=index)
    if ahead.roll is None:
        election.mixings[share_class] = ahead.assembly
    else:
        election.rolls[share_class] = ahead.roll
        election.mixings.pop(share_class, None)
    # Its rows are in the roll now; nothing of the mix is held any longer.
    election.mixed = None
