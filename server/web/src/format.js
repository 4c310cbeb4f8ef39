// SPDX-License-Identifier: MIT
// format.js: figures as people read them.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytes(n) {
  let unit = 0;
  let value = n;
  while (value >= 1024 && unit < UNITS.length - 1) { value /= 1024; unit++; }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toPrecision(3)} ${UNITS[unit]}`;
}

export function count(n) {
  return Math.round(n).toLocaleString('en-US');
}

// 950, 12.3 k, 4.56 M: in little room
export function short(n) {
  if (n < 1000) return String(Math.round(n));
  const [value, unit] = n < 1e6 ? [n / 1e3, 'k'] : n < 1e9 ? [n / 1e6, 'M'] : [n / 1e9, 'G'];
  return `${value >= 100 ? Math.round(value) : value.toPrecision(3)} ${unit}`;
}

export function latency(ns) {
  if (ns <= 0) return '–';
  if (ns < 1e3) return `${Math.round(ns)} ns`;
  const [value, unit] = ns < 1e6 ? [ns / 1e3, 'µs'] : ns < 1e9 ? [ns / 1e6, 'ms'] : [ns / 1e9, 's'];
  return `${value >= 100 ? Math.round(value) : value.toPrecision(2)} ${unit}`;
}

export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60 ? `${s % 60} s` : ''}`.trim();
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
}

export function percent(part, whole) {
  return whole > 0 ? `${(100 * part / whole).toFixed(part / whole > 0.0995 ? 0 : 1)}%` : '0%';
}

export function clock(us) {
  return new Date(us / 1000).toLocaleTimeString('en-GB');
}

export function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}
