// SPDX-License-Identifier: MIT
// node_redis_test.js PORT SOCKET: the server with node-redis, in both protocols.
'use strict';
const assert = require('node:assert');
const { createClient } = require('redis');

const [port, socket] = process.argv.slice(2);

async function tryAll(client) {
  await client.connect();
  assert.strictEqual(await client.set('city', 'Utrecht', { EX: 60 }), 'OK');
  assert.strictEqual(await client.get('city'), 'Utrecht');
  assert.strictEqual(await client.get('missing'), null);
  assert.strictEqual(await client.set('city', 'x', { NX: true }), null);
  assert.strictEqual(await client.exists(['city', 'missing']), 1);
  assert.ok((await client.ttl('city')) > 0);
  assert.strictEqual(await client.persist('city'), 1);
  assert.strictEqual(await client.getSet('city', 'Delft'), 'Utrecht');
  assert.deepStrictEqual(await client.mGet(['city', 'missing']), ['Delft', null]);
  assert.strictEqual(await client.incr('count'), 1);
  assert.deepStrictEqual(await client.multi().set('t', '1').incr('t').exec(), ['OK', 2]);
  const all = await Promise.all(Array.from({ length: 500 }, (_, i) => client.set(`n:${i}`, `${i}`)));
  assert.ok(all.every((reply) => reply === 'OK'));
  let found = 0;
  for await (const keys of client.scanIterator({ MATCH: 'n:*', COUNT: 50 }))
    found += Array.isArray(keys) ? keys.length : 1;
  assert.ok(found >= 500);
  await assert.rejects(client.sendCommand(['NOSUCH']), /unknown command/);
  assert.ok((await client.info()).includes('redis_version'));
  assert.ok((await client.configGet('maxclients')).maxclients);
  const subscriber = client.duplicate();
  await subscriber.connect();
  const message = new Promise((resolve) => subscriber.pSubscribe('ne*', resolve));
  while ((await client.publish('news', 'hello')) === 0);
  assert.strictEqual(await message, 'hello');
  await subscriber.close();
  await client.del('count');
  await client.close();
}

async function main() {
  for (const RESP of [2, 3]) {
    await tryAll(createClient({ socket: { port: Number(port), host: '127.0.0.1' }, RESP }));
    await tryAll(createClient({ socket: { path: socket }, RESP }));
  }
}

main().catch((error) => { console.error(error); process.exit(1); });
