// Places the texts of a view, which the event stream brings, where the server
// has placed those of the first one. Texts become text nodes only.
'use strict';

const SVG = 'http://www.w3.org/2000/svg';

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function copyButton(text) {
  const button = make('button', '', 'copy');
  button.type = 'button';
  button.dataset.copy = text;
  return button;
}

function drawCounts(counts) {
  document.getElementById('counts').replaceChildren(...counts.map((c) =>
    make('div', c.class, make('dt', '', c.name), make('dd', '', String(c.value)))));
}

function drawTimeline(timeline) {
  document.getElementById('timeline').replaceChildren(...timeline.parts.map((part) => {
    const rect = document.createElementNS(SVG, 'rect');
    const title = document.createElementNS(SVG, 'title');
    title.textContent = part.title;
    rect.setAttribute('class', part.class);
    for (const name of ['x', 'y', 'height']) rect.setAttribute(name, part[name]);
    rect.setAttribute('width', 8);
    rect.append(title);
    return rect;
  }));
  document.getElementById('timeline-text').textContent = timeline.title;
  document.getElementById('timeline-top').textContent = timeline.top;
}

function drawTroubles(troubles) {
  const items = troubles.map((t) => {
    const item = make('li', t.class, make('p', 'head', make('b', '', t.kind), ' ', make('code', '', t.host)), make('p', '', t.detail));
    if (t.advice) item.append(make('p', 'advice', t.advice));
    item.append(make('p', 'next', make('code', '', t.next), ' ', copyButton(t.next)));
    if (t.line) item.append(make('p', 'next', 'to allow it: ', make('code', '', t.line), ' ', copyButton(t.line)));
    item.append(make('p', 'when', t.whose ? `${t.time} · ${t.whose}` : t.time));
    return item;
  });
  document.getElementById('troubles').replaceChildren(...(items.length ? items : [make('li', 'none', 'none')]));
}

function drawTable(table) {
  const rows = (table.rows ?? []).map((row) => make('tr', row.class, ...row.cells.map((cell) => make('td', '', cell))));
  if (!rows.length) {
    const cell = make('td', '', table.empty);
    cell.colSpan = table.columns.length;
    rows.push(make('tr', 'none', cell));
  }
  document.getElementById(table.id).tBodies[0].replaceChildren(...rows);
  document.getElementById(`${table.id}-more`).textContent = table.more;
}

// What has not changed is left alone, so that a selection in it stays.
const drawn = new Map();
function draw(name, draws, data) {
  const now = JSON.stringify(data);
  if (drawn.get(name) === now) return;
  drawn.set(name, now);
  draws(data);
}

const state = document.getElementById('state');
function say(text, className) {
  state.textContent = text;
  state.className = className;
}

const stream = new EventSource('events');
stream.onmessage = (message) => {
  const view = JSON.parse(message.data);
  draw('counts', drawCounts, view.counts);
  draw('timeline', drawTimeline, view.timeline);
  draw('troubles', drawTroubles, view.troubles);
  for (const table of view.tables) draw(table.id, drawTable, table);
  say('up, live', 'opened');
};
stream.onerror = () => say('no answer from the tunnel; it may have left', 'failed');

for (const button of document.querySelectorAll('[data-copy]')) button.hidden = false;
document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = 'copied';
  } catch {
    button.textContent = 'select it by hand';
  }
  setTimeout(() => { button.textContent = label; }, 1500);
});
