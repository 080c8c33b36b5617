"""What README and docs tell people to type can be typed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import typer.main

from infra.commands import root

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
TYPED = re.compile(r"(?:^[ ]{4,}|`)(?:\./run )?psephos ([^`\n]*)", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#]+)\)")
TOML = re.compile(r"```toml\n(.*?)```", re.DOTALL)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_and_options_exist(page: Path) -> None:
    for typed in TYPED.findall(page.read_text()):
        words = typed.partition("#")[0].replace("[", " ").replace("]", " ").split()
        command = typer.main.get_command(root())
        while words and hasattr(command, "commands") and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        if hasattr(command, "commands"):
            assert not words or words[0] == "ARGS", f"there is no command `psephos {typed}`"
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, typed


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_configuration_is_toml(page: Path) -> None:
    for text in TOML.findall(page.read_text()):
        assert tomllib.loads(text)
