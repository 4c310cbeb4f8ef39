// SPDX-License-Identifier: MIT
// charts.js: the two charts, drawn by uPlot from the server's history.
import uPlot from 'uplot';
import { h } from './dom.js';
import { short, latency } from './format.js';

const WINDOW_S = 300, SHORTEST_S = 60;
const POWERS = Array.from({ length: 9 }, (_, i) => 10 ** (i + 2)); // 100 ns to 10 s

// The last minutes; of a server that has just started as much as there is.
function timeRange() {
  const end = columns.time_ms.length ? columns.time_ms[columns.time_ms.length - 1] / 1000 : Date.now() / 1000;
  const start = columns.time_ms.length ? columns.time_ms[0] / 1000 : end;
  return [Math.max(end - WINDOW_S, Math.min(start, end - SHORTEST_S)), end];
}
let columns = { time_ms: [] };
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const CHARTS = {
  ops: {
    place: 'ops-chart', legend: 'ops-legend', show: (v) => `${short(v)}/s`, log: false,
    series: [['reads', '--reads', 'reads', true], ['writes', '--writes', 'writes', true]],
  },
  latency: {
    place: 'latency-chart', legend: 'latency-legend', show: latency, log: true,
    series: [['p50', '--p50', 'p50_ns'], ['p99', '--p99', 'p99_ns'], ['p99.9', '--p999', 'p999_ns']],
  },
};

const plots = {};

function axes(chart) {
  const line = { stroke: color('--muted'), grid: { stroke: color('--grid'), width: 1 }, ticks: { show: false },
    font: '11px system-ui, sans-serif' };
  return [
    { ...line, grid: { show: false }, space: 70, gap: 4, size: 30,
      values: (u, times) => times.map((t) => new Date(t * 1000).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })) },
    { ...line, size: 56, gap: 6, space: 34,
      ...(chart.log ? { splits: (u, axis, low, high) => POWERS.filter((v) => v >= low * 0.99 && v <= high * 1.01) } : {}),
      values: (u, values) => values.map((v) => (v === null ? '' : chart.log ? latency(v) : short(v))) },
  ];
}

function options(chart, width) {
  const scale = chart.log
    ? { distr: 3, range: (u, low, high) => [Math.max(100, 10 ** Math.floor(Math.log10(low || 1000))), 10 ** Math.ceil(Math.log10((high || 1e6) * 1.01))] }
    : { range: (u, low, high) => [0, Math.max(10, high * 1.15)] };
  return {
    width, height: 210, padding: [12, 24, 0, 0], legend: { show: false },
    cursor: { y: false, points: { size: 7 } },
    scales: { x: { time: true, range: timeRange }, y: scale },
    axes: axes(chart),
    hooks: { setCursor: [(u) => showLegend(chart, u.cursor.idx)] },
    series: [{}, ...chart.series.map(([label, variable, , fill]) => ({
      label, stroke: color(variable), width: 1.75, spanGaps: false, points: { show: false },
      fill: fill ? `${color(variable)}22` : undefined,
    }))],
  };
}

function dataOf(chart) {
  return [columns.time_ms.map((ms) => ms / 1000),
    ...chart.series.map(([, , name]) => (columns[name] || []).map((v) => (chart.log && v <= 0 ? null : v)))];
}

function showLegend(chart, at) {
  const place = document.getElementById(chart.legend);
  const last = columns.time_ms.length - 1;
  const index = at === null || at === undefined ? last : at;
  place.replaceChildren(...chart.series.map(([label, variable, name]) => {
    const key = h('i', { class: 'key' });
    key.style.background = `var(${variable})`;
    const value = index >= 0 && columns[name] ? chart.show(columns[name][index]) : '–';
    return h('span', {}, key, `${label} `, h('b', {}, value));
  }));
}

export function draw() {
  for (const [name, chart] of Object.entries(CHARTS)) {
    const place = document.getElementById(chart.place);
    if (plots[name]) plots[name].destroy();
    place.replaceChildren();
    plots[name] = new uPlot(options(chart, place.clientWidth), dataOf(chart), place);
    showLegend(chart, null);
  }
}

export function update(history) {
  columns = history;
  for (const [name, chart] of Object.entries(CHARTS)) {
    if (!plots[name]) continue;
    plots[name].setData(dataOf(chart));
    if (plots[name].cursor.left < 0) showLegend(chart, null);
  }
}

export function start() {
  draw();
  new ResizeObserver(() => {
    for (const [name, chart] of Object.entries(CHARTS)) {
      const width = document.getElementById(chart.place).clientWidth;
      if (plots[name] && width > 0 && width !== plots[name].width) plots[name].setSize({ width, height: 210 });
    }
  }).observe(document.getElementById(CHARTS.ops.place));
}
