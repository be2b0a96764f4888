// node's http module with server.close, which closes idle connections, too (node 19 and later).
'use strict';

const http = require('node:http');

const filling = 'x'.repeat(400_000);

const server = http.createServer((request, response) => {
  const name = request.url.slice(request.url.lastIndexOf('/') + 1);
  const text = `Hello, ${name}!\n${request.url.startsWith('/big/') ? filling : ''}`;
  request.resume().on('end', () => {
    response.writeHead(200, { 'Content-Length': Buffer.byteLength(text) });
    response.end(text);
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1');
process.on('SIGTERM', () => server.close());
