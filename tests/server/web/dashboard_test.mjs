// SPDX-License-Identifier: MIT
// dashboard_test.mjs: the dashboard in a real Chromium, against a real server.
//
//     BITCASK=build/bitcask node --test tests/server/web/dashboard_test.mjs
//
// What is awaited is awaited until it is there; nothing sleeps.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { open } from './browser.mjs';
import { Server } from './server.mjs';

const WIDE = { width: 1440, height: 900 };
let server;
let tab;

async function visit(options = {}, path = '/') {
  tab = await open({ viewport: WIDE, ...options });
  await tab.page.goto(server.url + path);
  return tab.page;
}

// A value once it satisfies; the runner's time limit ends what never does.
async function until(look, satisfies) {
  for (;;) {
    const value = await look();
    if (satisfies(value)) return value;
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}

const dialogButton = (page, name) => page.locator('dialog').getByRole('button', { name, exact: true });

async function openKey(page, name) {
  await page.locator('#key-search').fill(name);
  await until(() => page.locator('.keyrow').count(), (n) => n === 1);
  await page.locator('.keyrow').click();
  await page.locator('#editor-key').waitFor();
}

describe('the dashboard', { timeout: 600000 }, () => {
  before(async () => { server = await Server.start(); await server.fill(); });
  after(async () => { await server.end(); });
  beforeEach(() => { tab = null; });
  afterEach(async () => {
    if (!tab) return;
    await tab.browser.close();
    assert.deepEqual(tab.errors, []);
    assert.deepEqual(tab.foreign, [], 'asks nobody but the server');
  });

  test('figures arrive', async () => {
    const page = await visit();
    await page.locator('#link[data-state="live"]').waitFor();
    const keys = await server.ask('GET', '/v1/status').then((r) => r.json()).then((s) => s.store.keys);
    await until(() => page.locator('.tile:nth-child(3) .figure').textContent(), (t) => t === keys.toLocaleString('en-US'));
    await until(() => page.locator('.tile:nth-child(2) .figure').textContent(), (t) => t.trim() !== '');
    assert.equal(await page.locator('#ops-chart canvas').count(), 1);
    assert.equal(await page.locator('#latency-chart canvas').count(), 1);
    await page.locator('#logs li b').first().waitFor();
  });

  test('a bar for each segment, told to all senses', async () => {
    const page = await visit();
    const known = await until(async () => [await page.locator('.bar').count(),
      (await (await server.ask('GET', '/v1/segments')).json()).segments.length], ([bars, n]) => bars === n && n > 2);
    assert.ok(known[1] > 2);
    assert.match(await page.locator('.bar').first().getAttribute('aria-label'), /^segment \d+: .* live/);
    await page.locator('.bar').first().focus();
    await page.keyboard.press('End');
    assert.match(await page.locator('#segment-detail').textContent(), /^segment \d+/);
    const last = await page.locator('#segment-detail').textContent();
    await page.keyboard.press('ArrowLeft');
    await until(() => page.locator('#segment-detail').textContent(), (t) => t !== last);
    assert.equal(await page.locator('.bar[tabindex="0"]').count(), 1);
  });

  test('keys are found by prefix and by pattern', async () => {
    const page = await visit();
    await page.locator('#key-search').fill('user:01');
    await until(() => page.locator('.keyrow').count(), (n) => n === 100);
    await page.locator('#key-search').fill('user:0?17');
    await until(() => page.locator('.keyrow').count(), (n) => n === 6);
    await page.locator('#key-search').fill('nothing like that');
    await page.getByText('No key is like that.').waitFor();
  });

  test('a value is edited as text, and saved', async () => {
    const page = await visit();
    await openKey(page, 'note');
    const area = page.locator('textarea');
    assert.equal(await area.inputValue(), 'plain text\nof two lines');
    await area.fill('changed \u20ac');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.locator('.toast', { hasText: 'Saved' }).waitFor();
    assert.equal(await server.value('note'), 'changed \u20ac');
  });

  test('JSON is shown in shape, and what is none is not saved', async () => {
    const page = await visit();
    await openKey(page, 'json');
    const area = page.locator('textarea');
    assert.equal(await area.inputValue(), JSON.stringify({ b: [1, 2], a: '\u00e4' }, null, 2));
    await area.fill('{"broken":');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.locator('.toast.bad', { hasText: 'no JSON' }).waitFor();
    assert.equal(await server.value('json'), '{"b":[1,2],"a":"\u00e4"}');
  });

  test('bytes are shown and changed as hex', async () => {
    const page = await visit();
    await openKey(page, 'bytes');
    const area = page.locator('textarea');
    assert.equal(await area.inputValue(), '00 01 ff 41 42');
    assert.equal(await page.locator('.ascii').textContent(), '\u00b7\u00b7\u00b7AB');
    await area.fill('00 01 fe 4');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.locator('.toast.bad', { hasText: 'hexadecimal' }).waitFor();
    await area.fill('00 01 fe 43');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.locator('.toast', { hasText: 'Saved' }).waitFor();
    const got = new Uint8Array(await (await server.ask('GET', '/v1/keys/bytes')).arrayBuffer());
    assert.deepEqual([...got], [0, 1, 0xfe, 0x43]);
    await page.getByRole('button', { name: 'JSON' }).click();
    await page.locator('.toast.bad', { hasText: 'no UTF-8' }).waitFor();
  });

  test('an expiry is shown, kept, and set', async () => {
    const page = await visit();
    await openKey(page, 'session:1');
    assert.match(await page.locator('#ttl-now').textContent(), /expires in (59 min|1 h)/);
    await page.locator('textarea').fill('kept');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.locator('.toast', { hasText: 'Saved' }).waitFor();
    const kept = await server.ask('GET', '/v1/keys/session%3A1');
    assert.equal(await kept.text(), 'kept');
    assert.ok(Number(kept.headers.get('Bitcask-TTL')) > 3000);
    await page.locator('#ttl').fill('2d');
    await page.getByRole('button', { name: 'Save' }).click();
    await until(() => page.locator('#ttl-now').textContent(), (t) => /1 d 23 h|2 d/.test(t));
  });

  test('what somebody else has changed is not overwritten unasked', async () => {
    await server.put('shared', 'first');
    const page = await visit();
    await openKey(page, 'shared');
    await server.put('shared', 'theirs');
    await page.locator('textarea').fill('mine');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Somebody has written this key').waitFor();
    await dialogButton(page, 'Cancel').click();
    assert.equal(await server.value('shared'), 'theirs');
    await page.getByRole('button', { name: 'Save' }).click();
    await dialogButton(page, 'Overwrite').click();
    await page.locator('.toast', { hasText: 'Saved' }).waitFor();
    assert.equal(await server.value('shared'), 'mine');
    tab.errors = tab.errors.filter((text) => !text.includes('412')); // Chromium notes each refusal
  });

  test('deleting asks first', async () => {
    await server.put('doomed', 'x');
    const page = await visit();
    await openKey(page, 'doomed');
    await page.getByRole('button', { name: 'Delete' }).click();
    await dialogButton(page, 'Cancel').click();
    assert.equal(await server.value('doomed'), 'x');
    await page.getByRole('button', { name: 'Delete' }).click();
    await dialogButton(page, 'Delete').click();
    await page.locator('.toast', { hasText: 'Deleted' }).waitFor();
    assert.equal(await server.value('doomed'), null);
  });

  test('a new key is made and can be filled', async () => {
    const page = await visit();
    await page.getByRole('button', { name: 'New key' }).click();
    await page.locator('#new-key').fill('made/here?');
    await page.keyboard.press('Enter');
    await page.locator('#editor-key', { hasText: 'made/here?' }).waitFor();
    await page.locator('textarea').fill('new value');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.locator('.toast', { hasText: 'Saved' }).waitFor();
    assert.equal(await server.value('made/here?'), 'new value');
  });

  test('stored markup stays text', async () => {
    const page = await visit();
    await openKey(page, '<img');
    assert.equal(await page.locator('.keyrow img, .editor img, .editor script').count(), 0);
    assert.equal(await page.locator('textarea').inputValue(), '<script>document.title=2</script>');
    assert.match(await page.title(), /bitcask/);
  });

  test('merge, verify and back up ask, run and tell', async () => {
    const page = await visit();
    const reports = async () => (await (await server.ask('GET', '/v1/status')).json()).jobs;
    await page.locator('#link[data-state="live"]').waitFor();
    const before_ = (await reports()).merge.runs;
    await page.getByRole('button', { name: 'Merge\u2026' }).click();
    await dialogButton(page, 'Cancel').click();
    assert.equal((await reports()).merge.runs, before_);
    for (const [kind, opener, confirm] of [['verify', 'Verify\u2026', 'Verify'], ['backup', 'Back up\u2026', 'Back up'], ['merge', 'Merge\u2026', 'Merge']]) {
      await page.getByRole('button', { name: opener }).click();
      if (kind === 'merge') await page.locator('#merge-all').check();
      if (kind === 'backup') await page.locator('#backup-name').fill('from-page');
      await dialogButton(page, confirm).click();
      const report = await until(async () => (await reports())[kind], (r) => r.runs === 1 + (kind === 'merge' ? before_ : 0) && !r.running);
      assert.equal(report.failed, false, report.result);
      await until(() => page.locator('#last-job').textContent(), (t) => t.includes(report.result) && report.result !== '');
    }
    assert.ok(existsSync(join(server.home, 'backups', 'from-page', 'MANIFEST')));
    await page.locator('.bar.merged').first().waitFor();
  });

  test('the keyboard reaches everything', async () => {
    const page = await visit();
    await page.locator('.keyrow').first().waitFor();
    await page.keyboard.press('/');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'key-search');
    await page.keyboard.type('note');
    await until(() => page.locator('.keyrow').count(), (n) => n === 1);
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.locator('#editor-key', { hasText: 'note' }).waitFor();
    await page.keyboard.press('?');
    await page.locator('dialog[open]').waitFor();
    await page.keyboard.press('Escape');
    await page.locator('dialog').waitFor({ state: 'detached' });
    const theme = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const first = await theme();
    await page.locator('h1').click();
    await page.keyboard.press('t');
    assert.notEqual(await theme(), first);
    await page.evaluate(() => { document.activeElement.blur(); window.scrollTo(0, 0); });
    await page.goto(server.url);
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
  });

  test('everything has a name', async () => {
    const page = await visit();
    await page.locator('.keyrow').first().click();
    await page.locator('#editor-key').waitFor();
    const nameless = await page.evaluate(() => [...document.querySelectorAll('button, a, input, textarea, [role]')].filter((e) => {
      if (e.closest('[hidden]') || e.getAttribute('aria-hidden') === 'true') return false;
      const label = e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || (e.labels && e.labels.length ? e.labels[0].textContent : '') || e.textContent;
      return label.trim() === '' && e.getAttribute('role') !== 'status';
    }).map((e) => e.outerHTML.slice(0, 80)));
    assert.deepEqual(nameless, []);
    assert.equal(await page.locator('img:not([alt])').count(), 0);
    assert.equal(await page.locator('h1').count(), 1);
  });

  for (const colorScheme of ['dark', 'light'])
    test(`text can be read: ${colorScheme}`, async () => {
      const page = await visit({ colorScheme });
      const low = await page.evaluate(() => {
        const style = getComputedStyle(document.documentElement);
        const light = (name) => {
          const [r, g, b] = style.getPropertyValue(name).trim().match(/[0-9a-f]{2}/gi).map((x) => parseInt(x, 16) / 255)
            .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
        return [['--ink', '--page'], ['--ink', '--panel'], ['--soft', '--panel'], ['--muted', '--panel'], ['--muted', '--page'],
          ['--muted', '--raised'], ['--accent-ink', '--accent'], ['--bad', '--panel'], ['--warn', '--panel'], ['--page', '--ink'], ['--page', '--bad']]
          .map(([a, b]) => `${a} on ${b}: ${contrast(a, b).toFixed(2)}`).filter((t) => Number(t.split(': ')[1]) < 4.5);
      });
      assert.deepEqual(low, []);
    });

  for (const width of [390, 320])
    test(`fits a phone of ${width} pixels`, async () => {
      const page = await visit({ viewport: { width, height: 800 }, hasTouch: true, isMobile: true });
      await page.locator('.keyrow').first().waitFor();
      await page.locator('.keyrow').first().tap();
      await page.locator('#editor-key').waitFor();
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), 'nothing sticks out');
      const small = await page.evaluate(() => [...document.querySelectorAll('button:not([hidden]), .button')].filter((e) => e.offsetParent && e.offsetHeight < 32).map((e) => e.textContent));
      assert.deepEqual(small, []);
    });

  test('a server that comes back is found again', async () => {
    const page = await visit();
    await page.locator('#link[data-state="live"]').waitFor();
    await server.stop();
    await page.locator('#link[data-state="lost"]').waitFor();
    const loaded = page.waitForEvent('load', { timeout: 0 }); // it is another server: the page begins anew
    await server.run();
    await loaded;
    await page.locator('#link[data-state="live"]').waitFor();
    await openKey(page, 'note');
    await page.locator('textarea').fill('after the restart');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.locator('.toast', { hasText: 'Saved' }).waitFor();
    tab.errors = []; // Chromium notes each request that failed meanwhile
  });
});

