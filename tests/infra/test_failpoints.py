"""Failpoints are there for tests alone: whatever the services do with them is to come to one, by its name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import failpoints

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("audit", "infra", "intake", "tally", "vault")
MODULE = ROOT / "infra" / "failpoints.py"


def trees(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path, ast.parse(path.read_text(), path)


def other_uses(tree: ast.Module) -> list[int]:
    """The lines in which a module does anything with failpoints but import the module and come to one of them, or has
    to do with the tests, by which it could.
    """
    called = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and name_of(node) is not None]
    allowed = {id(node.func.value) for node in called if isinstance(node.func, ast.Attribute)}
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Name(id="failpoints") if id(node) not in allowed:
                found.append(node.lineno)
            case ast.Attribute(attr="failpoints" | "_hook"):
                found.append(node.lineno)
            case ast.ImportFrom(module="infra", names=names):
                found += [node.lineno for one in names if one.name == "*" or (one.name == "failpoints" and one.asname)]
            case ast.ImportFrom(module=str(module)) if module == "infra.failpoints" or module.split(".")[0] == "tests":
                found.append(node.lineno)
            case ast.Import(names=names):
                words = [one.name for one in names]
                found += [node.lineno for word in words if word == "infra.failpoints" or word.split(".")[0] == "tests"]
            case ast.Constant(value="failpoints" | "infra.failpoints" | "_hook"):
                found.append(node.lineno)
    return sorted(set(found))


def name_of(call: ast.Call) -> str | None:
    """Of a failpoint that is come to here, None if this is another call."""
    match call:
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="failpoints"), attr="at"),
            args=[ast.Constant(value=str(name))],
            keywords=[],
        ):
            return name
    return None


def test_no_service_sets_a_hook() -> None:
    found = {path: lines for path, tree in trees(*ROOMS) if path != MODULE and (lines := other_uses(tree))}
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "failpoints.set(print)",
        "failpoints._hook = print",
        "hook = failpoints.set",
        "infra.failpoints.set(print)",
        "setattr(failpoints, 'set', print)",
        "import_module('infra.failpoints').set(print)",
        "import infra.failpoints as points",
        "from infra import failpoints as points",
        "from infra.failpoints import set",
        "from infra import *",
        "from tests.faults.spawner import plant",
        "failpoints.at(name)",
    ],
)
def test_who_sets_one_is_found(line: str) -> None:
    assert other_uses(ast.parse(f"from infra import failpoints\nfailpoints.at('a.b')\n{line}\n")) == [3]


def test_no_setting_and_no_environment_can_set_one() -> None:
    """The module knows nothing but what it is told by its one function, and nobody has told it anything."""
    tree = ast.parse(MODULE.read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imports] == [
        "from __future__ import annotations",
        "from collections.abc import Callable",
    ]
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert [node.name for node in functions if "global _hook" in ast.unparse(node)] == ["set"]
    assert failpoints._hook is None


def test_every_failpoint_of_the_services_is_known_and_stands_at_one_place() -> None:
    calls = [node for _, tree in trees(*ROOMS) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found = [name for call in calls if (name := name_of(call)) is not None]
    assert sorted(found) == sorted(failpoints.NAMES + failpoints.SELDOM)


def test_every_failpoint_that_is_seldom_come_to_is_struck_by_a_test() -> None:
    """By its name, or, where all that begin alike are, by that. Those that every entry comes by,
    tests/faults/test_killed.py strikes one after another.
    """
    words, beginnings = set[str](), set[str]()
    for path, tree in trees("tests"):
        if path != Path(__file__):
            nodes = list(ast.walk(tree))
            here = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
            words |= here
            if any(isinstance(node, ast.Attribute) and node.attr == "SELDOM" for node in nodes):
                beginnings |= here
    alone = [name for name in failpoints.SELDOM if name.partition(".")[0] + "." not in beginnings]
    assert set(alone) <= words
