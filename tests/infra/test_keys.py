"""Secrets on disk: whole or not at all, never over another one, never open to others."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from audit.log.keys import ED25519, Signer
from infra.keys import KeyFileError, new_token, read_secret, read_signer, read_token, write_secret


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    write_secret(path, b"hush")
    return path


def test_a_secret_is_read_back_and_its_owner_s_alone(secret: Path) -> None:
    assert read_secret(secret) == b"hush"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_it_is_closed_from_the_first_moment_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_secret(tmp_path / "secret", "hush")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_it_is_never_written_over(secret: Path) -> None:
    with pytest.raises(KeyFileError, match="exists already"):
        write_secret(secret, b"other")
    assert read_secret(secret) == b"hush"
    assert [path.name for path in secret.parent.iterdir()] == ["secret"]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_secret(tmp_path / "secret", b"hush")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_one_that_others_can_reach_is_refused(secret: Path, mode: int) -> None:
    secret.chmod(mode)
    with pytest.raises(KeyFileError, match=f"mode 0{mode:o}"):
        read_secret(secret)


def test_a_missing_or_empty_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="missing: No such file"):
        read_secret(tmp_path / "missing")
    write_secret(tmp_path / "empty", b"")
    with pytest.raises(KeyFileError, match="empty: is empty"):
        read_secret(tmp_path / "empty")


def test_tokens_are_long_different_and_read_back(tmp_path: Path) -> None:
    tokens = [new_token(tmp_path / str(number)) for number in range(2)]
    assert [read_token(tmp_path / str(number)) for number in range(2)] == tokens
    assert len(set(tokens)) == 2
    assert {len(token) for token in tokens} == {43}


@pytest.mark.parametrize("text", ["short", "x" * 42 + "!", "y" * 20 + " " + "y" * 22, "z" * 42 + "\u00e9", "\n"])
def test_what_is_no_token_is_refused(tmp_path: Path, text: str) -> None:
    write_secret(tmp_path / "token", text)
    with pytest.raises(KeyFileError, match="is no bearer token.*`psephos key token` makes one"):
        read_token(tmp_path / "token")


def test_a_signer_is_read_back(tmp_path: Path) -> None:
    signer = Signer("intake-1.vote.example", ED25519, bytes(32))
    write_secret(tmp_path / "key", signer.private + "\n")
    assert read_signer(tmp_path / "key").verifier == signer.verifier


def test_a_broken_key_is_refused_without_showing_it(tmp_path: Path) -> None:
    private = Signer("intake-1.vote.example", ED25519, bytes(range(32))).private
    write_secret(tmp_path / "key", private.replace("intake-1", "intake-2"))
    with pytest.raises(KeyFileError, match="the key id is not that of the private key") as error:
        read_signer(tmp_path / "key")
    assert private.rpartition("+")[2] not in str(error.value)


def test_a_folder_that_is_not_there_is_named_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=f"^{tmp_path}/none/key: No such file or directory$"):
        write_secret(tmp_path / "none" / "key", "secret")
