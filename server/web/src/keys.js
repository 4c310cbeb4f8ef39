// SPDX-License-Identifier: MIT
// keys.js: finding keys, and looking at one and changing it, as text, JSON or bytes.
import { $, h, setText, toast, ask } from './dom.js';
import { get, request, keyOf, showKey, toBytes, asText, percentEncode } from './api.js';
import { bytes, count, duration, plural } from './format.js';

const PAGE = 100;            // keys to look for at once
const SHOWN_MAX = 2000;      // elements in the list
const EDIT_MAX = 1 << 20;    // bytes of a value that is loaded into the page
const ROUNDS_MAX = 40;       // of looking, before the reader is asked

let may = {};
let search = { text: '', cursor: '0', keys: [], total: 0, progress: 0, stop: null };
let open = null; // { key, tag, view, data, expires_us }

// ---- Finding ---------------------------------------------------------------------------------------

function query() {
  const parameters = new URLSearchParams({ limit: PAGE, cursor: search.cursor });
  if (search.text !== '') parameters.set(/[*?[\\]/.test(search.text) ? 'match' : 'prefix', search.text);
  return `/v1/keys?${parameters}`;
}

function summary(looking) {
  const found = plural(search.keys.length, 'key');
  const part = search.cursor === null ? '' : `, ${(100 * search.progress).toFixed(0)}% of the store looked at`;
  setText($('keys-sum'), `${found} of ${count(search.total)}${part}${looking ? ' …' : ''}`);
}

function row(entry) {
  const left = entry.expires_us ? entry.expires_us / 1e6 - Date.now() / 1000 : 0;
  const name = showKey(entry.bytes);
  return h('div', { class: 'keyrow', role: 'option', tabindex: '-1', 'aria-selected': 'false', title: name,
    onclick: () => openKey(entry.bytes, entry.element) },
  h('span', { class: 'name' }, name),
  h('span', { class: 'meta' }, entry.expires_us ? h('span', { class: 'ttl', title: `expires in ${duration(left)}` }, duration(left)) : null,
    h('span', {}, bytes(entry.size))));
}

function show(entries) {
  const list = $('key-list');
  for (const entry of entries) {
    if (list.childElementCount >= SHOWN_MAX) break;
    entry.element = row(entry);
    list.append(entry.element);
  }
  if (search.keys.length === 0 && search.cursor === null)
    list.replaceChildren(h('p', { class: 'empty' }, search.text === '' ? 'The store is empty. Write something: SET hello world' : 'No key is like that.'));
}

// One page after the other until enough is found: the server looks at a part of the index at a time.
async function look() {
  const mine = search;
  mine.stop = new AbortController();
  const enough = mine.keys.length + PAGE;
  try {
    for (let round = 0; mine.cursor !== null && mine.keys.length < enough && round < ROUNDS_MAX; round++) {
      summary(true);
      const answer = await get(query(), { signal: mine.stop.signal });
      if (mine !== search) return;
      const entries = answer.keys.map((entry) => ({ ...entry, bytes: keyOf(entry) }));
      Object.assign(mine, { cursor: answer.cursor, progress: answer.progress, total: answer.total });
      mine.keys.push(...entries);
      show(entries);
    }
  } catch (error) {
    if (error.name !== 'AbortError') toast(error.message, 'bad');
  }
  if (mine !== search) return;
  summary(false);
  const more = $('key-more');
  more.hidden = mine.cursor === null;
  if (mine.keys.length >= SHOWN_MAX) { more.hidden = false; more.disabled = true; setText(more, 'The list is full: narrow the search'); } else { more.disabled = false; setText(more, 'Look for more'); }
}

export function refresh() {
  if (search.stop) search.stop.abort();
  search = { text: $('key-search').value, cursor: '0', keys: [], total: 0, progress: 0, stop: null };
  $('key-list').replaceChildren();
  $('key-more').hidden = true;
  return look();
}

// ---- One value -------------------------------------------------------------------------------------

function guessView(data) {
  const text = asText(data);
  if (text === null || /[\u0000-\u0008\u000e-\u001f]/.test(text)) return 'hex';
  if (/^\s*[[{]/.test(text)) { try { JSON.parse(text); return 'json'; } catch { /* it only looks so */ } }
  return 'text';
}

function hexOf(data) {
  const lines = [];
  for (let i = 0; i < data.length; i += 16)
    lines.push([...data.subarray(i, i + 16)].map((byte) => byte.toString(16).padStart(2, '0')).join(' '));
  return lines.join('\n');
}

function asciiOf(data) {
  const lines = [];
  for (let i = 0; i < data.length; i += 16)
    lines.push([...data.subarray(i, i + 16)].map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '·')).join(''));
  return lines.join('\n');
}

function parseHex(text) {
  const digits = text.replace(/\s+/g, '');
  if (!/^([0-9a-fA-F]{2})*$/.test(digits)) throw new Error('These are not pairs of hexadecimal digits.');
  return Uint8Array.from(digits.match(/../g) || [], (pair) => parseInt(pair, 16));
}

function written(area, view) { // what is in the editor, as bytes
  if (view === 'hex') return parseHex(area.value);
  if (view === 'json') { try { JSON.parse(area.value); } catch (error) { throw new Error(`This is no JSON: ${error.message}`); } }
  return toBytes(area.value);
}

function shownAs(data, view) {
  if (view === 'hex') return hexOf(data);
  const text = asText(data);
  if (text === null) throw new Error('These bytes are no UTF-8 text: they can be shown as hex only.');
  if (view === 'text') return text;
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { throw new Error('This is no JSON.'); }
}

function ttlText() {
  if (!open.expires_us) return 'never expires';
  const left = open.expires_us / 1e6 - Date.now() / 1000;
  return left <= 0 ? 'has expired' : `expires in ${duration(left)}`;
}

function draw() {
  const { data, view } = open;
  const area = h('textarea', { class: `value ${view}`, spellcheck: 'false', 'aria-label': `Value as ${view}`, readOnly: !may.write });
  try { area.value = shownAs(data, view); } catch { area.value = hexOf(data); open.view = 'hex'; }
  const ascii = h('pre', { class: 'ascii', 'aria-hidden': 'true' }, open.view === 'hex' ? asciiOf(data) : '');
  area.addEventListener('input', () => {
    if (open.view !== 'hex') return;
    try { ascii.textContent = asciiOf(parseHex(area.value)); } catch { ascii.textContent = ''; }
  });
  area.addEventListener('scroll', () => { ascii.scrollTop = area.scrollTop; });
  const tabs = h('div', { class: 'tabs', role: 'group', 'aria-label': 'Show as' },
    ...['text', 'json', 'hex'].map((name) => h('button', { type: 'button', class: 'tab', 'aria-pressed': String(open.view === name),
      onclick: () => switchView(name, area) }, name === 'json' ? 'JSON' : name[0].toUpperCase() + name.slice(1))));
  const ttl = h('input', { type: 'text', id: 'ttl', placeholder: open.expires_us ? 'keep' : 'never', autocomplete: 'off', size: '8', 'aria-describedby': 'ttl-now' });
  $('editor').replaceChildren(
    h('div', { class: 'editor-head' },
      h('h3', { class: 'keyname', tabindex: '-1', id: 'editor-key' }, showKey(open.key)),
      h('p', { class: 'note' }, `${plural(data.length, 'byte')} · version ${open.tag.replace(/"/g, '')} · `, h('span', { id: 'ttl-now' }, ttlText()))),
    tabs,
    h('div', { class: `value-box ${open.view}` }, area, ascii),
    h('div', { class: 'editor-foot' },
      may.write ? h('label', { for: 'ttl' }, 'Expires in ', ttl) : null,
      h('div', { class: 'buttons' },
        may.delete ? h('button', { type: 'button', class: 'danger', onclick: () => remove() }, 'Delete…') : null,
        h('a', { class: 'button', href: `/v1/keys/${percentEncode(open.key)}`, download: 'value.bin' }, 'Download'),
        may.write ? h('button', { type: 'button', class: 'primary', onclick: () => save(area, ttl.value.trim()) }, 'Save') : null)));
}

function switchView(name, area) {
  try {
    const data = may.write ? written(area, open.view) : open.data;
    shownAs(data, name);
    open = { ...open, data, view: name };
    draw();
    $('editor').querySelector('.tab[aria-pressed="true"]').focus();
  } catch (error) { toast(error.message, 'bad'); }
}

function placeholder(text) {
  $('editor').replaceChildren(h('p', { class: 'empty' }, text));
}

function tooLarge(key, size) {
  open = null;
  $('editor').replaceChildren(h('div', { class: 'editor-head' }, h('h3', { class: 'keyname' }, showKey(key))),
    h('p', { class: 'empty' }, `The value has ${bytes(size)}: too much for this page.`),
    h('div', { class: 'buttons' }, h('a', { class: 'button', href: `/v1/keys/${percentEncode(key)}`, download: 'value.bin' }, 'Download')));
}

async function openKey(key, element) {
  for (const other of $('key-list').querySelectorAll('[aria-selected="true"]')) other.setAttribute('aria-selected', 'false');
  if (element) { element.setAttribute('aria-selected', 'true'); element.scrollIntoView({ block: 'nearest' }); }
  const path = `/v1/keys/${percentEncode(key)}`;
  try {
    const head = await request('HEAD', path);
    const size = Number(head.headers.get('Content-Length'));
    if (size > EDIT_MAX) { tooLarge(key, size); return; }
    const response = await request('GET', path);
    const data = new Uint8Array(await response.arrayBuffer());
    const ttl = response.headers.get('Bitcask-TTL');
    open = { key, data, tag: response.headers.get('ETag'), view: guessView(data),
      expires_us: ttl === null ? 0 : Date.now() * 1000 + Number(ttl) * 1e6 };
    draw();
    if (window.matchMedia('(max-width: 760px)').matches) $('editor').scrollIntoView({ block: 'start', behavior: 'smooth' });
  } catch (error) {
    open = null;
    placeholder(error.status === 404 ? 'This key is gone meanwhile.' : error.message);
  }
}

async function save(area, ttl) {
  let data;
  try { data = written(area, open.view); } catch (error) { toast(error.message, 'bad'); return; }
  const headers = { 'If-Match': open.tag, 'Content-Type': 'application/octet-stream' };
  if (ttl !== '' || open.expires_us) headers['Bitcask-TTL'] = ttl === '' ? 'keep' : ttl === 'never' ? 'none' : ttl;
  const path = `/v1/keys/${percentEncode(open.key)}`;
  try {
    await request('PUT', path, { body: data, headers });
  } catch (error) {
    if (error.status !== 412) { toast(error.message, 'bad'); return; }
    const answer = await ask({ title: 'Changed meanwhile', body: h('p', {}, 'Somebody has written this key since you opened it.'),
      buttons: [['Cancel', null], ['Show theirs', 'reload'], ['Overwrite', 'force', 'danger']] });
    if (answer === null) return;
    if (answer === 'force') {
      delete headers['If-Match'];
      try { await request('PUT', path, { body: data, headers }); } catch (again) { toast(again.message, 'bad'); return; }
    }
  }
  toast('Saved');
  await openKey(open.key, null);
}

async function remove() {
  const name = showKey(open.key);
  const sure = await ask({ title: 'Delete this key?', body: h('p', { class: 'keyname' }, name), buttons: [['Cancel', null], ['Delete', true, 'danger']] });
  if (!sure) return;
  try {
    await request('DELETE', `/v1/keys/${percentEncode(open.key)}`);
    toast('Deleted');
    open = null;
    placeholder('Choose a key.');
    refresh();
  } catch (error) { toast(error.message, 'bad'); }
}

async function createKey() {
  const name = h('input', { type: 'text', id: 'new-key', autocomplete: 'off', spellcheck: 'false' });
  const key = await ask({ title: 'New key', body: h('label', { for: 'new-key' }, 'Name', name),
    buttons: [['Cancel', null], ['Create', () => name.value, 'primary']], onOpen: () => name.focus() });
  if (!key) return;
  try {
    await request('PUT', `/v1/keys/${percentEncode(toBytes(key))}`, { body: '', headers: { 'If-None-Match': '*' } });
  } catch (error) { if (error.status !== 412) { toast(error.message, 'bad'); return; } toast('That key is there already'); }
  await openKey(toBytes(key), null);
  const area = $('editor').querySelector('textarea');
  if (area) area.focus();
  refresh();
}

// ---- Keyboard, and the start -----------------------------------------------------------------------

function moveInList(event) {
  const rows = [...$('key-list').querySelectorAll('.keyrow')];
  const at = rows.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1, PageDown: at + 10, PageUp: at - 10 }[event.key];
  if (to !== undefined && rows.length > 0) {
    event.preventDefault();
    rows[Math.min(Math.max(to, 0), rows.length - 1)].focus();
  } else if ((event.key === 'Enter' || event.key === ' ') && at >= 0) {
    event.preventDefault();
    rows[at].click();
  }
}

export function start(abilities) {
  may = abilities;
  $('key-new').hidden = !may.write;
  let timer = 0;
  $('key-search').addEventListener('input', () => { clearTimeout(timer); timer = setTimeout(refresh, 180); });
  $('key-search').addEventListener('keydown', (event) => {
    if (event.key === 'ArrowDown') { event.preventDefault(); const row = $('key-list').querySelector('.keyrow'); if (row) row.focus(); }
    if (event.key === 'Enter') { clearTimeout(timer); refresh(); }
  });
  $('key-list').addEventListener('keydown', moveInList);
  $('key-more').addEventListener('click', look);
  $('key-new').addEventListener('click', createKey);
  placeholder(may.read ? 'Choose a key to see its value.' : 'You may not read values.');
  if (may.list) refresh(); else setText($('keys-sum'), 'You may not list keys.');
  setInterval(() => { const place = $('ttl-now'); if (open && place) setText(place, ttlText()); }, 1000);
}
