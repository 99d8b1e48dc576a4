"""Writes the contract of every tool of the agent to schemas/tools/, one file each."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from agent.tools import TOOLS, Tool

FOLDER = settings.BASE_DIR / "schemas" / "tools"


def written(name: str, tool: Tool) -> str:
    """A tool's contract as JSON, in the words of the Model Context Protocol."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    contract = {
        "name": name,
        "description": tool.says,
        "inputSchema": dialect | dict(tool.arguments),
        "outputSchema": dialect | dict(tool.result),
        "permission": str(tool.permission),
    }
    return json.dumps(contract, indent=2, ensure_ascii=False) + "\n"


class Command(BaseCommand):
    """With --check nothing is written: the command fails and names the files that differ."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="only compare")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Path(FOLDER)
        now = {f"{name}.json": written(name, tool) for name, tool in TOOLS.items()}
        there = {path.name: path.read_text() for path in sorted(folder.glob("*.json"))}
        if options["check"]:
            if differing := sorted(name for name, _ in now.items() ^ there.items()):
                names = ", ".join(dict.fromkeys(differing))
                raise CommandError(
                    f"schemas/tools is out of date ({names}): run write_tool_schemas"
                )
            return
        folder.mkdir(parents=True, exist_ok=True)
        for name in there.keys() - now.keys():
            (folder / name).unlink()
        for name, text in now.items():
            (folder / name).write_text(text)
