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

function shape(tag, className, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  if (className) element.setAttribute('class', className);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// An empty card is folded to one line.
function fold(element, empty) {
  element.closest('section').classList.toggle('empty', empty);
}

function drawTimeline(timeline) {
  const plot = document.getElementById('timeline');
  plot.replaceChildren(...timeline.bars.map((bar) => {
    const group = shape('g', '', {}, shape('title', '', {}, bar.title), shape('rect', 'span', { x: bar.x, y: -26, width: 10, height: 126 }));
    for (const part of bar.parts) {
      group.append(shape('rect', part.class, { x: bar.x, y: part.y, width: 8, height: part.height }));
      if (part.mark) group.append(shape('path', '', { d: part.mark }));
    }
    return group;
  }));
  fold(plot, !timeline.bars.length);
  document.getElementById('timeline-axis').replaceChildren(...timeline.axis.map((time) => make('li', '', time)));
  document.getElementById('timeline-text').textContent = timeline.title;
  document.getElementById('timeline-top').textContent = timeline.top;
}

function toCopy(before, text) {
  return make('p', 'next', before, make('code', '', text), ' ', copyButton(text));
}

function drawTroubles(troubles) {
  const list = document.getElementById('troubles');
  list.replaceChildren(...troubles.map((t) => {
    const item = make('li', t.class, make('p', 'head', t.detail), make('p', '', make('code', 'kind', t.kind), ' ', make('code', '', t.host)));
    if (t.advice) item.append(make('p', 'advice', t.advice));
    item.append(toCopy('', t.next));
    if (t.line) item.append(toCopy('to allow it: ', t.line));
    if (t.report) item.append(toCopy('for your administrator: ', t.report));
    item.append(make('p', 'when', t.whose ? `${t.time} · ${t.whose}` : t.time));
    return item;
  }));
  fold(list, !troubles.length);
}

function drawTable(table) {
  const rows = table.rows ?? [];
  const drawn = document.getElementById(table.id);
  drawn.tBodies[0].replaceChildren(...rows.map((row) => make('tr', row.class, ...row.cells.map((text, at) => {
    const cell = make('td', table.columns[at].class, text);
    cell.dataset.name = table.columns[at].name;
    return cell;
  }))));
  fold(drawn, !rows.length);
  document.getElementById(`${table.id}-more`).textContent = table.more;
}

function drawFacts(id, facts) {
  document.getElementById(id).replaceChildren(...facts.flatMap((fact) => {
    const value = make('dd', fact.class, ...(fact.codes ?? []).flatMap((code) => [make('code', '', code), ' ']), fact.text);
    if (fact.copy) value.append(' ', copyButton(fact.copy));
    return [make('dt', '', fact.name), value];
  }));
}

// What went wrong is seen in a tab that is not looked at.
const plainTitle = document.title;
function drawTitle({ counts, waiting }) {
  const asked = waiting ? [`${waiting} waiting`] : [];
  const wrong = counts.filter((c) => c.value && (c.class === 'refused' || c.class === 'failed')).map((c) => `${c.value} ${c.name}`);
  document.title = [...asked, ...wrong, plainTitle].join(', ');
}

// What has not changed is left alone, so that a selection in it stays.
const drawn = new Map();
function draw(name, draws, data) {
  const now = JSON.stringify(data);
  if (drawn.get(name) === now) return;
  drawn.set(name, now);
  draws(data);
}

// What this page answers with. It is here and nowhere else: a run can read what a browser stores.
let token = '';
const header = 'X-Agentproxy-Page';

// What is drawn takes no click for a moment: one that was meant for something else may be on its way.
const unclickable = 600;

function answerButton(id, answer) {
  const button = make('button', answer.answer, answer.label);
  button.type = 'button';
  button.disabled = true;
  button.dataset.question = id;
  button.dataset.answer = answer.answer;
  return button;
}

function drawWaiting({ asks, waiting, answers }) {
  const list = document.getElementById('waiting');
  document.getElementById('asking').hidden = !asks;
  document.getElementById('asks').textContent = asks;
  list.replaceChildren(...waiting.map((q) => {
    const item = make('li', '', make('p', 'head', `${q.who} wants `, make('code', '', q.what)), make('p', 'when', q.why));
    if (q.always) item.append(make('p', 'when', q.always));
    if (answers) item.append(make('p', 'next', ...q.answers.flatMap((a) => [answerButton(q.id, a), ' '])));
    return item;
  }));
  const buttons = list.querySelectorAll('button'); // and none that are drawn in the meantime
  setTimeout(() => { for (const button of buttons) button.disabled = false; }, unclickable);
}

let waiting = { asks: '', waiting: [] };
function redrawWaiting() { draw('waiting', drawWaiting, { ...waiting, answers: token !== '' }); }

function sayAnswering(text, className) {
  const line = document.getElementById('answering');
  line.textContent = text;
  line.className = className;
}

async function send(path, secret, fields) {
  const answer = await fetch(path, { method: 'POST', headers: { [header]: secret }, body: new URLSearchParams(fields), cache: 'no-store', credentials: 'omit' });
  const text = (await answer.text()).trim();
  if (!answer.ok) throw new Error(text);
  return text;
}

// The link's code works once, and leaves the address before anything else happens.
async function pair() {
  const code = location.hash.slice(1);
  if (!code) return;
  history.replaceState(null, '', location.pathname + location.search);
  try {
    token = await send('pair', code, {});
    sayAnswering('This page may answer, until it is closed or loaded again, or agentproxy ask ends.', 'opened');
  } catch (error) {
    sayAnswering(error.message, 'failed');
  }
  redrawWaiting();
}

document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-answer]');
  if (!button || !event.isTrusted) return;
  for (const other of button.parentElement.children) other.disabled = true;
  try {
    await send('answer', token, { id: button.dataset.question, answer: button.dataset.answer });
    sayAnswering(`answered: ${button.textContent}`, 'opened');
  } catch (error) {
    sayAnswering(error.message, 'failed');
    for (const other of button.parentElement.children) other.disabled = false;
  }
});

const state = document.getElementById('state');
function say(text, className) {
  state.textContent = text;
  state.className = className;
}

const stream = new EventSource(`events${location.search}`);
stream.onmessage = (message) => {
  const view = JSON.parse(message.data);
  draw('counts', drawCounts, view.counts);
  draw('title', drawTitle, { counts: view.counts, waiting: view.waiting.length });
  draw('timeline', drawTimeline, view.timeline);
  draw('troubles', drawTroubles, view.troubles);
  waiting = { asks: view.asks, waiting: view.waiting };
  redrawWaiting();
  for (const table of view.tables) draw(table.id, drawTable, table);
  for (const id of ['policy', 'setup']) draw(id, (facts) => drawFacts(id, facts), view[id]);
  document.getElementById('problem').textContent = view.problem;
  say('up, live', 'opened');
};
window.addEventListener('hashchange', pair);
pair();
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
