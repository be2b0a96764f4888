"""aiohttp with what run_app does on SIGTERM: server.py PORT."""

import sys

from aiohttp import web


async def greet(request):
    return web.Response(text=f"Hello, {request.match_info['name']}!\n")


async def big(request):
    return web.Response(text=f"Hello, {request.match_info['name']}!\n" + "x" * 400_000)


app = web.Application()
app.add_routes([web.get("/{name}", greet), web.post("/{name}", greet), web.get("/big/{name}", big)])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
