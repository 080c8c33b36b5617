"""A whole election behind one loopback address: one intake's door and one custodian's tiles, on the log of a simulated
meeting.

What the services do in many processes is done here at once, so that the clients' commands can be run as they are. A
test holds entries back, loses an answer, has the door refuse or fall silent, or shows another log, and sees what the
client makes of it.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from audit.log.keys import Signer
from audit.log.merkle import CompactRange, LeafHashes, leaf_hash
from audit.log.notes import Note
from audit.log.sources import rekeys_text
from audit.log.tiles import HEIGHT, WIDTH, frame, parse_path
from audit.log.treehead import Checkpoint
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.election import Election
from audit.record.entries import Entry, add_signatures, make_text, parse_entry, seal
from audit.record.heads import is_rekey
from audit.record.seen import MemorySeen
from audit.record.voting import reconcile_root
from tests.simulator.dice import Dice
from tests.simulator.parties import ORIGIN, Parties, contest, manifest_body

Answer = tuple[int, bytes]


class Hall:
    """Serves until `close`. `entries` is the log; `hold` says how many answers entries are kept out of it for."""

    def __init__(self, folder: Path, parties: Parties | None = None) -> None:
        self.folder = folder
        self.parties = parties or Parties.drawn(Dice(7))
        self.election = Election()
        self.seen = MemorySeen()
        self.entries: list[bytes] = []
        self.hold: float = 0
        self.refusing = False
        self.held: list[bytes] = []
        self.wait = 60
        self.intake = 0
        self.lose = False
        self.script: list[Answer | None] = []
        self.posts: list[bytes] = []
        self.asked: list[str] = []
        self._lock = threading.Lock()
        self._checkpoint: bytes | None = None
        self._source = LeafHashes([])
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def key(self, signer: Signer) -> Path:
        """The signer's private key in a file, as commands take it."""
        path = self.folder / f"{signer.name}.key"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(signer.private + "\n")
        return path

    def release(self) -> None:
        """Records what was held back, and holds no more."""
        with self._lock:
            self._release()

    def _release(self) -> None:
        self.hold = 0
        for raw in self.held:
            self._record(raw)
        self.held.clear()

    def record(self, raw: bytes) -> None:
        """Records an entry that nobody has handed in here."""
        with self._lock:
            self._record(raw)

    def refuse(self, entry: Entry) -> None:
        """Records that tally refused an entry."""
        with self._lock:
            self._refuse(entry)

    def _refuse(self, entry: Entry) -> None:
        body = {
            "detail": "came too late",
            "identity": b64(entry.identity),
            "intake": entry.signatures[0].name if entry.kind == "ballot" else "",
            "kind": entry.kind,
            "leaf": b64(entry.leaf),
            "manifest": b64(self.election.manifest.hash),
            "reason": "closed",
        }
        self._record(seal(make_text("refusal", ORIGIN, body), [self.parties.log[0]]))

    def forge(self, place: int) -> None:
        """Changes a proof within a ballot that is recorded, as only the log and its custodians together can."""
        entry = parse_entry(self.entries[place])
        contests = {id: {**votes} for id, votes in entry.body["contests"].items()}
        first = next(iter(contests))
        contests[first]["C"] = [contests[first]["C"][0][::-1], *contests[first]["C"][1:]]
        text = make_text("ballot", ORIGIN, {**entry.body, "contests": contests})
        self.replace(place, seal(text, [self.parties.intakes[0]]))

    def replace(self, place: int, raw: bytes) -> None:
        with self._lock:
            self.entries[place] = raw
            self._publish()

    def reconcile(self) -> None:
        """What every intake does once the closing is recorded."""
        with self._lock:
            for intake in self.parties.intakes:
                count, root = reconcile_root(self.seen.passed(intake.name))
                manifest = b64(self.election.manifest.hash)
                body = {"count": count, "manifest": manifest, "root": b64(root), "signer": intake.name}
                self._record(seal(make_text("reconcile", ORIGIN, body), [intake]))

    def post(self, raw: bytes) -> Answer:
        """What the door answers."""
        with self._lock:
            self.posts.append(raw)
            scripted = self.script.pop(0) if self.script else None
            if scripted is not None:
                return scripted
            try:
                answer = self._accept(raw)
                if self.lose:
                    # The client turns to the next intake.
                    self.lose, self.intake = False, 1
                    return 503, b""
                return answer
            except Refused as refusal:
                fields = {"reason": refusal.reason, "detail": refusal.detail, "field": refusal.field}
                return 422, json.dumps(fields).encode()

    def _accept(self, raw: bytes) -> Answer:
        line = ""
        if raw.startswith(b"psephos/v1 ballot\n"):
            signature = self.parties.intakes[self.intake].sign(raw)
            line, raw = signature.line, add_signatures(raw, [signature])
        entry = parse_entry(raw)
        held = {parse_entry(other).identity for other in self.held}
        if self.seen.recorded(entry.identity) is None and entry.identity not in held:
            self.election.check(entry)
            self.election.admit(entry, self.seen)
            self.held.append(raw)
        if self.refusing:
            self.held.remove(raw)
            self._refuse(entry)
        self.hold -= 1
        if self.hold < 0:
            self._release()
        return 201, json.dumps({"line": line, "receipt": self.receipt(entry).decode()}).encode()

    def receipt(self, entry: Entry) -> bytes:
        manifest = entry.identity if entry.kind == "manifest" else self.election.manifest.hash
        body: dict[str, Any] = {"deadline": int(time.time()) + self.wait, "identity": b64(entry.identity)}
        body |= {"kind": entry.kind, "leaf": b64(entry.leaf), "manifest": b64(manifest)}
        return seal(make_text("receipt", ORIGIN, body), [self.parties.intakes[self.intake]])

    def _record(self, raw: bytes) -> None:
        entry = parse_entry(raw)
        self.election.take(entry, self.seen)
        self.seen.add(entry)
        self.entries.append(raw)
        self._publish()

    def _publish(self) -> None:
        leaves = [leaf_hash(raw) for raw in self.entries]
        tree = CompactRange()
        tree.extend(leaves)
        head = Checkpoint(ORIGIN, len(leaves), tree.root())
        keys = [*self.parties.log, *(key for keys in self.parties.custodians[:2] for key in keys)]
        self._source = LeafHashes(leaves)
        self._checkpoint = Note(head.text, tuple(key.sign(head.text, 1_800_000_000 + len(leaves)) for key in keys)).raw

    def get(self, path: str) -> Answer:
        """What the custodian answers."""
        with self._lock:
            self.asked.append(path)
            if path == "checkpoint":
                return (404, b"") if self._checkpoint is None else (200, self._checkpoint)
            if path == "rekeys":
                return 200, rekeys_text(i for i, raw in enumerate(self.entries) if is_rekey(raw))
            tile = parse_path(path)
            places = range(tile.index * WIDTH, tile.index * WIDTH + tile.width)
            if tile.level is None:
                return 200, frame(self.entries[i] for i in places)
            return 200, b"".join(self._source(HEIGHT * tile.level, i) for i in places)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hall = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.answer(hall.get(self.path.removeprefix(f"/{ORIGIN}/")))

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                assert self.path == f"/{ORIGIN}/entries"
                self.answer(hall.post(raw))

            def answer(self, answer: Answer) -> None:
                self.send_response(answer[0])
                self.send_header("content-length", str(len(answer[1])))
                self.end_headers()
                self.wfile.write(answer[1])

            def log_message(self, format: str, *args: object) -> None:
                """Tests say what went wrong themselves."""

        return Handler


def agenda_toml(parties: Parties, votes: dict[str, int], contests: list[dict[str, Any]] | None = None) -> str:
    """An agenda file for this meeting."""
    body = manifest_body(parties, Dice(3), votes, contests or [contest("nominee-1")])
    del body["election"]
    return "".join(f"{name} = {toml(value)}\n" for name, value in {"origin": ORIGIN, **body}.items())


def toml(value: Any) -> str:
    """A TOML value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return json.dumps(value)
