"""The files a run of letters is kept in: each appears whole or not at all, is only its owner's to read, and never
replaces another.

A run that was broken off leaves whole files and none in part; to print the rest, or all anew, it is begun again in an
empty folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from audit.protocol.refused import Refused
from infra.keys import secret_file
from infra.table import TableError
from intake.register.letters_addressees import Addressee
from intake.register.letters_layout import address_fault
from intake.register.letters_occasion import Occasion

Write = Callable[[BinaryIO, Occasion, Iterable[Addressee], Callable[[], None]], None]


def empty_folder(folder: Path) -> None:
    """Makes the folder, its owner's alone. Refused `duplicate` if there is anything in it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Refused("duplicate", f"{folder} is not empty: letters are printed into a folder of their own")


def write_files(
    folder: Path,
    occasion: Occasion,
    letters: Sequence[Addressee],
    most: int,
    kinds: Mapping[str, Write],
    step: Callable[[], None],
) -> int:
    """Writes the letters of every kind (ending -> how), `most` a file; how many files that made. `step` is called for
    each letter and kind.
    """
    files = 0
    for name, part in parts(letters, most):
        for ending, write in kinds.items():
            with secret_file(folder / f"{name}.{ending}") as file:
                write(file, occasion, part, step)
            files += 1
    return files


def parts(letters: Sequence[Addressee], most: int) -> Iterator[tuple[str, list[Addressee]]]:
    """The letters in parts of `most`, each with a file's name: the account's, or from which place to which it goes."""
    rest, digits = iter(letters), len(str(len(letters)))
    place = 0
    while part := list(islice(rest, most)):
        first, place = place + 1, place + len(part)
        yield part[0].account.id if most == 1 else f"letters-{first:0{digits}}-{place:0{digits}}", part


def expect_addresses(register: Path, letters: Iterable[Addressee]) -> None:
    """TableError naming every row of the register whose name or address cannot be printed on a letter."""
    found = [(to, fault) for to in letters if (fault := address_fault(to))]
    if found:
        raise TableError(register, [f"line {to.line}: account {to.account.id}: {fault}" for to, fault in found])
