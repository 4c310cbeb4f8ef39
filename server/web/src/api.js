// SPDX-License-Identifier: MIT
// api.js: asking the server. Every change carries the token that only this page can read.

let token = '';

export function setToken(value) { token = value; }

export class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

async function refusal(response) {
  let message = response.statusText || `status ${response.status}`;
  try {
    const body = await response.json();
    message = body.error || body.detail || message;
  } catch { /* no JSON: the status says enough */ }
  return new Refused(response.status, message);
}

function send(method, path, { body, headers = {}, signal } = {}) {
  if (method !== 'GET') headers = { ...headers, 'X-CSRF-Token': token };
  return fetch(path, { method, body, headers, signal, cache: 'no-store', credentials: 'same-origin' });
}

export async function request(method, path, options) {
  let response = await send(method, path, options);
  if (response.status === 403 && method !== 'GET') { // the server has been started anew: another token
    token = (await (await send('GET', '/v1/session')).json()).token;
    response = await send(method, path, options);
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

export async function get(path, options) {
  return (await request('GET', path, options)).json();
}

export async function post(path, value) {
  const response = await request('POST', path, {
    body: JSON.stringify(value ?? {}), headers: { 'Content-Type': 'application/json' } });
  return response.status === 204 ? null : response.json();
}

// ---- Keys are bytes ------------------------------------------------------------------------------

const encoder = new TextEncoder();
const strict = new TextDecoder('utf-8', { fatal: true });

export const toBytes = (text) => encoder.encode(text);

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

export function asText(data) { // null if it is no UTF-8
  try { return strict.decode(data); } catch { return null; }
}

export function keyOf(entry) {
  return entry.key_b64 === undefined ? toBytes(entry.key) : fromBase64(entry.key_b64);
}

export function percentEncode(data) {
  let path = '';
  for (const byte of data) {
    const c = String.fromCharCode(byte);
    path += /[A-Za-z0-9_~-]/.test(c) ? c : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return path;
}

// As it is shown: what cannot be read is escaped.
export function showKey(data) {
  const text = asText(data);
  if (text !== null && !/[\u0000-\u001f\u007f\u202a-\u202e\u2066-\u2069]/.test(text)) return text;
  let shown = '';
  for (const byte of data)
    shown += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  return shown;
}
