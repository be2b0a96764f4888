// node's http module.
'use strict';

const http = require('node:http');

const server = http.createServer((request, response) => {
  const body = `Hello, ${request.url.slice(1)}!\n`;
  response.writeHead(200, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
  });
  response.end(body);
});
server.keepAliveTimeout = 0;
server.listen(Number(process.argv[2]), '127.0.0.1', 4096);
