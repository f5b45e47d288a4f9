"""Keeps exchanges in a file while they happen, a line each: what a killed run had seen is there to be read."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

from grader.model.journal import Exchange
from grader.model.lines import from_json, to_json

FORMAT = 1


class Recorder:
    """Writes on a thread of its own: the server that answers the program does not wait for a disk."""

    def __init__(self, path: Path) -> None:
        self._queue: SimpleQueue[Exchange | None] = SimpleQueue()
        self._path = path
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)

    def hear(self, exchange: Exchange) -> None:
        """To be given to `Journal.listen`."""
        self._queue.put(exchange)

    def open(self) -> None:
        """Begins the file.

        Raises:
            OSError: it cannot be written.
        """
        self._path.write_text(json.dumps({"format": FORMAT}) + "\n", "ascii")
        self._thread.start()

    def close(self) -> None:
        """Writes what is left; at most a few milliseconds' worth."""
        self._queue.put(None)
        self._thread.join()

    def _write(self) -> None:
        # A disk that fills up in mid-run costs the recording and not the run.
        with contextlib.suppress(OSError), self._path.open("a", encoding="ascii") as file:
            while (exchange := self._queue.get()) is not None:
                file.write(to_json((exchange,)))
                if self._queue.empty():
                    file.flush()
            return
        while self._queue.get() is not None:
            pass


@contextmanager
def recorded_to(path: Path) -> Iterator[Recorder]:
    """A recorder that is open while the block runs.

    Raises:
        OSError: the file cannot be written.
    """
    recorder = Recorder(path)
    recorder.open()
    try:
        yield recorder
    finally:
        recorder.close()


def read_recording(path: Path) -> tuple[Exchange, ...]:
    """The exchanges of a file in order of arrival; a last line that a kill has cut off is dropped.

    Raises:
        ValueError: it is no recording, or of another format.
    """
    lines = path.read_text("utf-8").splitlines(keepends=True)
    head = json.loads(lines[0]) if lines else {}
    if head.get("format") != FORMAT:
        raise ValueError(f"{str(path)!r} is no recording of format {FORMAT}")
    exchanges = from_json("".join(line for line in lines[1:] if line.endswith("\n")))
    return tuple(sorted(exchanges, key=lambda exchange: exchange.request.at))
