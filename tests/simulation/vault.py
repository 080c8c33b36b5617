"""A custodian, over a simulated database or a simulated folder, and what one that lies answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from audit.log.keys import COSIGNATURE, Signer
from audit.log.tiles import frame
from infra.exchange import Answer
from tests.simulation import network as net
from tests.simulation.disk import Disk
from tests.simulation.folder import FolderDisk
from tests.simulation.kernel import Crash
from tests.simulation.stores import Store, VaultState
from tests.simulation.thief import Tree
from tests.simulation.zone import BASE_TIME, Zone
from vault.custodian.custody import Custodian as Keeper
from vault.custodian.keys import stored_keys
from vault.custodian.mirror import Beginning, Mirror, Package
from vault.custodian.storage import Unsafe
from vault.custodian.witness import Witness, parse_submission

if TYPE_CHECKING:
    from tests.simulation.world import World


class Vault(Zone):
    """A custodian. `lost`: what was on its disk when that went; `liar`: it answers what it likes now and then; `other`:
    the tree that it shows instead of what it holds, for it is in league with a thief.
    """

    def __init__(self, world: World, index: int, in_folder: bool) -> None:
        name = f"custodian {index}"
        self.disk: Disk = (
            FolderDisk(world.kernel, name, world.origin, world.may_crash)
            if in_folder
            else Disk(world.kernel, name, VaultState)
        )
        self.lost: VaultState | None = None
        self.liar = self.lying = False
        self.slow = 0.0
        self.signers = world.made.keys(world.made.parties.custodians[index])
        self.other: Tree | None = None
        self._said: list[Answer] = []
        self._witness = Signer(f"witness-{index}", COSIGNATURE, bytes([index]) * 32)
        super().__init__(world, world.policy.custodians[index][0])

    def boot(self) -> None:
        self.disk.lazy = self.world.plant.lazy_disks
        world = self.world
        store: Any = self.disk.open(self.process) if isinstance(self.disk, FolderDisk) else Store(self.disk)
        self.keys = stored_keys(store, world.made.manifest)
        self.keeper = Keeper(store, {world.origin: self.keys}, self.signers, lambda: int(self.clock()))
        self.witness, self.mirror = Witness(self.keeper.kept, [self._witness]), Mirror(self.keeper.kept)

    def lose(self) -> None:
        """Its disk goes, and an empty one takes its place."""
        self.crash()
        self.lost = self.disk.durable()
        self.disk.restore(0)

    def give_way(self) -> None:
        """To another custodian, with a disk and keys of its own, at the same address."""
        self.lose()
        self.signers = self.world.made.successor

    def had(self) -> list[VaultState]:
        """What is on its disk for certain, and what was on the one that was lost."""
        return [self.disk.durable(), *([self.lost] if self.lost else [])]

    def ask(self, method: str, path: str, content: bytes | None) -> Answer:
        """What it answers to the sequencer."""
        world = self.world
        if self.lying and world.dice.random() < 0.5:
            return self._lie(method)
        if self.other is not None and (answer := self._instead(self.other, path)) is not None:
            return answer
        try:
            answer = net.answer_of(self.keeper, world.origin, method, path, content)
        except Unsafe:
            # The disk has not confirmed a write: somebody sees to it, and starts the custodian again.
            self.crash()
            raise Crash from None
        if path == "publish" and answer.status == 204 and not self.liar:
            world.must.published(content or b"", self.keys.manifest)
        if answer.status == 200 and path in ("append", "held"):
            state = self.disk.state
            world.must.cosigned(self, state.newest.size, state.newest.root)
            self._said.append(answer)
        return answer

    def submit(self, path: str, tree: Tree, old: int) -> None:
        """What somebody who has the log's keys asks of it, in the terms of the standard calls: to take a tree, of which
        it knows so many entries. Refused.
        """
        must, origin = self.world.must, self.world.origin
        head, append = tree.checkpoint, tree.after(old)
        try:
            if path == "add-checkpoint":
                header = int.from_bytes(append.body[:4], "big")
                self.witness.add_checkpoint(parse_submission(append.body[4 : 4 + header]))
                must.witnessed(self, tree)
                return
            if path == "append":
                self.keeper.append(origin, append.body)
            else:
                target = self.mirror.begin(Beginning(origin, old, head.size, 0))
                self.mirror.take(origin, target, Package(old, tuple(append.entries), ()))
                self.mirror.finish(origin, target)
            must.cosigned(self, head.size, head.root)
        except Unsafe:
            self.crash()
            raise Crash from None

    def _instead(self, tree: Tree, path: str) -> Answer | None:
        """What it answers if it shows this tree; None if it answers as one that is honest."""
        dice, size = self.world.dice, len(tree.entries)
        lines = "".join(signer.sign(tree.checkpoint.text, BASE_TIME).line for signer in self.signers[:2]).encode()
        if path == "held":
            return Answer(200, "text/plain", tree.note + lines)
        if path.startswith("held/"):
            start, end = map(int, path.split("/")[1:])
            entries = tree.entries[start:end] if tree.gives and end <= size else ()
            return Answer(200, "text/plain", frame(entries)) if entries else Answer(404, "", b"")
        if path == "append" and dice.random() < 0.7:
            return dice.choice([Answer(200, "text/plain", lines), Answer(403, "", b""), self._lie(path)])
        return None

    def checkpoint_keeper(self) -> Any:
        """What it shows to readers."""
        lies = self.lying or self.other is not None
        return Forger(self) if lies and self.world.dice.random() < 0.5 else self.keeper

    def _lie(self, method: str) -> Answer:
        dice = self.world.dice
        lies = [
            Answer(500, "", b""),
            Answer(404, "", b""),
            Answer(200, "text/plain", b""),
            Answer(200, "text/plain", dice.randbytes(40)),
            Answer(409, "text/x.tlog.size", b"%d\n" % dice.randint(0, 30)),
            Answer(409, "text/x.tlog.size", b"many\n"),
            *(vault._said[-1] for vault in self.world.vaults if vault._said),
            *self._said[:1],
        ]
        return dice.choice(lies)


class Forger:
    """What a lying custodian shows to readers."""

    def __init__(self, vault: Vault) -> None:
        self._vault, self._dice = vault, vault.world.dice

    def checkpoint(self, origin: str) -> bytes | None:
        newest = self._vault.disk.state.newest.note
        lines = b"".join(answer.body for answer in self._vault._said[-1:])
        other = self._vault.other
        forged = [] if other is None else [other.note, other.note + lines]
        return self._dice.choice([None, b"", self._dice.randbytes(90), newest, newest + lines, *forged])

    def rekeys(self, origin: str) -> bytes:
        return self._dice.choice([b"", b"1\n", b"3\n14\n", self._dice.randbytes(4)])

    def tile(self, origin: str, *which: int) -> bytes | None:
        return self._dice.choice([None, b"", self._dice.randbytes(32)])

    def bundle(self, origin: str, *which: int) -> bytes | None:
        return self._dice.choice([None, b"", self._dice.randbytes(60)])
