// SPDX-License-Identifier: MIT
// app.js: the dashboard. It asks the server for what is new as long as somebody looks at it.
import { $, h, setText, ask } from './dom.js';
import { get, setToken } from './api.js';
import { bytes, count, duration, latency, percent, plural, short } from './format.js';
import * as charts from './charts.js';
import * as segments from './segments.js';
import * as keys from './keys.js';
import * as care from './care.js';
import * as activity from './activity.js';

const HISTORY_MAX = 600;
let session = null;
let run = '';
let history = { names: [], columns: {}, count: 0 };
let status = null;
let segmentMap = null;

// ---- Figures ---------------------------------------------------------------------------------------

async function takeHistory() {
  const answer = await get(`/v1/history?after=${history.count}`);
  if (answer.count < history.count || history.names.length === 0)
    history = { names: answer.columns, columns: Object.fromEntries(answer.columns.map((name) => [name, []])), count: 0 };
  for (const row of answer.rows) row.forEach((value, i) => history.columns[history.names[i]].push(value));
  for (const column of Object.values(history.columns)) column.splice(0, Math.max(0, column.length - HISTORY_MAX));
  history.count = answer.count;
  charts.update(history.columns);
}

const newest = (name) => { const column = history.columns[name]; return column && column.length ? column[column.length - 1] : 0; };

const TILES = [
  ['Operations', () => `${short(newest('commands'))}/s`, () => `${short(newest('reads'))} reads · ${short(newest('writes'))} writes`],
  ['Latency p99', () => latency(newest('p99_ns')), () => `median ${latency(newest('p50_ns'))} · worst ${latency(newest('max_ns'))}`],
  ['Keys', () => count(newest('keys')), () => (newest('keys') ? `${(newest('index_bytes') / newest('keys')).toFixed(1)} bytes of memory a key` : 'none yet')],
  ['Disk', () => bytes(newest('disk_bytes')), () => `${percent(newest('live_bytes'), newest('live_bytes') + newest('dead_bytes'))} live${status.disk_free_bytes ? ` · ${bytes(status.disk_free_bytes)} free` : ''}`],
  ['Memory', () => bytes(newest('rss_bytes')), () => `index ${bytes(newest('index_bytes'))}`],
  ['Connections', () => count(newest('connections')), () => `${bytes(newest('bytes_in') + newest('bytes_out'))}/s · ${plural(status.threads, 'thread')}`],
];

function makeTiles() {
  $('tiles').replaceChildren(...TILES.map(([name]) => h('div', { class: 'tile' }, h('dt', {}, name), h('dd', { class: 'figure' }, '–'), h('dd', { class: 'more' }, ''))));
}

function drawTiles() {
  if (!status) return;
  TILES.forEach(([, figure, more], i) => {
    const tile = $('tiles').children[i];
    setText(tile.children[1], figure());
    setText(tile.children[2], more());
  });
}

async function takeStatus() {
  status = await get('/v1/status');
  if (run !== '' && run !== status.run_id) window.location.reload(); // another server: another token
  run = status.run_id;
  setText($('where'), status.directory);
  $('where').title = status.directory;
  document.title = `bitcask · ${status.directory}`;
  setText($('foot'), `bitcask ${status.version} · up ${duration((status.now_us - status.started_us) / 1e6)} · pid ${status.pid} · redis-cli -p ${status.port}${session.user === 'default' ? '' : ` · ${session.user}`}`);
  care.update(status, segmentMap);
}

async function takeSegments() {
  segmentMap = await get('/v1/segments');
  segments.update(segmentMap);
}

// ---- When to ask -----------------------------------------------------------------------------------

const TASKS = [ // [what, every ms, needs the permission]
  [takeHistory, 1000, 'status'], [takeStatus, 1500, 'status'], [takeSegments, 1000, 'status'],
  [activity.logs, 2000, 'logs'], [activity.slow, 4000, 'logs'], [activity.clients, 2500, 'clients'],
];

function showLink(state, text) {
  $('link').dataset.state = state;
  setText($('link-text'), text);
}

// A task comes again after its time, or later if it takes long: a big store's map is no load on it.
async function every([task, ms, permission], index) {
  if (!session.may[permission]) return;
  for (;;) {
    const began = performance.now();
    if (!document.hidden) {
      try {
        await task();
        if (index < 3) drawTiles();
        showLink('live', 'live');
      } catch (error) {
        showLink('lost', error.status ? error.message : 'no connection');
      }
    }
    const took = performance.now() - began;
    await new Promise((resolve) => setTimeout(resolve, Math.max(ms, took * 10)));
  }
}

// ---- The page itself -------------------------------------------------------------------------------

function startTheme() {
  const stored = localStorage.getItem('theme');
  if (stored) document.documentElement.dataset.theme = stored;
  const isDark = () => (document.documentElement.dataset.theme || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')) === 'dark';
  const flip = () => {
    document.documentElement.dataset.theme = isDark() ? 'light' : 'dark';
    localStorage.setItem('theme', document.documentElement.dataset.theme);
    charts.draw();
  };
  $('theme').addEventListener('click', flip);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => charts.draw());
  return flip;
}

function help() {
  const rows = [['/', 'find keys'], ['o  s  k  a', 'go to overview, segments, keys, activity'], ['arrows', 'move in the map and in the list of keys'],
    ['n', 'new key'], ['t', 'dark or light'], ['?', 'this help'], ['Esc', 'close a dialog']];
  ask({ title: 'Keyboard', body: h('dl', { class: 'keyhelp' }, ...rows.flatMap(([key, what]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, what)])), buttons: [['Close', null, 'primary']] });
}

function startKeyboard(flip) {
  const go = (id) => { $(id).scrollIntoView({ behavior: 'smooth' }); };
  const shortcuts = { '/': () => { go('keys'); $('key-search').focus({ preventScroll: true }); }, o: () => go('overview'), s: () => go('segments'),
    k: () => go('keys'), a: () => go('activity'), t: flip, '?': help, n: () => { if (!$('key-new').hidden) $('key-new').click(); } };
  $('help-open').addEventListener('click', help);
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) { if (event.key === 'Escape') event.target.blur(); return; }
    if (shortcuts[event.key]) { event.preventDefault(); shortcuts[event.key](); }
  });
}

async function main() {
  const flip = startTheme();
  makeTiles();
  for (;;) {
    try { session = await get('/v1/session'); break; } catch (error) {
      showLink('lost', error.status ? error.message : 'no connection');
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
  setToken(session.token);
  startKeyboard(flip);
  charts.start();
  segments.start();
  care.start(session);
  keys.start(session.may);
  if (!session.may.logs) { $('logs').replaceChildren(h('li', { class: 'empty' }, 'You may not see the log.')); }
  TASKS.forEach(every);
}

main();
