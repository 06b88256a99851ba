"""Slow clients of every kind: `python -m tests.serving.crowd URL CLIENTS SECONDS`. Says what became of them."""

import asyncio
import json
import resource
import socket
import sys

import httpx

#: Seconds between two bytes of the slow, and until one that was closed comes again.
PAUSE = 5


class Crowd:
    """Clients that say nothing, send heads or bodies slowly, or never read; each comes again when it is closed.

    Attributes
    ----------
    opened, open, most : int
        Connections so far, now, and at a time.
    """

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._loop = asyncio.get_running_loop()
        self.opened = self.open = self.most = 0
        self.kinds = [self._silent, self._slow_head, self._slow_body, self._unread]

    async def client(self, index: int) -> None:
        """Be slow, again and again."""
        act = self.kinds[index % len(self.kinds)]
        while True:
            with socket.socket() as connection:
                connection.setblocking(False)
                if act == self._unread:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                try:
                    await self._loop.sock_connect(connection, self._address)
                    self.opened += 1
                    self.open += 1
                    self.most = max(self.most, self.open)
                    try:
                        # One unread answer in fifty is larger than what systems keep for who does not read.
                        await act(connection, 400 if index % 200 == 3 else 1)
                    finally:
                        self.open -= 1
                except OSError:
                    pass  # closed, or not even taken
            await asyncio.sleep(PAUSE)

    async def _silent(self, connection: socket.socket, _: int) -> None:
        await self._loop.sock_recv(connection, 1)

    async def _slow_head(self, connection: socket.socket, _: int) -> None:
        await self._loop.sock_sendall(connection, b"POST /predict HTTP/1.1\r\n")
        await self._go_on(connection, b"x-a: b\r\n")

    async def _slow_body(self, connection: socket.socket, _: int) -> None:
        await self._loop.sock_sendall(connection, b"POST /predict HTTP/1.1\r\ncontent-length: 999\r\n\r\n")
        await self._go_on(connection, b" ")

    async def _go_on(self, connection: socket.socket, part: bytes) -> None:
        while True:
            await self._loop.sock_sendall(connection, part)
            await asyncio.sleep(PAUSE)

    async def _unread(self, connection: socket.socket, requests: int) -> None:
        await self._loop.sock_sendall(connection, b"GET /page/page.js HTTP/1.1\r\nhost: a\r\n\r\n" * requests)
        await asyncio.sleep(60)


async def gather(url: str, size: int, seconds: float) -> None:
    """Let the crowd come, stay, and go."""
    address = httpx.URL(url)
    crowd = Crowd(address.host, address.port or 80)
    clients = [asyncio.create_task(crowd.client(index)) for index in range(size)]
    await asyncio.sleep(seconds)
    print(json.dumps({"opened": crowd.opened, "most": crowd.most}))
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(gather(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
