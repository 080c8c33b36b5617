"""What must hold at every moment of a schedule, whatever happens, and what must hold when all of it is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from audit.log.checkpoint import cosigned_by
from audit.log.merkle import CompactRange, leaf_hash
from audit.log.notes import parse_note
from audit.log.treehead import parse_checkpoint
from audit.record.entries import parse_entry
from tests.simulation.vault import Vault

if TYPE_CHECKING:
    from tests.simulation.world import World


class Invariants:
    """Is told what happens, and tells the world what does not hold. `roots`: of every tree that was cosigned."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.roots: dict[int, bytes] = {}

    def cosigned(self, vault: Vault, size: int, root: bytes) -> None:
        """A custodian has put its name to a tree."""
        if not vault.liar:
            other = self.roots.setdefault(size, root)
            self.world.expect(other == root, f"two trees of {size} entries are cosigned, one by {vault.name}")

    def published(self, raw: bytes) -> None:
        """A custodian has taken a checkpoint as the one to serve."""
        note = parse_note(raw)
        head = parse_checkpoint(note.text)
        names = cosigned_by(note, self.world.policy)
        self.world.expect(
            len(names) >= self.world.policy.W, f"{head.size} entries are published with {len(names)} cosignatures"
        )
        for vault in self.world.honest:
            if vault.name in names and not vault.lost:
                kept = vault.disk.durable().heads.get(head.size)
                held = kept is not None and kept.root == head.root
                self.world.expect(held, f"{vault.name} has cosigned {head.size} entries and may lose them")

    def acknowledged(self, keys: Sequence[bytes]) -> None:
        """Rows are about to be deleted from the queue."""
        states = [vault.disk.durable() for vault in self.world.honest]
        lost = sum(vault.lost for vault in self.world.honest)
        for key in keys:
            raw = self.world.queue.disk.state.get(key)
            if raw is not None:
                holders = sum(raw in state.raws for state in states)
                text = f"an entry is acknowledged to the queue that {holders} custodians hold"
                self.world.expect(holders + lost >= self.world.sure, text)

    def hold_at_the_end(self) -> None:
        """What must hold when everything is at rest: one history, and in it all that was acknowledged, once."""
        entries = self.world.ledger.state.entries
        for vault in self.world.vaults:
            self.world.expect(vault.disk.state.entries == entries, f"{vault.name} holds another log than the ledger")
            times = [head.time for _, head in sorted(vault.disk.state.heads.items())]
            self.world.expect(times == sorted(times), f"the times of {vault.name} go back")
        identities = [parse_entry(raw).identity for raw in entries]
        self.world.expect(len(set(identities)) == len(identities), "an entry is recorded twice")
        for raw in self.world.voters.acknowledged:
            self.world.expect(entries.count(raw) == 1, "an entry that was acknowledged is not in the log")
        tree, roots = CompactRange(), {}
        for raw in entries:
            tree.append(leaf_hash(raw))
            roots[tree.size] = tree.root()
        for size, root in self.roots.items():
            self.world.expect(roots.get(size) == root, f"a tree of {size} entries was cosigned that is not of this log")
