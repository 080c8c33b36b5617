"""Sealed files: nothing but the right lock opens them, and no byte can be changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.protocol.canonical import canonical, parse_canonical
from infra import sealed
from infra.keys import KeyFileError
from infra.sealed import (
    FORMAT,
    Lock,
    SealedError,
    lock_for,
    new_key_file,
    passphrase_lock,
    read_lock,
    read_sealed,
    seal,
    stored_sealed,
    unseal,
    write_sealed,
)

KEY = Lock("hkdf-sha256", bytes(range(32)))
PLAIN = b"account_id,class,control_number\n"


def secret(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


@given(st.binary(max_size=300), st.binary(min_size=32, max_size=32))
def test_what_was_sealed_comes_back(plain: bytes, key: bytes) -> None:
    lock = Lock("hkdf-sha256", key)
    raw = seal(plain, lock, os.urandom)
    assert unseal(raw, lock) == plain
    assert len(plain) < 4 or plain not in raw


def test_a_passphrase_seals_too(tmp_path: Path) -> None:
    path, lock = tmp_path / "numbers", passphrase_lock("correct horse battery")
    write_sealed(path, PLAIN, lock)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_sealed(path, lock) == PLAIN
    with pytest.raises(SealedError, match="numbers: the passphrase is another one, or the file has been changed"):
        read_sealed(path, passphrase_lock("correct horse batterie"))
    with pytest.raises(SealedError, match="is sealed with a passphrase, and that was not given"):
        read_sealed(path, KEY)
    with pytest.raises(KeyFileError, match="exists already"):
        write_sealed(path, b"other", lock)
    assert read_sealed(path, lock) == PLAIN


def test_no_byte_can_be_changed() -> None:
    raw = seal(PLAIN, KEY, os.urandom)
    for i in range(len(raw)):
        changed = bytearray(raw)
        changed[i] ^= 1
        with pytest.raises(SealedError):
            unseal(bytes(changed), KEY)
    for cut in (b"", raw[:-1], raw[:20], raw + b"\0"):
        with pytest.raises(SealedError):
            unseal(cut, KEY)


@settings(max_examples=50)
@given(st.binary(max_size=600))
def test_anything_else_is_no_sealed_file(raw: bytes) -> None:
    for any_bytes in (raw, FORMAT + raw, FORMAT + b"{}\n" + raw):
        with pytest.raises(SealedError):
            unseal(any_bytes, KEY)


@pytest.mark.parametrize(
    "changes",
    [
        {"log_n": 14},
        {"log_n": 19},
        {"log_n": 63},
        {"log_n": "17"},
        {"p": 2},
        {"r": 1 << 20},
        {"salt": "AAAA"},
        {"kdf": "none"},
        {"more": 1},
    ],
)
def test_parameters_are_bounded(changes: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before any key is derived from them."""
    monkeypatch.setattr(sealed, "LOG_N", 15)
    lock = passphrase_lock("correct horse battery")
    _, header, rest = seal(PLAIN, lock, os.urandom).split(b"\n", 2)
    fields = {**parse_canonical(header), **changes}
    monkeypatch.setattr(Lock, "key", lambda self, header: pytest.fail("a key was derived"))
    with pytest.raises(SealedError, match="its header is none of this release"):
        unseal(FORMAT + canonical(fields) + b"\n" + rest, lock)


def test_two_files_share_nothing() -> None:
    one, two = (seal(PLAIN, KEY, os.urandom) for _ in range(2))
    assert one.split(b"\n", 2)[1] != two.split(b"\n", 2)[1] and one[-40:] != two[-40:]


def test_a_key_file(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    new_key_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    lock = read_lock(path)
    assert (lock.kdf, len(lock.secret)) == ("hkdf-sha256", 32)
    assert "secret" not in repr(lock)
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="lets others read it"):
        read_lock(path)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("short\n", "lock: a passphrase is one line of at least 12 characters"),
        ("one line\nand another line\n", "lock: a passphrase is one line"),
        ("psephos-key-AAAA\n", "lock: is no key file"),
    ],
)
def test_locks_that_are_none(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(SealedError, match=what):
        read_lock(secret(tmp_path / "lock", text))


def test_a_passphrase_file_may_end_in_a_line_break(tmp_path: Path) -> None:
    bare, ended = (secret(tmp_path / name, text) for name, text in (("a", "x" * 12), ("b", "x" * 12 + "\n")))
    assert read_lock(bare) == read_lock(ended)


class TestAskedFor:
    """At the terminal, and nowhere else."""

    @pytest.fixture
    def said(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        answers: list[str] = []
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("getpass.getpass", lambda prompt: answers.pop(0))
        return answers

    def test_twice_for_a_new_file(self, said: list[str], tmp_path: Path) -> None:
        said += ["correct horse battery"] * 2
        assert lock_for(tmp_path / "new", None) == passphrase_lock("correct horse battery")
        said += ["correct horse battery", "correct horse batterie"]
        with pytest.raises(SealedError, match="the two passphrases differ"):
            lock_for(tmp_path / "new", None)

    def test_once_for_one_that_is_there(self, said: list[str], tmp_path: Path) -> None:
        said += ["correct horse battery"]
        assert lock_for(secret(tmp_path / "old", "x"), None) == passphrase_lock("correct horse battery")

    def test_not_without_a_terminal(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
        with pytest.raises(SealedError, match="no terminal to ask"):
            lock_for(tmp_path / "old", None)


def test_made_once(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    assert stored_sealed(path, lambda: b"first", KEY) == b"first"
    assert stored_sealed(path, lambda: b"second", KEY) == b"first"
