"""What every attack is told of its host, and how it says what it got."""

import json
from pathlib import Path

HOST = json.loads((Path(__file__).parent / "targets.json").read_text())
LOOT = []


def loot(what):
    """Keep what was got hold of: any entry is a breach."""
    LOOT.append(str(what)[:2000])


def attempt(name, attack):
    """Try something; that it works is the breach."""
    try:
        got = attack()
    except BaseException as error:
        return error
    loot(f"{name}: {got}")
    return None
