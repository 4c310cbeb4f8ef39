// SPDX-License-Identifier: MIT
// ioredis_test.js PORT SOCKET: the server with ioredis, as anybody would use it.
'use strict';
const assert = require('node:assert');
const Redis = require('ioredis');

const [port, socket] = process.argv.slice(2);

async function strings(redis) {
  assert.strictEqual(await redis.set('city', 'Utrecht'), 'OK');
  assert.strictEqual(await redis.get('city'), 'Utrecht');
  assert.strictEqual(await redis.get('missing'), null);
  assert.strictEqual(await redis.set('city', 'x', 'NX'), null);
  assert.strictEqual(await redis.set('short', 'x', 'PX', 60000), 'OK');
  assert.ok((await redis.pttl('short')) > 0);
  const bytes = Buffer.from([0, 255, 13, 10, 0]);
  await redis.set(bytes, bytes);
  assert.deepStrictEqual(await redis.getBuffer(bytes), bytes);
  assert.strictEqual(await redis.incrby('n', 5), 5);
  assert.strictEqual(await redis.incrbyfloat('n', 0.5), '5.5');
  assert.strictEqual(await redis.append('city', '!'), 8);
  assert.deepStrictEqual(await redis.mget('city', 'missing'), ['Utrecht!', null]);
  const large = 'v'.repeat(3 << 20);
  await redis.set('large', large);
  assert.strictEqual(await redis.get('large'), large);
}

async function pipelines(redis) {
  const pipeline = redis.pipeline();
  for (let i = 0; i < 1000; i++) pipeline.set(`p:${i}`, i).get(`p:${i}`);
  const results = await pipeline.exec();
  assert.strictEqual(results.length, 2000);
  results.forEach(([error, value], i) => {
    assert.strictEqual(error, null);
    assert.strictEqual(value, i % 2 === 0 ? 'OK' : String((i - 1) / 2));
  });
  assert.deepStrictEqual(await redis.multi().set('t', '1').incr('t').exec(),
    [[null, 'OK'], [null, 2]]);
}

async function scans(redis) {
  const found = new Set();
  for await (const keys of redis.scanStream({ match: 'p:*', count: 100 }))
    keys.forEach((key) => found.add(key));
  assert.strictEqual(found.size, 1000);
}

async function messages(redis) {
  const subscriber = redis.duplicate();
  await subscriber.subscribe('news');
  const message = new Promise((resolve) => subscriber.on('message', (c, m) => resolve([c, m])));
  assert.strictEqual(await redis.publish('news', 'hello'), 1);
  assert.deepStrictEqual(await message, ['news', 'hello']);
  await subscriber.quit();
}

async function errors(redis) {
  await assert.rejects(redis.call('NOSUCH'), /unknown command/);
  await assert.rejects(redis.lpush('list', '1'), /not supported/);
  await assert.rejects(redis.incr('city'), /not an integer/);
}

async function main() {
  const redis = new Redis({ port, host: '127.0.0.1' });
  for (const part of [strings, pipelines, scans, messages, errors]) await part(redis);
  await redis.quit();
  const local = new Redis({ path: socket });
  assert.strictEqual(await local.get('city'), 'Utrecht!');
  await local.quit();
}

main().catch((error) => { console.error(error); process.exit(1); });
