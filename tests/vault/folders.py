"""Folders in which the custodian of a test keeps logs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from vault.custodian.disk import Disk
from vault.custodian.folder_mending import MendableFolder
from vault.custodian.folder_store import make_folder

KEEPER = "custodian-of-the-tests"


def opened(root: object, origins: Sequence[str], disk: Disk | None = None) -> MendableFolder:
    """What a custodian holds of these logs in a folder, which is made at its first use."""
    make_folder(str(root), disk)
    for origin in origins:
        with suppress(FileExistsError):
            MendableFolder(str(root), [origin], disk, lost=True).keep(origin, KEEPER)
    return MendableFolder(str(root), origins, disk)
