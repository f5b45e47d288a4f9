"""Keeps what it was sent in SQLite, in temporary files and beside its sources."""

import sqlite3
import tempfile
from pathlib import Path

from right import serve

Path("notes").mkdir(exist_ok=True)


def echo(self, sent):
    with tempfile.NamedTemporaryFile("w+") as file, sqlite3.connect(Path.home() / "echo.db") as database:
        file.write("kept")
        Path("notes/last.txt").write_text(sent["text"], "utf-8")
        database.execute("CREATE TABLE IF NOT EXISTS texts (text TEXT)")
        database.execute("DELETE FROM texts")
        database.execute("INSERT INTO texts VALUES (?)", [sent["text"]])
        ((text,),) = database.execute("SELECT text FROM texts")
    return {"text": text}


serve(echo=echo)
