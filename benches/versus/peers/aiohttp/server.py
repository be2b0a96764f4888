"""The documents' aiohttp program, with or without uvloop: server.py PORT [uvloop]."""

import asyncio
import sys

from aiohttp import web


async def greet(request):
    name = request.match_info.get("name", "Anonymous")
    return web.Response(text=f"Hello, {name}!\n")


async def main(port):
    app = web.Application()
    app.add_routes([web.get("/", greet), web.get("/{name}", greet)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, backlog=4096)
    await site.start()
    await asyncio.Event().wait()


if sys.argv[2:] == ["uvloop"]:
    import uvloop

    uvloop.install()
asyncio.run(main(int(sys.argv[1])))
