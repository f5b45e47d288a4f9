"""A server of the speed measurements, in a process of its own: `python -m benchmarks.model.serve ours|floor PORT`.

`floor` is what any server of this kind costs: an aiohttp handler that answers with the same bytes and looks at nothing.
"""

from __future__ import annotations

import asyncio
import sys
import threading

from aiohttp import web

from benchmarks.model.speed import REPLY
from grader.model import ModelDouble, Reply


def main(kind: str, port: int) -> None:
    """Serve until the process is ended."""
    if kind == "ours":
        with ModelDouble(port=port) as double:
            double.respond(lambda _: Reply(REPLY))
            threading.Event().wait()
    else:
        asyncio.run(_floor(port))


async def _floor(port: int) -> None:
    with ModelDouble() as double:  # the bytes of a real reply
        double.respond(lambda _: Reply(REPLY))
        body, headers = await asyncio.to_thread(_reply_of, double)

    async def handle(http: web.BaseRequest) -> web.StreamResponse:
        await http.read()
        return web.Response(body=body, headers=headers)

    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.Event().wait()


def _reply_of(double: ModelDouble) -> tuple[bytes, dict[str, str]]:
    import httpx2  # noqa: PLC0415  the other kind has no use of it

    from benchmarks.model.speed import BODY  # noqa: PLC0415  as above

    reply = httpx2.post(
        f"{double.openai_base_url}/chat/completions", content=BODY, headers={"authorization": "Bearer k"}
    )
    kept = {name: value for name, value in reply.headers.items() if name not in ("content-length", "date", "server")}
    return reply.content, kept


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
