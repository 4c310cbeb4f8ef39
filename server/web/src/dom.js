// SPDX-License-Identifier: MIT
// dom.js: making elements. Text only ever gets in as text, never as markup.

export const $ = (id) => document.getElementById(id);

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'class') element.className = value;
    else if (name in element && typeof value !== 'string') element[name] = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function toast(text, kind = 'good') {
  const note = h('div', { class: `toast ${kind}` }, text);
  $('toasts').append(note);
  setTimeout(() => note.classList.add('gone'), kind === 'bad' ? 8000 : 4000);
  setTimeout(() => note.remove(), kind === 'bad' ? 8600 : 4600);
}

// A question in a dialog. `buttons`: [label, value, class]; resolves to the value, null when dismissed.
export function ask({ title, body, buttons, onOpen }) {
  return new Promise((resolve) => {
    let answer = null;
    const dialog = h('dialog', { 'aria-labelledby': 'dialog-title' });
    const finish = (value) => { answer = value; dialog.close(); };
    const row = h('div', { class: 'buttons' });
    for (const [label, value, style] of buttons)
      row.append(h('button', { type: 'button', class: style || '', onclick: () =>
        finish(typeof value === 'function' ? value() : value) }, label));
    dialog.append(h('h2', { id: 'dialog-title' }, title), h('div', { class: 'dialog-body' }, ...[body].flat()), row);
    dialog.addEventListener('close', () => { dialog.remove(); resolve(answer); });
    dialog.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.target.tagName !== 'INPUT') return;
      event.preventDefault(); // else it would press the button that gets the focus back
      row.lastElementChild.click();
    });
    document.body.append(dialog);
    dialog.showModal();
    if (onOpen) onOpen(dialog);
  });
}
