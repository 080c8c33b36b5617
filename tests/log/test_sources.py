"""Files over HTTP and from a folder: what may be asked, what is refused before anybody looks at it."""

from __future__ import annotations

import gzip
import pickle
import socket
import time
import tracemalloc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from audit.log.merkle import CompactRange
from audit.log.reader import FolderReader, HttpReader, ReadError, open_head, open_reader, read_entries
from tests.log.sample import POLICY, MemoryReader, some_entries

ENTRIES = some_entries(300)


class Site(ThreadingHTTPServer):
    """Serves `files`. Of a path, `hang_up` says how often to, `status` which one to answer, `packed` what to send, as
    which encoding.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = dict(MemoryReader(ENTRIES).files)
        self.hang_up: dict[str, int] = {}
        self.status: dict[str, int] = {}
        self.asked: list[str] = []
        self.packed: dict[str, tuple[str, bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/vote.example/meeting"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Site

    def do_GET(self) -> None:
        path = self.path.removeprefix("/vote.example/meeting/")
        self.server.asked.append(path)
        if self.server.hang_up.get(path, 0):
            self.server.hang_up[path] -= 1
            self.close_connection = True
            return
        body = self.server.files.get(path)
        status = self.server.status.get(path, 404 if body is None else 200)
        packing, body = self.server.packed.get(path) or ("gzip", gzip.compress(body or b""))
        self.send_response(status)
        self.send_header("Content-Encoding", packing)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def reader(site: Site) -> Iterator[HttpReader]:
    made = HttpReader(site.url + "/")
    yield made
    made.close()


def test_the_whole_log(reader: HttpReader) -> None:
    head = open_head(reader, POLICY, exact=True)
    assert head is not None
    assert list(read_entries(reader, CompactRange(), head)) == ENTRIES


def test_nothing_published(site: Site, reader: HttpReader) -> None:
    del site.files["checkpoint"]
    assert reader.checkpoint() is None


def test_a_deleted_partial_tile_is_cut_from_the_full_one(site: Site, reader: HttpReader) -> None:
    whole = MemoryReader(some_entries(512))
    for path in ("tile/entries/001.p/44", "tile/0/001.p/44"):
        del site.files[path]
    site.files["tile/entries/001"] = whole.files["tile/entries/001"]
    site.files["tile/0/001"] = whole.files["tile/0/001"]
    assert reader.bundle(1, 44) == MemoryReader(ENTRIES).files["tile/entries/001.p/44"]
    assert reader.tile(0, 1, 44) == MemoryReader(ENTRIES).files["tile/0/001.p/44"]


def test_a_connection_lost_once_is_asked_again(site: Site, reader: HttpReader) -> None:
    site.hang_up["checkpoint"] = 1
    assert reader.checkpoint() == site.files["checkpoint"]


def test_a_fault_twice_in_a_row_is_not_remembered(site: Site, reader: HttpReader) -> None:
    site.hang_up["tile/entries/000"] = 2
    with pytest.raises(ReadError) as error:
        reader.bundle(0, 256)
    assert (error.value.reason, error.value.where) == ("unreachable", f"{site.url}/tile/entries/000")
    assert reader.bundle(0, 256) == site.files["tile/entries/000"]


@pytest.mark.parametrize("status", [301, 401, 429, 500, 503])
def test_another_status_is_never_taken_for_an_empty_log(site: Site, reader: HttpReader, status: int) -> None:
    site.status["checkpoint"] = status
    with pytest.raises(ReadError, match=f"answered {status}") as error:
        reader.checkpoint()
    assert error.value.reason == "unreachable"


def test_nobody_listens() -> None:
    closed = HttpReader("http://127.0.0.1:1/vote.example/meeting")
    with pytest.raises(ReadError, match="cannot be reached: Connection refused$") as error:
        closed.checkpoint()
    assert error.value.where == "http://127.0.0.1:1/vote.example/meeting/checkpoint"


@pytest.mark.parametrize("path", ["checkpoint", "tile/0/000", "tile/entries/000"])
def test_an_endless_answer_is_cut_off(site: Site, reader: HttpReader, path: str) -> None:
    read = {"checkpoint": reader.checkpoint, "tile/0/000": lambda: reader.tile(0, 0, 256)}
    site.files[path] = bytes(17 << 20)
    with pytest.raises(ReadError, match="is longer than") as error:
        read.get(path, lambda: reader.bundle(0, 256))()
    assert error.value.where == f"{site.url}/{path}"


MANY = bytes(17 << 20)


@pytest.mark.parametrize(
    ("packing", "packed", "fault"),
    [
        ("gzip", gzip.compress(MANY, mtime=0), "is longer than"),
        ("gzip, gzip", gzip.compress(gzip.compress(MANY, mtime=0), mtime=0), "is packed as"),
        ("deflate", b"", "is packed as"),
        ("gzip", gzip.compress(b"x", mtime=0)[:-1], "ends before its gzip does"),
        ("gzip", gzip.compress(b"x", mtime=0) + b"more", "ends before its gzip does, or goes on after it"),
        ("gzip", gzip.compress(b"x", mtime=0) + MANY, "ends before its gzip does, or goes on after it"),
        ("gzip", b"none", "is not the gzip"),
    ],
)
def test_no_more_is_unpacked_than_a_file_may_have(
    site: Site, reader: HttpReader, packing: str, packed: bytes, fault: str
) -> None:
    site.packed["checkpoint"] = packing, packed
    tracemalloc.start()
    try:
        with pytest.raises(ReadError, match=fault):
            reader.checkpoint()
        assert tracemalloc.get_traced_memory()[1] < len(MANY) / 2
    finally:
        tracemalloc.stop()


HEADS = {
    "nothing": b"",
    "the status": b"HTTP/1.1 200 OK\r\nX-Slow: ",
    "the head": b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n",
    "a chunked head": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n",
}


class Dripper:
    """A custodian that says `head` at once, and then a byte every 50 ms, for as long as anybody listens."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._ended = False
        self.left = Event()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/vote.example/meeting"
        self._thread = Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended:
            connection, _ = self._socket.accept()
            with connection:
                try:
                    connection.sendall(self._head)
                    # Not without end, so that the test fails and does not hang if nobody hangs up.
                    for _ in range(200):
                        if self._ended:
                            break
                        connection.sendall(b"x")
                        time.sleep(0.05)
                except OSError:
                    self.left.set()

    def close(self) -> None:
        self._ended = True
        socket.create_connection(self._socket.getsockname()).close()
        self._thread.join()
        self._socket.close()


