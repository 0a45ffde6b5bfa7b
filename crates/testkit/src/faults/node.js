// A plain Node.js server that closes idle connections, as all of them do after 5 seconds unless they are told otherwise.
// Arguments: port, milliseconds of keep-alive, the journal, and whether answers hint at the time-out ("hint", "silent").
const fs = require('node:fs');
const http = require('node:http');

const [port, keepAlive, path, hint] = process.argv.slice(2);
const journal = fs.openSync(path, 'a');

const server = http.createServer((request, response) => {
  request.resume().on('end', () => {
    fs.writeSync(journal, `${request.headers['x-request-number'] ?? '-'}\n`);
    // With a Connection field of its own, Node adds no Keep-Alive field.
    if (hint === 'silent') response.setHeader('Connection', 'keep-alive');
    response.setHeader('X-Backend', port);
    // Newer versions wait a second longer than they say (some whatever keepAliveTimeoutBuffer is): then nobody who heeds
    // the hint ever meets the close. This comes after Node's own setTimeout, and replaces it.
    response.on('finish', () => request.socket.setTimeout(server.keepAliveTimeout));
    response.end('ok');
  });
});
server.keepAliveTimeout = Number(keepAlive);
server.listen(Number(port), '127.0.0.1', 4096, () => console.log('listening'));
// None is left over from a test that died.
process.stdin.resume().on('end', () => process.exit());
