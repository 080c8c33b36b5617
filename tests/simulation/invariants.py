"""What must hold at every moment of a schedule, whatever happens, and what must hold when all of it is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from audit.log.checkpoint import cosigned_by
from audit.log.merkle import CompactRange, leaf_hash
from audit.log.notes import parse_note
from audit.log.treehead import parse_checkpoint
from audit.protocol.refused import Refused
from audit.record.admission import check_signatures, signer_of
from audit.record.election import Election
from audit.record.entries import Entry, parse_entry
from audit.record.manifest import Manifest
from audit.record.seen import MemorySeen, intake_of
from audit.record.voting import reconcile_root
from tally.sequencer.courier import LedgerBehind
from tests.simulation.intake import Intake
from tests.simulation.officials import Officials
from tests.simulation.stores import Answer, answer_of, is_answered
from tests.simulation.thief import Tree
from tests.simulation.vault import Vault

if TYPE_CHECKING:
    from tests.simulation.world import World


class Invariants:
    """Is told what happens, and tells the world what does not hold. `roots`: of every tree that was cosigned."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.roots: dict[int, bytes] = {}
        self._signed: dict[int, bytes] = {}
        self._said: dict[Vault, dict[int, bytes]] = {}
        self._witnessed: dict[Vault, Tree] = {}
        self._told: set[str] = set()

    def staged(self, old_size: int, held: int) -> None:
        """A sequencer has continued the ledger, which held so many entries."""
        self.world.expect(old_size == held, f"a stage continues {old_size} entries of a ledger that holds {held}")

    def signed(self, size: int, root: bytes) -> None:
        """The log's key has signed a tree. What is signed when the ledger is lost may never leave it."""
        if not self.world.restored:
            other = self._signed.setdefault(size, root)
            self.world.expect(other == root, f"two trees of {size} entries are signed")

    def be_behind(self, error: LedgerBehind) -> None:
        """A sequencer takes the ledger for an old copy: it is one, or a thief's tree continues it."""
        world, claim = self.world, error.claim
        if world.restored:
            return
        text = f"a ledger that was never restored is taken for an old copy: {error}"
        tree = None
        if claim is not None and world.thief is not None:
            head = parse_checkpoint(claim.note.text)
            tree = world.thief.made.get((head.size, head.root))
        shown = claim is not None and tree is not None and tree.continues(world.ledger.state.entries[: claim._first])
        world.expect(shown, text)

    def told(self, custodian: str, raw: bytes) -> None:
        """A sequencer says that the log's keys have signed another tree, and shows it."""
        head = parse_checkpoint(parse_note(raw).text)
        forged = self.world.restored or self._is_forged(head.size, head.root)
        self.world.expect(forged, f"what {custodian} holds is called a fork and is none")
        self._told.add(custodian)

    def forks_are_told(self) -> bool:
        """Whether each custodian that shows another tree has been named, as long as no key is replaced."""
        thief = self.world.thief
        within = thief.within if thief is not None and self.world.officials is None else []
        return all(vault.name in self._told or not self._shows_another(vault) for vault in within)

    def _shows_another(self, vault: Vault) -> bool:
        shown = vault.disk.state.entries if vault.other is None else vault.other.entries
        return list(shown) != self.world.ledger.state.entries[: len(shown)]

    def witnessed(self, vault: Vault, tree: Tree) -> None:
        """The witness beside a custodian has put its name to a tree."""
        before = self._witnessed.get(vault, tree)
        kept = tree.continues(before.entries)
        self.world.expect(kept, f"the witness of {vault.name} has signed two trees that do not continue each other")
        self._witnessed[vault] = tree if len(tree.entries) > len(before.entries) else before

    def cosigned(self, vault: Vault, size: int, root: bytes) -> None:
        """A custodian has put its name to a tree."""
        if not vault.liar:
            said = self._said.setdefault(vault, {}).setdefault(size, root)
            self.world.expect(said == root, f"{vault.name} has cosigned two trees of {size} entries")
            if not self._is_forged(size, root):
                other = self.roots.setdefault(size, root)
                self.world.expect(other == root, f"two trees of {size} entries are cosigned, one by {vault.name}")
            kept = size == 0 or size in vault.disk.durable().heads
            self.world.expect(kept, f"{vault.name} has cosigned {size} entries and may lose them")

    def _is_forged(self, size: int, root: bytes) -> bool:
        stages = self.world.ledger.state.stages
        made = self.world.thief is not None and self.world.thief.has_made(size, root)
        return made and not any((stage.size, stage.root) == (size, root) for stage in stages)

    def published(self, raw: bytes, manifest: Manifest) -> None:
        """A custodian has taken a checkpoint as the one to serve; `manifest`: with the keys that it knows."""
        note = parse_note(raw)
        head = parse_checkpoint(note.text)
        policy = manifest.at(head.size).log
        names = cosigned_by(note, policy)
        enough = len(names) >= policy.W
        self.world.expect(enough, f"{head.size} entries are published with {len(names)} cosignatures")
        for vault in self.world.honest:
            if vault.signers[0].name in names:
                kept = [state.heads[head.size].root for state in vault.had() if head.size in state.heads]
                self.world.expect(head.root in kept, f"{vault.name} has cosigned {head.size} entries and may lose them")

    def acknowledged(self, keys: Sequence[bytes]) -> None:
        """Rows are about to be deleted from the queue. Among any W custodians so many are honest that each row must
        have its answer on their disks: there now, or there when a disk was lost, which may befall N - W of them.
        """
        world = self.world
        for key in keys:
            raw = world.queue.disk.state.get(key)
            if raw is not None:
                entry = parse_entry(raw)
                holders = self._holders(entry.identity, intake_of(entry), entry.leaf)
                text = f"an entry is acknowledged to the queue that {holders} custodians hold"
                world.expect(holders >= world.sure or self._is_foreign(raw), text)

    def accounted(self, intake: Intake) -> None:
        """An intake has drained: all that it is to account for is stored by the custodians."""
        for identity in intake.disk.state.ballots:
            holders = self._holders(identity, intake.name, intake.disk.state.accepted[identity].leaf)
            text = f"{intake.name} accounts for a ballot whose answer {holders} custodians hold"
            self.world.expect(holders >= self.world.sure, text)

    def reconciled(self, entry: Entry, seen: MemorySeen) -> None:
        """An intake's account is in the log, after all that it is of."""
        said = entry.fields["count"], entry.fields["root"]
        text = f"{signer_of(entry)} accounts for other ballots than the log holds so far"
        self.world.expect(said == reconcile_root(seen.passed(signer_of(entry))), text)

    def hold_at_the_end(self) -> None:
        """What must hold when everything is at rest: one history, and in it all that was acknowledged, once."""
        world, entries = self.world, self.world.ledger.state.entries
        for vault in world.vaults:
            if world.thief is None or not world.thief.left_behind(vault):
                world.expect(vault.disk.state.entries == entries, f"{vault.name} holds another log than the ledger")
            self._is_one_log(vault)
            times = [head.time for _, head in sorted(vault.disk.state.heads.items())]
            world.expect(times == sorted(times), f"the times of {vault.name} go back")
        identities = [parse_entry(raw).identity for raw in entries]
        world.expect(len(set(identities)) == len(identities), "an entry is recorded twice")
        answers = set(map(answer_of, entries))
        world.expect(len(answers) == len(entries), "an entry is answered twice")
        twice = [one for one in answers if one.intake and one.refused and one._replace(refused=b"") in answers]
        world.expect(not twice, "a ballot is recorded and refused")
        roots = roots_of(entries)
        for size, root in self.roots.items():
            world.expect(roots.get(size) == root, f"a tree of {size} entries was cosigned that is not of this log")
        for raw in world.notices.promised if world.notices else ():
            world.expect(entries.count(raw) == 1, "an entry that was promised is not in the log")
        if world.officials:
            self._vote_holds(world.officials, answers)

    def _is_one_log(self, vault: Vault) -> None:
        """All that a custodian has ever cosigned is a beginning of what it holds."""
        said = {} if vault.liar else self._said.get(vault, {})
        if self.world.thief is not None:
            roots = roots_of(vault.disk.state.entries)
            for size, root in said.items():
                self.world.expect(roots.get(size) == root, f"{vault.name} has cosigned {size} entries that it lacks")

    def _vote_holds(self, officials: Officials, answers: set[Answer]) -> None:
        """Every ballot that was promised is recorded or refused, once, and nothing else is; what the intakes account
        for is what the log holds; and the log is one that the rules admit.
        """
        world = self.world
        intakes = {intake.name: intake for intake in world.intakes}
        for voter in world.voters:
            for identity, name in voter.receipts:
                leaf = intakes[name].disk.state.accepted[identity].leaf
                kept = is_answered(identity, name, leaf, answers) or intakes[name].gone
                world.expect(kept, f"a ballot that {name} promised has no answer")
        for identity, name in officials.promised:
            kept = any(one.identity == identity for one in answers) or intakes[name].gone
            world.expect(kept, f"an act that {name} promised has no answer")
        election, seen = replay(world.made.manifest, world.ledger.state.entries)
        world.expect(election.phase == "closed", f"the vote is {election.phase}")
        for intake in world.intakes:
            passed = seen.passed(intake.name)
            if not intake.gone:
                text = f"{intake.name} has taken other ballots than the log holds"
                world.expect(sorted(intake.disk.state.ballots) == passed, text)
            if intake.name not in election.overruled:
                text = f"{intake.name} has accounted for other ballots than the log holds"
                world.expect(election.reconciled[intake.name] == reconcile_root(passed), text)

    def _holders(self, identity: bytes, intake: str, leaf: bytes) -> int:
        """How many honest custodians have, or had before a loss, the answer to an entry on their disks."""
        honest = (vault.had() for vault in self.world.honest)
        return sum(any(is_answered(identity, intake, leaf, one.answers) for one in had) for had in honest)

    def _is_foreign(self, raw: bytes) -> bool:
        """Whether its line is by a key that was replaced: then it is dropped, and comes again with another."""
        election, _ = replay(self.world.made.manifest, self.world.ledger.state.entries)
        try:
            check_signatures(election.manifest, parse_entry(raw))
        except Refused:
            return True
        return False


def roots_of(entries: Sequence[bytes]) -> dict[int, bytes]:
    """The root of each tree of the first of these."""
    tree, roots = CompactRange(), dict[int, bytes]()
    for raw in entries:
        tree.append(leaf_hash(raw))
        roots[tree.size] = tree.root()
    return roots


def replay(manifest: Manifest, entries: Sequence[bytes]) -> tuple[Election, MemorySeen]:
    """The election after these entries, each admitted by the rules; the proofs of rolls, mixes and ballots, which were
    checked when they were recorded, are believed. Refused.
    """
    election, seen = Election(manifest.hash), MemorySeen()
    for entry in map(parse_entry, entries):
        election.check_signed(entry)
        election.admit_unproven(entry, seen)
        election.apply(entry)
        seen.add(entry)
    return election, seen
