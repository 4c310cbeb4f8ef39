// SPDX-License-Identifier: MIT
// segments.js: the map of the log. A bar is a segment; its height is its size, filled with what is live
// below and what is dead above. Bars keep their element for as long as their segment lives, so growth,
// merges and departures are seen as they happen. Beyond MAX_BARS a bar stands for several segments.
import { $, h, setText } from './dom.js';
import { bytes, count, percent, plural, duration } from './format.js';

const MAX_BARS = 360;
const bars = new Map(); // id -> { element, segment }
let first = true;
let chosen = null; // id

function group(segments) {
  const size = Math.ceil(segments.length / MAX_BARS);
  if (size <= 1) return segments.map((s) => ({ ...s, ids: 1, last: s.id }));
  const groups = [];
  for (let i = 0; i < segments.length; i += size) {
    const some = segments.slice(i, i + size);
    const sum = (name) => some.reduce((total, s) => total + s[name], 0);
    groups.push({
      ...some[0], ids: some.length, last: some[some.length - 1].id, size: sum('size'), live: sum('live'),
      dead: sum('dead'), records: sum('records'), live_records: sum('live_records'), tombstones: sum('tombstones'),
      state: some.some((s) => s.state === 'active') ? 'active' : some[0].state,
      merging: some.some((s) => s.merging), damaged: some.some((s) => s.damaged),
      from_merge: some.every((s) => s.from_merge),
    });
  }
  return groups;
}

function describe(s) {
  const name = s.ids > 1 ? `segments ${s.id} to ${s.last}` : `segment ${s.id}`;
  const parts = [`${name}: ${bytes(s.size)}`, `${percent(s.live, s.live + s.dead)} live`,
    `${plural(s.live_records, 'live record')} of ${count(s.records)}`];
  if (s.tombstones) parts.push(plural(s.tombstones, 'tombstone'));
  if (s.state !== 'sealed') parts.push(s.state === 'active' ? 'being written' : s.state);
  if (s.from_merge) parts.push('made by a merge');
  if (s.merging) parts.push('merging now');
  if (s.damaged) parts.push('holds damaged records');
  if (s.created_us) parts.push(`${duration(Date.now() / 1000 - s.created_us / 1e6)} old`);
  return parts.join(' · ');
}

function choose(id, focus) {
  const bar = bars.get(id);
  if (!bar) return;
  if (chosen !== null && bars.get(chosen)) {
    bars.get(chosen).element.tabIndex = -1;
    bars.get(chosen).element.setAttribute('aria-selected', 'false');
  }
  chosen = id;
  bar.element.tabIndex = 0;
  bar.element.setAttribute('aria-selected', 'true');
  setText($('segment-detail'), describe(bar.segment));
  if (focus) bar.element.focus();
}

function makeBar(id) {
  const element = h('div', { class: 'bar', role: 'option', tabindex: '-1', 'aria-selected': 'false',
    onpointerenter: () => choose(id), onfocus: () => choose(id), onclick: () => choose(id, true) },
  h('i', { class: 'dead' }), h('i', { class: 'live' }));
  if (!first) element.classList.add('new');
  return { element, segment: null };
}

function updateBar(bar, s, largest) {
  const whole = Math.max(1, s.live + s.dead, s.size);
  const height = Math.max(4, 100 * s.size / largest);
  const style = bar.element.style;
  style.setProperty('--live-h', `${(height * s.live / whole).toFixed(2)}%`);
  style.setProperty('--dead-h', `${(height * s.dead / whole).toFixed(2)}%`);
  for (const [name, on] of [['active', s.state === 'active'], ['sealing', s.state === 'sealing'],
    ['merging', s.merging], ['merged', s.from_merge], ['damaged', s.damaged || s.state === 'missing']])
    bar.element.classList.toggle(name, on);
  bar.element.setAttribute('aria-label', describe(s));
  bar.segment = s;
}

function leave(id, bar) {
  bars.delete(id);
  bar.element.classList.add('gone');
  bar.element.setAttribute('aria-hidden', 'true');
  bar.element.tabIndex = -1;
  setTimeout(() => bar.element.remove(), 700);
}

// Few segments make broad bars, many narrow ones.
function setWidth(map, number) {
  const room = map.clientWidth - 32;
  const width = Math.min(56, Math.max(12, Math.floor(room / Math.max(1, number)) - 5));
  map.style.setProperty('--bar', `${width}px`);
}

export function update(answer) {
  const map = $('map');
  const shown = group(answer.segments);
  setWidth(map, shown.length);
  const largest = Math.max(1, ...shown.map((s) => s.size));
  const seen = new Set();
  let at = null; // the element behind which the next one stands
  for (const s of shown) {
    let bar = bars.get(s.id);
    if (!bar) {
      bar = makeBar(s.id);
      bars.set(s.id, bar);
      if (at) at.after(bar.element); else map.prepend(bar.element);
    }
    updateBar(bar, s, largest);
    seen.add(s.id);
    at = bar.element;
  }
  for (const [id, bar] of [...bars]) if (!seen.has(id)) leave(id, bar);
  if (chosen === null || !bars.has(chosen)) {
    chosen = null;
    const last = shown[shown.length - 1];
    if (last) bars.get(last.id).element.tabIndex = 0;
  } else {
    setText($('segment-detail'), describe(bars.get(chosen).segment));
  }
  first = false;
  const live = shown.reduce((total, s) => total + s.live, 0);
  const dead = shown.reduce((total, s) => total + s.dead, 0);
  setText($('segments-sum'), `${plural(answer.segments.length, 'segment')} · ${bytes(live)} live · ${bytes(dead)} dead (${percent(dead, live + dead)})`);
}

export function start() {
  $('map').addEventListener('keydown', (event) => {
    const order = [...$('map').children].filter((e) => !e.classList.contains('gone'));
    const at = order.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: order.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    const element = order[Math.min(Math.max(to, 0), order.length - 1)];
    for (const [id, bar] of bars) if (bar.element === element) choose(id, true);
  });
}
