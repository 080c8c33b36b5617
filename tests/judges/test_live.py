"""A log that a tally has sequenced and three custodians have cosigned, judged as it is served: all over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from aics_tlog import (
    HttpTileReader,
    WitnessPolicy,
    audit_tiles,
    consistency_proof_from_tiles,
    parse_note,
    parse_vkey,
    verify_checkpoint,
)
from aics_witness import WitnessClient, WitnessRejected
from tlog_scales.backend import make_backend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey, VkeySet
from tlog_scales.tiles import leaf_hash

from audit.log.encoding import encode_base64
from audit.log.keys import COSIGNATURE, Signer
from audit.log.merkle import CompactRange
from audit.log.merkle import leaf_hash as our_leaf_hash
from audit.log.notes import Note, parse_signature_lines
from audit.log.notes import parse_note as our_note
from audit.log.treehead import Checkpoint
from audit.log.treehead import parse_checkpoint as our_head
from infra.postgres import Cluster
from tally.sequencer import schema as ledger_schema
from tally.sequencer.ledger import Ledger
from tests.databases import make_database
from tests.faults.zones import meeting_of
from tests.sequencer.house import TOKEN, House, Queue, Vault
from vault.custodian import schema as custodian_schema
from vault.custodian.custody import Custodian
from vault.custodian.keys import stored_keys
from vault.custodian.serve import custodian_app
from vault.custodian.sql_store import SqlStore

FIRST, SIZE = 301, 701
"""Entries when the witness is shown the log, and at the end."""
WITNESS = Signer("witness.example", COSIGNATURE, bytes([9]) * 32)


class Live:
    """`answers`: what `feeder` was told by the witness beside the first custodian, by the checkpoint of `FIRST` entries
    and the one of `SIZE`.
    """

    def __init__(self, house: House, feeder: WitnessClient) -> None:
        self.house, self.meeting, self.feeder = house, house.meeting, feeder
        self.answers: dict[bytes, str] = {}
        for entries in ([*self.meeting.entries, *self._notices(1, FIRST)], self._notices(FIRST, SIZE)):
            house.record(*entries)
            (fetched,) = self.tiles.fetch_checkpoints()
            self.answers[fetched.data] = feeder.submit(fetched.data, self.proof)

    def proof(self, old: int, new: int) -> tuple[bytes, ...]:
        """That the tree of `old` entries is a beginning of that of `new`, by their reading of our tiles."""
        return tuple(consistency_proof_from_tiles(self.tiles, old, min(new, SIZE))) if old else ()

    @property
    def url(self) -> str:
        return f"{self.house.vault.urls[0]}/{self.meeting.origin}"

    @property
    def log_key(self) -> str:
        return self.meeting.manifest.log.log[0].vkey

    @property
    def tiles(self) -> HttpTileReader:
        return HttpTileReader(self.url, proxies={})

    def _notices(self, start: int, end: int) -> list[bytes]:
        body = {"manifest": self.meeting.hash, "subject": "incident"}
        official = self.meeting.parties.officials[0]
        return [self.meeting.signed("notice", {**body, "text": f"{number}"}, official) for number in range(start, end)]


@pytest.fixture(scope="module")
def live(cluster: Cluster) -> Iterator[Live]:
    with ExitStack() as stack:
        kinds = [("ledger", ledger_schema.install), *[("custodian", custodian_schema.install)] * 3]
        databases = [make_database(cluster, *kind) for kind in kinds]
        for one in databases:
            stack.callback(one.close)
        ledger, *custodians = (one.engine for one in databases)
        meeting = meeting_of(3, 2, "vote.example/judged")
        vault = Vault(meeting, custodians)
        vault.apps[0] = with_witness(vault)
        stack.enter_context(vault.serving())
        house = House(meeting, vault, Ledger(ledger, meeting.origin), Queue())
        yield Live(house, stack.enter_context(WitnessClient(vault.urls[0], WITNESS.vkey)))


def with_witness(vault: Vault):
    """The first custodian, a witness beside it."""
    store, origin = SqlStore(vault.engines[0]), vault.meeting.origin
    keys = stored_keys(store, vault.meeting.manifest.history[0])
    keeper = Custodian(store, {origin: keys}, vault.meeting.parties.custodians[0], vault.clock)
    return custodian_app(keeper, [origin], TOKEN, [WITNESS])


def test_the_checkpoint_is_witnessed_and_all_tiles_are_audited(live: Live) -> None:
    (fetched,) = live.tiles.fetch_checkpoints()
    quorum = tuple(parse_vkey(keys[0].vkey) for _, keys in live.meeting.manifest.log.custodians)
    policy = WitnessPolicy(2, quorum)
    result = verify_checkpoint(parse_note(fetched.data), parse_vkey(live.log_key), policy=policy)
    assert result.ok, result.error
    report = audit_tiles(live.tiles, SIZE, our_head(our_note(fetched.data).text).root)
    assert (report.size, report.bundles) == (SIZE, -(-SIZE // 256))


def test_every_signature_holds_and_entries_are_included(live: Live) -> None:
    reader, policy = TilesReader(make_backend(live.url)), live.meeting.manifest.log
    checkpoint = reader.get_checkpoint()
    keys = VkeySet(
        *(Vkey.from_string(key.vkey) for key in (*policy.log, *(k for _, ks in policy.custodians for k in ks)))
    )
    verified = {(key.name, key.sig_type) for key, _ in keys.verify(checkpoint.signatures, checkpoint)}
    assert len(verified) == len(checkpoint.signatures) >= 2 + 2 * 2
    assert reader.calculate_root_hash() == checkpoint.root_hash
    for index in (0, 255, 256, SIZE - 1):
        reader.get_inclusion_proof(index, SIZE).check(leaf_hash(reader.get_entry(index)), checkpoint.root_hash)


def test_go_reads_it_from_the_custodian(live: Live, sumdb) -> None:
    assert sumdb(live.url, live.log_key) == str(SIZE)
    tree = CompactRange()
    tree.extend(our_leaf_hash(entry.raw) for entry in live.house.vault.entries(0)[:FIRST])
    assert sumdb(live.url, live.log_key, str(FIRST), encode_base64(tree.root())) == str(SIZE)


def test_a_feeder_of_theirs_has_our_witness_cosign_as_the_log_grows(live: Live) -> None:
    assert len(live.answers) == 2
    for checkpoint, answer in live.answers.items():
        (line,) = parse_signature_lines(answer.encode())
        assert WITNESS.verifier.verify(our_note(checkpoint).text, line.sig) <= time.time()


def test_and_not_another_tree_that_the_log_has_signed(live: Live) -> None:
    fork = Checkpoint(live.meeting.origin, SIZE + 1, our_leaf_hash(b"another history")).text
    note = Note(fork, tuple(key.sign(fork, int(time.time())) for key in live.meeting.parties.log))
    with pytest.raises(WitnessRejected) as error:
        live.feeder.submit(note.raw, live.proof)
    assert error.value.status == 422
