"""A custodian, over a simulated database or a simulated folder, and what one that lies answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.exchange import Answer
from tests.simulation import network as net
from tests.simulation.disk import Disk
from tests.simulation.folder import FolderDisk
from tests.simulation.kernel import Crash
from tests.simulation.stores import Store, VaultState
from tests.simulation.zone import Zone
from vault.custodian.custody import Custodian as Keeper
from vault.custodian.keys import stored_keys
from vault.custodian.storage import Unsafe

if TYPE_CHECKING:
    from tests.simulation.world import World


class Vault(Zone):
    """A custodian. `lost`: what was on its disk when that went; `liar`: it answers what it likes now and then."""

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
        self._said: list[Answer] = []
        super().__init__(world, world.policy.custodians[index][0])

    def boot(self) -> None:
        self.disk.lazy = self.world.plant.lazy_disks
        world = self.world
        store: Any = self.disk.open(self.process) if isinstance(self.disk, FolderDisk) else Store(self.disk)
        self.keys = stored_keys(store, world.made.manifest)
        self.keeper = Keeper(store, {world.origin: self.keys}, self.signers, lambda: int(self.clock()))

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

    def checkpoint_keeper(self) -> Any:
        """What it shows to readers."""
        return Forger(self) if self.lying and self.world.dice.random() < 0.5 else self.keeper

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
        return self._dice.choice([None, b"", self._dice.randbytes(90), newest, newest + lines])

    def rekeys(self, origin: str) -> bytes:
        return self._dice.choice([b"", b"1\n", b"3\n14\n", self._dice.randbytes(4)])

    def tile(self, origin: str, *which: int) -> bytes | None:
        return self._dice.choice([None, b"", self._dice.randbytes(32)])

    def bundle(self, origin: str, *which: int) -> bytes | None:
        return self._dice.choice([None, b"", self._dice.randbytes(60)])