describe('with passwords', { timeout: 600000 }, () => {
  before(async () => {
    server = await Server.start({ acl: 'user default off\nuser admin on >pw ~* &* +@all\nuser reader on >pw ~user:* &* -@all +@read +info\n' });
    const auth = { Authorization: `Basic ${Buffer.from('admin:pw').toString('base64')}` };
    for (const key of ['user:1', 'secret:1']) await server.put(key, key, auth);
  });
  after(async () => { await server.end(); });

  test('the page asks for one', async () => {
    for (const path of ['/', '/app.js', '/v1/session']) {
      const answer = await server.ask('GET', path, undefined, { Accept: 'text/html' });
      assert.equal(answer.status, 401);
      assert.match(answer.headers.get('WWW-Authenticate'), /^Basic /);
    }
  });

  test('an administrator may do everything', async () => {
    const page = await visit({ httpCredentials: { username: 'admin', password: 'pw' } });
    await until(() => page.locator('.keyrow').count(), (n) => n === 2);
    await openKey(page, 'secret:1');
    await page.locator('textarea').fill('seen');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.locator('.toast', { hasText: 'Saved' }).waitFor();
    assert.equal(await page.locator('#care button:disabled').count(), 0);
    await tab.browser.close();
  });

  test('a reader sees what is theirs, and no buttons that would fail', async () => {
    const page = await visit({ httpCredentials: { username: 'reader', password: 'pw' } });
    await until(() => page.locator('.keyrow').count(), (n) => n === 1);
    await openKey(page, 'user:1');
    assert.equal(await page.locator('#care button:disabled').count(), 3);
    assert.equal(await page.getByRole('button', { name: 'Save' }).count(), 0);
    assert.equal(await page.getByRole('button', { name: 'Delete' }).count(), 0);
    assert.equal(await page.locator('#key-new').isVisible(), false);
    assert.ok(await page.locator('textarea').evaluate((area) => area.readOnly));
    assert.deepEqual(tab.errors, []);
    await tab.browser.close();
  });
});
