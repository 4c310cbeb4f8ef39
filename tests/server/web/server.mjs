// SPDX-License-Identifier: MIT
// server.mjs: a server of its own for a test, on a store in a temporary directory.
import { spawn } from 'node:child_process';
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { tmpdir } from 'node:os';

const freePort = () => new Promise((resolve) => {
  const probe = createServer().listen(0, '127.0.0.1', () => { const { port } = probe.address(); probe.close(() => resolve(port)); });
});

export class Server {
  static async start({ settings = {}, acl = '' } = {}) {
    const server = new Server();
    server.home = mkdtempSync(join(tmpdir(), 'bitcask-web-'));
    mkdirSync(join(server.home, 'backups'));
    server.port = await freePort();
    server.url = `http://127.0.0.1:${server.port}`;
    if (acl !== '') writeFileSync(join(server.home, 'users.acl'), acl);
    const all = { 'backup-dir': join(server.home, 'backups'), 'segment-size': '64K', ...settings };
    if (acl !== '') all.aclfile = join(server.home, 'users.acl');
    writeFileSync(join(server.home, 'bitcask.conf'), Object.entries(all).map(([name, value]) => `${name} "${value}"\n`).join(''));
    await server.run();
    return server;
  }

  async run() {
    this.log = '';
    this.process = spawn(process.env.BITCASK, ['-d', join(this.home, 'store'), 'serve', '--port', '0', '--http-port', String(this.port),
      '--config', join(this.home, 'bitcask.conf')], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.process.stdout.on('data', (data) => { this.log += data; });
    this.process.stderr.on('data', (data) => { this.log += data; });
    for (;;) {
      if (this.process.exitCode !== null) throw new Error(`the server did not start: ${this.log}`);
      try { if ((await fetch(`${this.url}/healthz`)).ok) return; } catch { /* not yet */ }
    }
  }

  stop() {
    return new Promise((resolve) => {
      this.process.once('exit', (code) => resolve(code));
      this.process.kill('SIGTERM');
    });
  }

  async end() {
    const code = await this.stop();
    rmSync(this.home, { recursive: true, force: true });
    if (code !== 0) throw new Error(`the server ended with ${code}: ${this.log}`);
  }

  async ask(method, path, body, headers = {}) {
    return fetch(this.url + path, { method, body, headers });
  }

  async put(key, value, headers) {
    const response = await this.ask('PUT', `/v1/keys/${encodeURIComponent(key)}`, value, headers);
    if (!response.ok) throw new Error(await response.text());
  }

  async value(key) {
    const response = await this.ask('GET', `/v1/keys/${encodeURIComponent(key)}`);
    return response.status === 404 ? null : response.text();
  }

  // Some keys of each kind, and enough dead records for a merge.
  async fill() {
    for (let round = 0; round < 3; round++) {
      const ops = Array.from({ length: 600 }, (_, i) => ({ op: 'put', key: `user:${String(i).padStart(4, '0')}`, value: JSON.stringify({ id: i, round, text: 'x'.repeat(100) }) }));
      const response = await this.ask('POST', '/v1/batch', JSON.stringify({ ops }));
      if (!response.ok) throw new Error(await response.text());
    }
    await this.put('note', 'plain text\nof two lines');
    await this.put('json', '{"b":[1,2],"a":"\u00e4"}');
    await this.put('bytes', new Uint8Array([0, 1, 255, 65, 66]));
    await this.put('<img src=x onerror="document.title=1">', '<script>document.title=2</script>');
    await this.put('session:1', 'short-lived', { 'Bitcask-TTL': '1h' });
  }
}