def test_what_a_stranger_says_is_not_quoted_at_length() -> None:
    server = Dripper(b"y" * 60_000 + b"\r\n\r\n")
    reader = HttpReader(server.url)
    try:
        with pytest.raises(ReadError, match="cannot be reached: .*yyyy") as error:
            reader.checkpoint()
        assert len(error.value.detail) < 250
    finally:
        reader.close()
        server.close()


@pytest.mark.parametrize("head", sorted(HEADS))
def test_a_file_that_drips_is_given_up(head: str) -> None:
    server = Dripper(HEADS[head])
    reader = HttpReader(server.url, seconds=0.5)
    try:
        with pytest.raises(ReadError, match=r"is not there whole after 0\.5 seconds") as error:
            reader.checkpoint()
        assert (error.value.reason, error.value.where) == ("unreachable", f"{server.url}/checkpoint")
        assert server.left.wait(5)
    finally:
        reader.close()
        server.close()


def test_each_file_has_its_own_time(site: Site, reader: HttpReader) -> None:
    reader._deadline.set(-1)
    assert reader._deadline.over
    assert reader.checkpoint() == site.files["checkpoint"]


@pytest.mark.parametrize("cut", [-1, -300, 1])
def test_a_tile_of_another_length(site: Site, reader: HttpReader, cut: int) -> None:
    raw = site.files["tile/0/001.p/44"]
    site.files["tile/0/001.p/44"] = raw[:cut] if cut < 0 else raw + b"\0"
    with pytest.raises(ReadError, match=f"has {1408 + cut} bytes, not 1408"):
        reader.tile(0, 1, 44)


@pytest.mark.parametrize("cut", [-1, -300])
def test_a_bundle_that_ends_early(site: Site, reader: HttpReader, cut: int) -> None:
    site.files["tile/entries/001.p/44"] = site.files["tile/entries/001.p/44"][:cut]
    with pytest.raises(ReadError) as error:
        reader.bundle(1, 44)
    assert error.value.where == f"{site.url}/tile/entries/001.p/44"


@pytest.mark.parametrize("url", ["", "ftp://example.com/log", "http://", "http://a:b:c", "example.com/log"])
def test_no_address(url: str) -> None:
    with pytest.raises(ReadError):
        HttpReader(url)


@pytest.mark.parametrize("url", ["http://name:word@log.example/x", "ftp://name:word@log.example", "http://:word@a:b:c"])
def test_an_address_that_carries_a_password_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ReadError) as refused:
        HttpReader(url)
    assert "word@" not in str(refused.value) and "name:" not in str(refused.value)


def test_a_folder_is_no_address(tmp_path: Path) -> None:
    assert isinstance(open_reader(str(tmp_path)), FolderReader)
    with pytest.raises(ReadError, match="is not a folder"):
        FolderReader(tmp_path / "nowhere").checkpoint()
    assert FolderReader(tmp_path).checkpoint() is None


def test_a_folder_that_leads_into_itself_shows_no_file_twice(tmp_path: Path) -> None:
    for path, raw in MemoryReader(ENTRIES).files.items():
        (tmp_path / "record" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "record" / path).write_bytes(raw)
    (tmp_path / "latest").symlink_to("record")
    reader = FolderReader(tmp_path / "latest")
    first = reader.bundle(0, 256)
    (tmp_path / "record/tile/entries/x001").symlink_to(".")
    with pytest.raises(ReadError) as refused:
        reader.bundle(1000, 256)
    assert refused.value.reason == "unexpected-file"
    assert reader.bundle(0, 256) == first


def test_a_folder_without_a_tile(tmp_path: Path) -> None:
    with pytest.raises(ReadError) as error:
        FolderReader(tmp_path).tile(0, 0, 3)
    assert str(error.value) == f"{tmp_path}/tile/0/000.p/3: is missing"
    (tmp_path / "tile/0").mkdir(parents=True)
    (tmp_path / "tile/0/000.p").write_bytes(b"")
    with pytest.raises(ReadError, match="Not a directory"):
        FolderReader(tmp_path).tile(0, 0, 3)


@pytest.mark.parametrize("there", ["tile/entries/000.p/43", "tile/entries/000"])
def test_a_checkpoint_of_another_size_than_the_tiles_is_said_to_be_one(tmp_path: Path, there: str) -> None:
    (tmp_path / there).parent.mkdir(parents=True)
    (tmp_path / there).write_bytes(b"")
    with pytest.raises(ReadError) as error:
        FolderReader(tmp_path).bundle(0, 42)
    said = f"is missing, but {there} is there: checkpoint and tiles are of different sizes"
    assert (str(error.value), error.value.reason) == (f"{tmp_path}/tile/entries/000.p/42: {said}", "not-found")


def test_an_error_survives_the_way_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(ReadError("is missing", "record/tile", "not-found")))
    assert (str(error), error.reason) == ("record/tile: is missing", "not-found")
