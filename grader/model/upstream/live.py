"""Asks a real endpoint over HTTP, with the learner's own key, which goes nowhere else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import aiohttp

from grader.model.upstream.passage import Passage, UpstreamReply, passed_on
from grader.model.wires.wire import Rejection

SECONDS = 600.0
CONNECT_SECONDS = 10.0


class UpstreamGoneError(ConnectionError):
    """The upstream broke off in the middle of a reply."""


class Live:
    """An endpoint at an address that may or may not end in /v1; `key` is sent as the vendors' SDKs send theirs."""

    def __init__(self, address: str, key: str = "") -> None:
        self._address = address.rstrip("/").removesuffix("/v1")
        self._key = key
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, passage: Passage) -> UpstreamReply:
        """Send the passage; returns when the reply's headers are there.

        Raises:
            Rejection: nobody answers at the address.
        """
        headers = {"accept-encoding": "identity", "user-agent": "ai-engineering-labs", **passage.headers}
        if passage.body is not None:
            headers["content-type"] = "application/json"
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        data = None if passage.body is None else json.dumps(passage.body, ensure_ascii=False).encode("utf-8", "replace")
        try:
            response = await self._opened().request(
                passage.method, self._address + passage.path, data=data, headers=headers, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            message = f"The upstream at {self._address} cannot be reached: {str(error) or type(error).__name__}"
            raise Rejection(message, status=502) from error
        return UpstreamReply(response.status, passed_on(response.headers), _parts(response))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=SECONDS, sock_connect=CONNECT_SECONDS)
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=True, cookie_jar=aiohttp.DummyCookieJar())
        return self._session


async def _parts(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for part in response.content.iter_any():
            yield part
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UpstreamGoneError(f"the upstream broke off: {error}") from error
    finally:
        response.release()
