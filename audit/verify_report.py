"""What a verification found, in words and as JSON: the result, what was checked, and what had to be trusted.

A proof that hides its assumptions is no use to a shareholder, so the report names everything that the log itself cannot
show, for this election as its manifest set it up: who together could trace a pseudonym, open a ballot or vote for
others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from audit.log.treehead import Checkpoint
from audit.protocol.group import b64
from audit.record.election import Election
from audit.record.manifest import Manifest, Rekey
from audit.record.mixing import next_mixer
from audit.record.notices import DESTROYED
from audit.record.rolls import Roll


class Refusal(NamedTuple):
    """What the log says of an entry that it refused: whose line it bore, if it was a ballot, its kind, and why."""

    intake: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Report:
    """A record that holds. `custodians` have cosigned its head; `kinds` counts entries, `refusals` those refused;
    `result` may still be missing. `source` is where it was read, `compared` those that show no rekey beyond its own.
    """

    election: Election
    pinned: bool
    head: Checkpoint
    custodians: tuple[str, ...]
    kinds: Mapping[str, int]
    refusals: Mapping[Refusal, int]
    superseded: int
    result: Mapping[str, Any] | None
    source: str
    compared: tuple[str, ...]

    @property
    def manifest(self) -> Manifest:
        return self.election.manifest

    @property
    def certified(self) -> bool:
        return self.election.phase == "certified"

    @property
    def mixers(self) -> tuple[str, ...]:
        """Those who have mixed every roll, in the order in which they have."""
        rolls = self.election.rolls
        if len(rolls) < len(self.manifest.classes):
            return ()
        return min((roll.mixers for roll in rolls.values()), key=len)

    def is_anonymous(self, roll: Roll) -> bool:
        """Whether the roll hides anybody: it is mixed by all who are to mix it, and has the manifest's minimum of
        rows."""
        mixed = bool(roll.mixers) and next_mixer(self.manifest, roll) is None
        return mixed and len(roll.rows) >= self.manifest.minimum_roll

    def to_json(self) -> dict[str, Any]:
        """For machines: everything but the sentences on what was checked, which are the same for all records."""
        return {
            "verified": True,
            "origin": self.manifest.origin,
            "manifest": b64(self.manifest.hash),
            "pinned": self.pinned,
            "compared": list(self.compared),
            "size": self.head.size,
            "root": b64(self.head.root),
            "custodians": list(self.custodians),
            "phase": self.election.phase,
            "entries": dict(sorted(self.kinds.items())),
            "mixers": list(self.mixers),
            "rolls": {
                share_class: {"anonymous": self.is_anonymous(roll), "mixers": list(roll.mixers), "rows": len(roll.rows)}
                for share_class, roll in sorted(self.election.rolls.items())
            },
            "rekeys": [
                {"entry": rekey.index, "name": rekey.name, "office": rekey.office, "to": rekey.to}
                for rekey in self.manifest.rekeys
            ],
            "refusals": [{**refusal._asdict(), "count": n} for refusal, n in sorted(self.refusals.items())],
            "superseded": self.superseded,
            "result": self.result,
            "trusted": list(trusted(self)),
        }


def checked(report: Report) -> Iterator[str]:
    """What was recomputed and holds, a sentence each."""
    manifest, election = report.manifest, report.election
    count = report.kinds.get
    log = manifest.log
    yield (
        f"{report.head.size} entries lead to the root of a checkpoint signed by the log with {len(log.log)} keys and "
        f"cosigned by {len(report.custodians)} of {len(log.custodians)} custodians ({', '.join(report.custodians)}); "
        f"{log.W} are demanded"
    )
    for rekey in manifest.rekeys:
        yield f"entry {rekey.index} is the officials' word that {replaced(rekey)}: the new ones count from there on"
    yield "every entry is signed by whoever its rule demands, and was admitted in the phase it stands in"
    if election.ceremony.complete:
        yield (
            f"the key is that of {len(election.ceremony.participants)} trustees, any {manifest.trustees.threshold} of "
            "whom decrypt"
        )
    yield from (str(verdict) for verdict in election.ceremony.verdicts)
    for share_class, roll in election.rolls.items():
        votes = next(c.votes for c in manifest.classes if c.id == share_class)
        added = in_shares(votes, manifest.decimals).replace(",", "")
        yield f"the roll of {share_class} has {len(roll.rows)} rows, whose hidden weights add up to {added} votes"
        if roll.mixers:
            yield (
                f"the roll of {share_class} was mixed by {', then '.join(roll.mixers)}: the pseudonyms are its keys, "
                "each once and with its own weight"
            )
    if count("ballot", 0):
        yield (
            f"{count('ballot', 0)} ballots are by pseudonyms on the roll, and prove that each gives what its weight "
            f"allows; of them {report.superseded} do not count, being replaced by a later revision"
        )
    yield from refused(report)
    if election.closing_root is not None:
        accounts = sorted(set(election.reconciled) - set(election.overruled))
        yield f"all that {', '.join(accounts) or 'no intake'} passed on stands in the log, as ballot or as refusal"
    if report.result is not None:
        yield f"the totals follow from the sums of counted ballots and the shares of {len(election.shares)} trustees"
        yield from withheld(report.result, manifest)
    if report.certified:
        yield "the certified result is the one that follows from the log"


def replaced(rekey: Rekey) -> str:
    """Whose keys were replaced."""
    whose = rekey.name if rekey.office == "log" else f"{rekey.office} {rekey.name}"
    return f"the keys of {whose} are replaced" + (f" by those of {rekey.to}" if rekey.to != rekey.name else "")


def refused(report: Report) -> Iterator[str]:
    """How much the log refused, of what and why."""
    whose: dict[tuple[str, str], list[str]] = {}
    for refusal, n in sorted(report.refusals.items()):
        whose.setdefault((refusal.intake, refusal.kind), []).append(f"{n} {refusal.reason}")
    for (intake, kind), reasons in whose.items():
        by = f" that {intake} passed on" if intake else ""
        yield f"of entries of type {kind}{by} the log refused: {', '.join(reasons)}"


def withheld(result: Mapping[str, Any], manifest: Manifest) -> Iterator[str]:
    """What the minimum of pseudonyms kept secret, and what it keeps."""
    minimum = manifest.minimum_pseudonyms
    if minimum > 1:
        yield f"every total decrypted, and every difference between totals, is over at least {minimum} voters"
    if "withheld" in result:
        names = ", ".join(result["withheld"])
        yield f"withheld, or fewer than {minimum} voters could be told apart: the totals or votes present of {names}"


def trusted(report: Report) -> Iterator[str]:
    """What the log cannot show, a sentence each."""
    manifest, election = report.manifest, report.election
    if not report.pinned:
        yield (
            f"that the manifest {b64(manifest.hash)} is that of your election: compare it with your letter, or give it "
            "as --manifest"
        )
    sources = ", ".join([report.source, *report.compared])
    yield (
        f"that {f'of {sources} one at least' if report.compared else sources} keeps no rekey back: whoever has keys "
        "that were replaced could show another log, without the rekey; others are asked with --also"
    )
    yield from issuers_trusted(manifest)
    t, n = manifest.trustees.threshold, len(election.ceremony.participants)
    yield f"that no {t} of the {n} trustees decrypt anything but totals: together they could open any ballot or weight"
    yield (
        "that voters' own devices, and whoever serves the programs on them, encrypted what they were told to; a voter "
        "can test this before casting"
    )
    yield (
        "that neither intakes nor anybody on the network joined pseudonyms to the addresses they were used from: "
        "mixing hides a holder from issuers and mixers, not an address from who is called"
    )
    yield "that intakes kept no ballot back: a voter sees in the log whether the own ballot is recorded"
    n, W = len(manifest.log.custodians), manifest.log.W
    most = f"no more than {n - W}" if n > W else "none"
    yield f"that of the {n} custodians {most} will lose what they hold: recorded means that {W} of them have it"
    if report.refusals:
        yield (
            f"tally's word on the {sum(report.refusals.values())} entries that it refused: that they were handed in, "
            "by whom, and are against the rules; the log does not hold them, but names each by its leaf hash, so that "
            "whoever has one can show it"
        )
    if manifest.minimum_pseudonyms == 1:
        yield (
            "nobody's secrecy where few vote: the minimum is 1, so a total over a single voter is decrypted, and is "
            "that voter's weight and vote"
        )
    else:
        yield (
            "that exact totals tell nothing of large holders to who knows their holdings: `psephos privacy` estimates "
            "it before the vote"
        )
    for name in election.overruled:
        yield f"the officials' word that {name} need not account for what it passed on: they have overruled it"
    for notice in election.notices:
        if notice.subject == DESTROYED:
            yield f"{notice.signers[0]}'s word that its register and control numbers are destroyed"
    for share_class, roll in election.rolls.items():
        if len(roll.rows) < manifest.minimum_roll:
            yield f"nobody's anonymity on the roll of {share_class}: with {len(roll.rows)} rows it is not anonymous"


def issuers_trusted(manifest: Manifest) -> Iterator[str]:
    names = " and ".join(key.name for key in manifest.issuers)
    if not manifest.mixers:
        yield (
            f"that {names} trace no pseudonyms: the roll is not mixed, so each of them can tell who took part, and "
            "with what weight"
        )
    else:
        yield from mixers_trusted(manifest)
    tracing = " or trace them" if manifest.mixers else ""
    if len(manifest.issuers) == 1:
        text = "votes for nobody and traces nobody" if tracing else "votes for nobody"
        yield f"that {names} {text}: with one issuer, it alone knows every control number"
    else:
        yield f"that {names} do not vote for others{tracing}: together they know every control number"
    others = [key.name for key in manifest.issuers[1:] + manifest.inspectors]
    if others:
        yield f"that {' or '.join(others)} compared each weight and row with the register before signing the roll"
    else:
        yield "that the only issuer gave every holder the weight of its shares: nobody else has signed the roll"


def mixers_trusted(manifest: Manifest) -> Iterator[str]:
    """An issuer knows whose a row of the issued roll is; the mixers, all together, to which row a pseudonym leads."""
    mixers = [key.name for key in manifest.mixers]
    issuers = " or ".join(key.name for key in manifest.issuers)
    one = f"that {mixers[0]} has" if len(mixers) == 1 else f"that of {listed(mixers)} one at least has"
    all_of_them = "it" if len(mixers) == 1 else "all of them"
    yield (
        f"{one} forgotten how it mixed the roll: {all_of_them} together with {issuers} could tell who took part, and "
        "with what weight"
    )


def listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def result_lines(result: Mapping[str, Any], manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    """(contest, choice or outcome, votes) of a result, in agenda order; of a contest the outcome comes last."""
    for contest in manifest.contests:
        for choice in contest.choices if contest.id in result["contests"] else ():
            yield contest.id, choice, in_shares(result["contests"][contest.id][choice], manifest.decimals)
        yield contest.id, "", in_words(result["outcome"][contest.id])


def in_shares(votes: int, decimals: int) -> str:
    """Votes as they are printed: of units of a share, with the point in its place."""
    if not decimals:
        return f"{votes:,}"
    whole, part = divmod(votes, 10**decimals)
    return f"{whole:,}.{part:0{decimals}}"


def in_words(outcome: Any) -> str:
    if isinstance(outcome, str):
        return outcome
    elected = f"elected: {', '.join(outcome['elected']) or 'nobody'}"
    return f"{elected}; tied: {', '.join(outcome['tied'])}" if outcome["tied"] else elected
