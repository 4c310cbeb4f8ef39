// SPDX-License-Identifier: MIT
// activity.js: the log, slow requests, connections.
import { $, h, setText } from './dom.js';
import { get } from './api.js';
import { clock, duration, latency, bytes, plural } from './format.js';

const LINES_MAX = 200;
let last = 0;

function logLine(event) {
  const { time, level, event: name, ...fields } = event;
  const rest = Object.entries(fields).map(([key, value]) => h('span', { class: 'field' }, h('span', { class: 'field-name' }, `${key}=`), String(value)));
  return h('li', { class: `level-${level}` }, h('time', { datetime: time }, clock(Date.parse(time) * 1000)),
    h('b', {}, name), ' ', ...rest.flatMap((r) => [r, ' ']));
}

export async function logs() {
  const answer = await get(`/v1/logs?after=${last}`);
  if (answer.last < last) $('logs').replaceChildren(); // another server
  last = answer.last;
  const list = $('logs');
  for (const line of answer.lines) list.prepend(logLine(line.event));
  while (list.childElementCount > LINES_MAX) list.lastElementChild.remove();
  if (list.childElementCount === 0) list.append(h('li', { class: 'empty' }, 'Nothing has happened yet.'));
}

export async function slow() {
  const answer = await get('/v1/slow');
  setText($('slow-note'), answer.slower_than_us < 0 ? 'not kept' : `above ${latency(answer.slower_than_us * 1000)}`);
  $('slow').replaceChildren(...(answer.requests.length === 0 ? [h('p', { class: 'empty' }, 'None: good.')]
    : answer.requests.map((r) => h('div', { class: 'row' },
      h('span', { class: 'big' }, latency(r.us * 1000)),
      h('code', {}, r.words.join(' ')),
      h('span', { class: 'meta' }, `${clock(r.time_s * 1e6)} · ${r.address}${r.name ? ` · ${r.name}` : ''}`)))));
}

export async function clients() {
  const answer = await get('/v1/clients');
  setText($('clients-note'), plural(answer.clients.length, 'client'));
  $('clients').replaceChildren(...(answer.clients.length === 0 ? [h('p', { class: 'empty' }, 'Nobody is connected by the Redis protocol.')]
    : answer.clients.slice(0, 200).map((c) => h('div', { class: 'row' },
      h('span', { class: 'big' }, c.name || `#${c.id}`),
      h('code', {}, c.command || '–'),
      h('span', { class: 'meta' }, `${c.address} · ${c.user} · RESP${c.protocol} · ${duration(c.age_s)}, idle ${duration(c.idle_s)}${c.out_bytes ? ` · ${bytes(c.out_bytes)} waiting` : ''}`)))));
}
