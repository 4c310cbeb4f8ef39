// SPDX-License-Identifier: MIT
// care.js: merge, verify and back up: asked for, then watched.
import { $, h, setText, toast, ask } from './dom.js';
import { post } from './api.js';
import { bytes, percent, plural } from './format.js';

const NAMES = { merge: 'Merge', verify: 'Verification', backup: 'Backup', flush: 'Flush' };
let may = {};
let hasBackups = false;
let finished = null; // kind -> finished_us, to tell what ends while we look

async function run(path, body, started) {
  try { await post(path, body); toast(started); } catch (error) { toast(error.message, 'bad'); }
}

async function merge() {
  const all = h('input', { type: 'checkbox', id: 'merge-all' });
  const answer = await ask({ title: 'Merge now?', body: [
    h('p', {}, 'Segments with many dead bytes are written anew without them, and the space is given back. Reads and writes go on; the disk is busier meanwhile.'),
    h('label', { for: 'merge-all', class: 'check' }, all, ' all segments, also those with little to gain')],
  buttons: [['Cancel', null], ['Merge', () => ({ all: all.checked }), 'primary']] });
  if (answer) await run('/v1/admin/merge', answer, 'The merge has begun');
}

async function verify() {
  const answer = await ask({ title: 'Verify the store?', body: h('p', {}, 'Every record, hint and the manifest are read and checked, while everything goes on. Nothing is changed.'),
    buttons: [['Cancel', null], ['Verify', true, 'primary']] });
  if (answer) await run('/v1/admin/verify', {}, 'The verification has begun');
}

async function backup() {
  const today = new Date().toISOString().slice(0, 10);
  const name = h('input', { type: 'text', id: 'backup-name', value: today, autocomplete: 'off', spellcheck: 'false', pattern: '[A-Za-z0-9_][A-Za-z0-9._-]*' });
  const answer = await ask({ title: 'Back up?', body: [
    h('p', {}, 'A copy as of one moment, in the server’s backup-dir; segments that it has already are not copied again.'),
    h('label', { for: 'backup-name' }, 'Name', name)],
  buttons: [['Cancel', null], ['Back up', () => name.value.trim(), 'primary']], onOpen: () => name.select() });
  if (answer) await run('/v1/admin/backup', { name: answer }, 'The backup has begun');
}

function running(status) {
  for (const kind of ['backup', 'verify', 'merge', 'flush'])
    if (status.jobs[kind] && status.jobs[kind].running) return { kind, ...status.jobs[kind] };
  if (status.merge_state === 'running')
    return { kind: 'merge', done: status.store.merge_done_bytes || 0, total: status.store.merge_total_bytes || 0 };
  return null;
}

export function update(status, segments) {
  const job = running(status);
  $('job').hidden = job === null;
  if (job) {
    let { done, total } = job;
    if (job.kind === 'merge' && segments && segments.merge_total_bytes > 0) {
      done = segments.merge_done_bytes;
      total = segments.merge_total_bytes;
    }
    const inputs = segments ? segments.segments.filter((s) => s.merging).length : 0;
    const what = job.kind === 'merge' && inputs > 0 ? `Merging ${plural(inputs, 'segment')}` : `${NAMES[job.kind]} runs`;
    setText($('job-text'), total > 0 ? `${what} · ${percent(done, total)} · ${bytes(done)} of ${bytes(total)}` : what);
    $('job-bar').value = total > 0 ? Math.min(1, done / total) : 0;
    $('job-cancel').hidden = job.kind !== 'merge' || !may.merge;
  }
  const before = finished;
  finished = {};
  for (const [kind, report] of Object.entries(status.jobs)) {
    finished[kind] = report.finished_us;
    if (before && !report.running && report.finished_us > before[kind]) {
      const text = `${NAMES[kind]}: ${report.result || (report.failed ? 'failed' : 'done')}`;
      setText($('last-job'), text);
      toast(text, report.failed ? 'bad' : 'good');
    }
  }
}

export function start(session) {
  may = session.may;
  hasBackups = session.backup_dir;
  const actions = { merge, verify, backup };
  for (const button of $('care').querySelectorAll('button')) {
    const kind = button.dataset.action;
    button.addEventListener('click', actions[kind]);
    button.disabled = !may[kind] || (kind === 'backup' && !hasBackups);
    if (!may[kind]) button.title = 'You have no permission for this';
    else if (kind === 'backup' && !hasBackups) button.title = 'The server has no backup-dir: set it in its configuration';
  }
  $('job-cancel').addEventListener('click', () => run('/v1/admin/cancel', {}, 'The merge stops'));
}
