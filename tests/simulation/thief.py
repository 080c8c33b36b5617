"""Whoever has stolen both of the log's keys, and the tokens of as many custodians as the others can spare. At random
moments it brings them other trees, and shows others to all; and one custodian may be in league with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from audit.log.checkpoint import Checkpoint
from audit.log.merkle import CompactRange, consistency_from, leaf_hash
from audit.log.notes import Note
from audit.log.treehead import parse_checkpoint
from audit.protocol.refused import Refused
from tally.sequencer.append import Append
from tests.simulation import network as net
from tests.simulation.kernel import Process
from tests.simulation.zone import BASE_TIME
from vault.custodian.cosign import WrongOldSize
from vault.custodian.storage import Unsafe

if TYPE_CHECKING:
    from tests.simulation.vault import Vault
    from tests.simulation.world import World


@dataclass(frozen=True)
class Tree:
    """Some entries, and the log's note over the tree of them; `gives`: a custodian in league with the thief gives these
    entries to whoever asks it.
    """

    entries: tuple[bytes, ...]
    note: bytes
    checkpoint: Checkpoint
    gives: bool

    @cached_property
    def leaves(self) -> list[bytes]:
        return [leaf_hash(raw) for raw in self.entries]

    def after(self, size: int) -> Append:
        """From the first so many of its entries to all of them."""
        known = CompactRange()
        known.extend(self.leaves[:size])
        return Append(size, consistency_from(known, self.leaves[size:]), self.note, self.entries[size:])

    def continues(self, entries: Sequence[bytes]) -> bool:
        """Or is a beginning of them."""
        length = min(len(entries), len(self.entries))
        return list(entries[:length]) == list(self.entries[:length])


class Thief:
    """`within`: the custodians that it may have store what it has made; the first of them may be in league with it.
    `made`: its trees, by size and root.
    """

    def __init__(self, world: World) -> None:
        self._world, self._dice = world, world.dice
        self.within = self._dice.sample(world.vaults, len(world.vaults) - world.policy.W)
        self.made: dict[tuple[int, bytes], Tree] = {}
        if self._dice.random() < 0.6:
            self.within[0].liar = True
        self.done = False
        self._stays = self._dice.random() < 0.5
        self._acts = self._dice.randint(2, 12)
        world.kernel.spawn(Process("thief"), "thief", self._act)

    def end(self) -> None:
        """The custodian that was in league with it shows what it holds, or goes on as it did."""
        self.done = True
        for vault in self.within:
            vault.other = vault.other if self._stays else None

    def has_made(self, size: int, root: bytes) -> bool:
        return (size, root) in self.made

    def left_behind(self, vault: Vault) -> bool:
        """Whether this custodian need not have what the log has: it is in league, or has been made to store another
        tree.
        """
        return vault in self.within and (vault.other is not None or self.is_apart(vault))

    def is_apart(self, vault: Vault) -> bool:
        held = vault.disk.state.entries
        return held != self._world.ledger.state.entries[: len(held)]

    def _act(self) -> None:
        world, kernel, dice = self._world, self._world.kernel, self._dice
        while not self.done and not self._may_begin():
            kernel.pause(1.0)
        for _ in range(self._acts):
            kernel.pause(dice.random() * dice.choice([0.5, 4.0, 12.0]))
            if self.done:
                break
            vault = dice.choice([*world.vaults, *self.within])
            tree = self._forged(vault)
            if vault.liar:
                vault.other = tree if dice.random() < 0.8 else None
            elif self._is_too_much(vault, tree) or dice.random() < 0.3:
                self._call(vault, tree, "add-checkpoint")
            elif dice.random() < 0.6:
                self._call(vault, tree, "append")
            elif self._call(vault, tree, "add-checkpoint"):
                self._call(vault, tree, "add-entries")

    def _may_begin(self) -> bool:
        """To a host without a mark a claim alone says that its ledger is an old copy, and it waits for who claims more;
        so it does before there is a log.
        """
        hosts = [tally.disk.state.get("mark") for tally in self._world.tallies if not tally.gone]
        return all(mark is not None and parse_checkpoint(mark).size > 0 for mark in hosts)

    def _is_too_much(self, vault: Vault, tree: Tree) -> bool:
        """Whether this might have more custodians hold another log than the others can spare. Of what it holds already
        each may be told another tale.
        """
        return vault not in self.within and len(tree.entries) > vault.disk.state.newest.size

    def _forged(self, vault: Vault) -> Tree:
        """What this custodian holds, or a beginning of it, and what else may be: nothing that an official, an intake or
        a voter has signed, but for what waits in the queue.
        """
        dice, world = self._dice, self._world
        held = vault.disk.state.entries
        length = max(1, len(held) - dice.choice([0, 0, 1, 2]))
        # As long as what is held, or of any length.
        count = dice.choice([max(1, len(held) - length), dice.randint(1, 3)])
        waiting = list(world.queue.disk.state.values()) or [b"none"]
        others = [dice.choice([dice.choice(waiting), dice.choice(held or [b"none"]), b"junk"]) for _ in range(count)]
        entries = (*held[:length], *others)
        tree = CompactRange()
        tree.extend(map(leaf_hash, entries))
        head = Checkpoint(world.origin, tree.size, tree.root())
        note = Note(head.text, tuple(key.sign(head.text, BASE_TIME) for key in world.made.parties.log)).raw
        made = Tree(entries, note, head, dice.random() < 0.6)
        return self.made.setdefault((head.size, head.root), made)

    def _call(self, vault: Vault, tree: Tree, path: str) -> bool:
        """Whether it was carried out, with what the custodian says is the size to begin from."""
        old = len(vault.disk.state.entries)
        for _ in range(2):
            at = min(old, len(tree.entries))
            with suppress(net.NoAnswer, net.OperationalError, OSError, Unsafe):
                try:
                    self._world.network.call("thief", vault.process, lambda at=at: vault.submit(path, tree, at))
                    return True
                except WrongOldSize as wrong:
                    old = wrong.size
                    continue
                except Refused:
                    return False
        return False
