"""The aiohttp row: ADDRESS FETCHES LIMIT. Prints wall time (microseconds) and peak memory (KiB)."""

import asyncio
import sys
import time

import aiohttp


async def fetch(session, url):
    async with session.get(url) as reply:
        assert reply.status == 200, reply.status
        return await reply.text()


async def main(address, fetches, limit):
    began = time.monotonic()
    connector = aiohttp.TCPConnector(limit=limit)
    async with aiohttp.ClientSession(connector=connector) as session:
        urls = [f"http://{address}/{number}" for number in range(fetches)]
        texts = await asyncio.gather(*(fetch(session, url) for url in urls))
        for number, text in enumerate(texts):
            assert text == f"Hello, {number}!\n", (number, text)
        wall = time.monotonic() - began
    with open("/proc/self/status", encoding="ascii") as status:
        peak = next(line.split()[1] for line in status if line.startswith("VmHWM:"))
    print(round(wall * 1e6), peak)


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
