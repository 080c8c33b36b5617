"""A deadline for the whole of an answer over HTTP, its head included: a server that sends a byte now and then, always
in time for the next read, holds nobody up. And of that head there is only what is read here.

httpx knows only a time for each read. Here every read and write of the connection gets what is left of the deadline
that the thread has set. httpx also keeps cookies for the questions to come, without any bound, and makes an address of
every `Location`, though it does not go there; of both it cannot take everything, and what it then raises is no error of
its own. So it does not see them.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterable
from functools import cache
from typing import Any

import httpcore
import httpx

SEEN = (b"content-type", b"content-encoding")
"""What is seen of an answer's head beside its status; how long the body is has been heeded by then."""


class Deadline(threading.local):
    """Until when this thread waits for an answer; no limit where none has been set."""

    until = float("inf")  # As time.monotonic

    def set(self, seconds: float) -> None:
        """From now on the thread waits for `seconds` in all."""
        self.until = time.monotonic() + seconds

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.until

    def left(self, timeout: float | None) -> float | None:
        """`timeout`, or the seconds that are left if they are fewer. httpcore.ReadTimeout if there are none."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the answer is not whole in the time it may take")
        return timeout if timeout is not None and timeout < left else left if left < float("inf") else None


@cache
def _authorities() -> ssl.SSLContext:
    """By whom servers are known. Read once in a process: it takes longer than most answers, also where none is asked
    over TLS.
    """
    return httpx.create_ssl_context()


def client_with(deadline: Deadline, timeout: httpx.Timeout, direct: Iterable[str], **options: Any) -> httpx.Client:
    """A client all of whose connections keep to `deadline`, and of whose answers only SEEN is seen; no proxy of the
    environment is used for the patterns `direct`. `options` are httpx's own.
    """
    client = httpx.Client(timeout=timeout, mounts=dict.fromkeys(direct), verify=_authorities(), **options)
    # httpx offers no way to say it; the tests see whether this still does.
    for transport in (client._transport, *client._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):
            transport._pool._network_backend = _Network(deadline)
    client._transport = _Plain(client._transport)
    client._mounts = {pattern: made and _Plain(made) for pattern, made in client._mounts.items()}
    return client


class _Plain(httpx.BaseTransport):
    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._transport.handle_request(request)
        answer.headers = httpx.Headers([one for one in answer.headers.raw if one[0].lower() in SEEN])
        return answer

    def close(self) -> None:
        self._transport.close()


class _Network(httpcore.SyncBackend):
    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        fault: Exception | None = None
        # Python would try all addresses of the host, each for the whole of the time; they may be thousands.
        for address in _addresses(host, port):
            left = self._deadline.left(timeout)
            try:
                return _Stream(super().connect_tcp(address, port, left, local_address, socket_options), self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                fault = error
        raise fault or httpcore.ConnectError("the host has no address")


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [socket.getnameinfo(one[4], socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0] for one in found]
    except OSError as error:
        raise httpcore.ConnectError(error) from error


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
