// client.mjs CLIENT URL: gets URL with one of Node's ways to do so and prints the body; "WebSocket" and "ws" print the
// first message. A failure prints the error with its causes and exits 1.
import { createRequire } from 'node:module';
import process from 'node:process';

const require = createRequire(import.meta.url);
const [, , client, url] = process.argv;
const library = client.replace(/-[^-]*$/, '');
const load = (name) => import(name).then((module) => module.default ?? module);

const body = (get, ...args) =>
  new Promise((resolve, reject) => {
    get(...args, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk)).on('end', () => resolve(text)).on('error', reject);
    }).on('error', reject);
  });

const firstMessage = (socket) =>
  new Promise((resolve, reject) => {
    socket.addEventListener('message', (event) => {
      resolve(event.data);
      socket.close();
    });
    socket.addEventListener('error', (event) => reject(event.error ?? new Error(event.message)));
  });

// Twice over one connection, so that a kept one is used again.
async function keepAlive() {
  const https = require('https');
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  const first = await body(https.get, url, { agent });
  const again = await new Promise((resolve, reject) => {
    const request = https.get(url, { agent }, (response) => {
      response.resume().on('end', () => resolve(request.reusedSocket));
    });
    request.on('error', reject);
  });
  if (!again) throw new Error('the connection was not used again');
  return first; // the agent keeps its connection: we must end all the same
}

function http2() {
  return new Promise((resolve, reject) => {
    const session = require('http2').connect(url).on('error', reject);
    let text = '';
    session.request({ ':path': new URL(url).pathname }).setEncoding('utf8').on('data', (chunk) => (text += chunk)).on('error', reject)
      .on('end', () => {
        resolve(text);
        session.close();
      });
  });
}

// The signatures and events of tls.connect itself.
function tls() {
  const { connect } = require('tls');
  const { hostname, pathname } = new URL(url);
  return new Promise((resolve, reject) => {
    const seen = [];
    const socket = connect(443, hostname, { servername: hostname, ALPNProtocols: ['http/1.1'] }, () => {
      seen.push('callback');
      if (seen.join() !== 'connect,secureConnect,callback' && seen.join() !== 'connect,callback,secureConnect' && seen.join() !== 'connect,callback') reject(new Error(seen.join()));
      if (!socket.authorized || socket.alpnProtocol !== 'http/1.1' || !socket.remotePort || socket.servername !== hostname) reject(new Error('not as it was asked for'));
      socket.setNoDelay(true).setKeepAlive(true).setTimeout(20000);
      socket.write(`GET ${pathname} HTTP/1.1\r\nHost: ${hostname}\r\nConnection: close\r\n\r\n`);
    });
    let text = '';
    socket.on('connect', () => seen.push('connect')).on('secureConnect', () => seen.push('secureConnect'));
    socket.on('data', (chunk) => (text += chunk)).on('end', () => resolve(text.split('\r\n\r\n')[1])).on('error', reject);
  });
}

function worker() {
  const { Worker } = require('worker_threads');
  return new Promise((resolve, reject) => {
    new Worker(`const { parentPort } = require('worker_threads'); fetch(${JSON.stringify(url)}).then((r) => r.text()).then((t) => parentPort.postMessage(t))`, { eval: true })
      .on('message', resolve).on('error', reject);
  });
}

function child() {
  return require('child_process').execFileSync(process.execPath, ['-e', `fetch(${JSON.stringify(url)}).then((r) => r.text()).then(console.log)`], { encoding: 'utf8' }).trim();
}

// A library with an agent of its own, which talks to the proxy itself.
async function ownAgent() {
  const { HttpsProxyAgent } = require('https-proxy-agent-7');
  return body(require('https').get, url, { agent: new HttpsProxyAgent(process.env.HTTPS_PROXY) });
}

async function sts() {
  const { STSClient, GetCallerIdentityCommand } = require('client-sts-3');
  const credentials = { accessKeyId: 'a', secretAccessKey: 'b' };
  const answer = await new STSClient({ region: 'r', endpoint: url, credentials, maxAttempts: 1 }).send(new GetCallerIdentityCommand({}));
  return answer.Account;
}

async function openai() {
  const { OpenAI } = require(client);
  const list = await new OpenAI({ apiKey: 'k', baseURL: url, maxRetries: 0 }).models.list();
  return list.data[0].id;
}

function grpc() {
  const { Client, credentials } = require(client);
  return new Promise((resolve, reject) => {
    const channel = new Client(new URL(url).host, credentials.createSsl());
    channel.waitForReady(Date.now() + 8000, (err) => {
      channel.close();
      if (err) reject(err);
      else resolve('hello');
    });
  });
}

const clients = {
  fetch: async () => (await fetch(url)).text(),
  https: () => body(require('https').get, url),
  'https agent': () => body(require('https').get, url, { agent: new (require('https').Agent)({ keepAlive: false }) }),
  keepAlive, http2, tls, worker, child, ownAgent, grpc, sts, openai,
  WebSocket: () => firstMessage(new WebSocket(url.replace('https', 'wss'))),
  ws: () => firstMessage(new (require(client))(url.replace('https', 'wss'))),
  axios: async () => (await require(client).get(url)).data,
  'axios post': async () => (await require('axios-1.7.9').post(url, 'hello', { headers: { 'X-Test': '1' } })).data,
  'undici post': async () => {
    const body = require('stream').Readable.from('hello');
    return (await require('undici-8').request(url, { method: 'POST', headers: { 'X-Test': '1' }, body })).body.text();
  },
  'fetch post': async () => (await fetch(url, { method: 'POST', headers: { 'X-Test': '1' }, body: new Blob(['hel', 'lo']).stream(), duplex: 'half' })).text(),
  got: async () => (await load(client)).get(url, { retry: client === 'got-11' ? 0 : { limit: 0 } }).text(),
  'node-fetch': async () => (await (await load(client))(url)).text(),
  undici: async () => (await require(client).request(url)).body.text(),
  superagent: async () => (await require(client).get(url)).text,
  gaxios: async () => (await new (require(client).Gaxios)().request({ url, responseType: 'text' })).data,
  request: () => new Promise((resolve, reject) => require(client)(url, (err, _, text) => (err ? reject(err) : resolve(text)))),
};
const names = { 'client-sts': 'sts', 'grpc-js': 'grpc' };

try {
  const run = clients[client] ?? clients[names[library] ?? library];
  console.log(await run());
} catch (err) {
  for (let cause = err; cause; cause = cause.cause) console.error(String(cause.message), cause.code ?? '');
  process.exitCode = 1;
}
