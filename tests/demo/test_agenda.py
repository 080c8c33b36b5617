"""The demo's own files are read back as they were meant."""

import os
import tomllib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from audit.record.entries import make_text, read_text
from audit.record.manifest import parse_manifest
from infra.demo.agenda import agenda
from infra.demo.offices import make_offices
from infra.demo.published import published
from infra.demo.toml import to_toml

names = st.from_regex(r"\A[a-z_]{1,8}\Z")
texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x7f"), max_size=20)
scalars = texts | st.integers(0, 1 << 60) | st.booleans()
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3))


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(names, values, max_size=4))
def test_what_is_written_is_what_is_read(table: dict[str, object]) -> None:
    assert tomllib.loads(to_toml(table)) == table


def test_the_agenda_is_a_manifest(tmp_path: Path) -> None:
    offices = make_offices(tmp_path, os.urandom)
    body = tomllib.loads(to_toml(agenda(published(), offices)))
    origin = body.pop("origin")
    manifest = parse_manifest(read_text(make_text("manifest", origin, {**body, "election": "A" * 22})))
    assert len(manifest.contests) == 9
    assert all((path.stat().st_mode & 0o777) == 0o600 for path in tmp_path.iterdir())
