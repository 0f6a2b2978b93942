// Loaded into Node with --require, so that libraries which ignore HTTPS_PROXY reach it too. From Node 18 on; older ones
// are let alone.
//
// Nearly every TLS connection of Node is made by tls.connect: https, http2, the global fetch and WebSocket, and the
// packages that replace them. Where such a call would dial a remote host itself, it gets a socket that first asks the
// proxy for a tunnel; the handshake, its verification and its roots stay the caller's. A call that brings a socket or a
// path of its own, and so every library that talks to the proxy already, is left alone.
//
// The second patch is for libraries that send "GET https://host/" to the proxy instead of CONNECT (axios before 1.16.1):
// http.request makes the https request of it that was meant.
//
// Both modules are loaded at once: 3 to 16 ms, most in Node 26, which a program that makes a connection spends anyway.
// There is no way to hear of their being loaded, as fetch and ES modules come by none that a hook sees.
//
// Where the program dials by means of its own (a socket, a path, a lookup), and where something here fails, the real function
// does as without us. A failure is noted in hooks.log in the state directory, if that can be written.
//
// Limits: a connection's data passes through JavaScript once more; remoteAddress and its like tell of the proxy; options
// about dialling (localAddress, family) have no effect through it; HTTP/2 is spoken by those who speak nothing
// else (http2.connect, gRPC), whose streams may emit 'data' before 'response' when they flow early.
'use strict';

// note appends err to the log; a child that may not write there says nothing.
function note(err) {
  try {
    const fs = require('fs');
    const log = require('path').join(process.env.AGENT_PROXY_STATE_DIR, 'hooks.log');
    const line = `node ${process.versions.node} pid ${process.pid}: ${err && err.stack}`.replace(/\s+/g, ' ').slice(0, 1000);
    if ((fs.statSync(log, { throwIfNoEntry: false }) || { size: 0 }).size < 65536) fs.appendFileSync(log, `${line}\n`, { mode: 0o600 });
  } catch {
    // nowhere to say it
  }
}

function install() {
  const env = process.env;
  const proxy = parse(env.https_proxy || env.HTTPS_PROXY);
  if (!proxy || parseInt(process.versions.node, 10) < 18) return;

  const tls = require('tls');
  const mark = Symbol.for('agentproxy.preload');
  if (tls.connect[mark]) return; // another version of this file, of an outer run
  const http = require('http');
  const net = require('net');
  const { Duplex } = require('stream');

  const noProxy = (env.no_proxy || env.NO_PROXY || '').toLowerCase().split(/[\s,]+/).filter(Boolean).map(exception);
  const realConnect = tls.connect;

  function parse(text) {
    try {
      const url = new URL(text.includes('://') ? text : `http://${text}`);
      if (!/^https?:$/.test(url.protocol)) return null;
      const host = url.hostname.replace(/^\[|\]$/g, '');
      const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80);
      const login = [url.username, url.password].map(decodeURIComponent).join(':');
      const authorization = login === ':' ? '' : `Proxy-Authorization: Basic ${Buffer.from(login).toString('base64')}\r\n`;
      return { secure: url.protocol === 'https:', host, port, authorization, shown: `${url.protocol}//${url.host}` };
    } catch {
      return null; // not set, or not a URL
    }
  }

  // exception parses one entry of NO_PROXY: a name with its subdomains, an address, "*"; a port may follow.
  function exception(entry) {
    const [, bracketed, plain, port] = /^(?:\[(.*)\]|([^:]*|.*:.*:.*?))(?::(\d+))?$/.exec(entry) || [];
    const host = bracketed || plain || '';
    return { host: host.replace(/^\*?\./, ''), port: port && Number(port), all: host === '*' };
  }

  function isDirect(host, port) {
    if (host === 'localhost' || host.endsWith('.localhost') || /^(::ffff:)?127\./.test(host) || host === '::1' || host === '0.0.0.0' || host === '::') return true;
    if (host === proxy.host && port === proxy.port) return true;
    return noProxy.some((e) => (!e.port || e.port === port) && (e.all || host === e.host || (e.host && !net.isIP(host) && host.endsWith(`.${e.host}`))));
  }

  // Tunnel is the connection below TLS: a duplex that is "connecting" until the proxy has answered CONNECT.
  class Tunnel extends Duplex {
    constructor(target, options) {
      super({ allowHalfOpen: Boolean(options.allowHalfOpen) }); // as TLSSocket shall be; see forward
      this.connecting = true;
      this.target = target;
      const { host, port } = proxy;
      const how = { host, port, allowHalfOpen: true, noDelay: options.noDelay };
      this.socket = proxy.secure ? realConnect({ ...how, servername: net.isIP(host) ? undefined : host }) : net.connect(how);
      this.socket.on('error', (err) => this.destroy(this.explain(err)));
      this.socket.on('close', () => this.socket.readableEnded || this.destroy());
      this.socket.once(proxy.secure ? 'secureConnect' : 'connect', () =>
        this.socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${proxy.authorization}\r\n`));
      let head = Buffer.alloc(0);
      const onData = (chunk) => {
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf('\r\n\r\n');
        if (end < 0 && head.length < 65536) return;
        this.socket.off('data', onData).off('end', onEnd);
        const [, status, reason] = /^HTTP\/1\.[01] (\d{3}) ?([^\r\n]*)/.exec(head.toString('latin1')) || [];
        if (!status || status[0] !== '2' || end < 0) return this.refuse(status ? `${status} ${reason}`.trim() : 'not an answer of HTTP');
        this.open(head.subarray(end + 4));
      };
      const onEnd = () => this.refuse('closed without an answer');
      this.socket.on('data', onData).on('end', onEnd);
    }

    open(rest) {
      this.connecting = false;
      this.socket.on('data', (chunk) => this.push(chunk) || this.socket.pause()).on('end', () => this.push(null));
      if (rest.length > 0) this.push(rest);
      this.emit('connect');
      if (this.waiting) this.waiting();
    }

    refuse(answer) {
      this.destroy(Object.assign(new Error(`agentproxy refused CONNECT ${this.target}: ${answer}`), { code: 'ERR_PROXY_TUNNEL' }));
    }

    // explain adds what a bare "connect ECONNREFUSED" does not tell: that it was the proxy.
    explain(err) {
      if (this.connecting) err.message = `the proxy of agentproxy at ${proxy.shown} is not reachable: ${err.message || err.code}`;
      return err;
    }

    _read() {
      if (!this.connecting) this.socket.resume();
    }

    _write(chunk, encoding, done) {
      if (this.connecting) this.waiting = () => this.socket.write(chunk, encoding, done);
      else this.socket.write(chunk, encoding, done);
    }

    _final(done) {
      this.socket.end(done);
    }

    _destroy(err, done) {
      this.socket.destroy();
      done(err);
    }
  }

  // TLSSocket believes that a duplex is connected, and knows no TCP below it; this is what callers ask of the two.
  function forward(secured, tunnel) {
    const { socket } = tunnel;
    tunnel.allowHalfOpen = true; // TLS ends it
    secured.connecting = true;
    tunnel.once('connect', () => {
      secured.connecting = false;
      secured.emit('connect');
      secured.emit('ready');
    });
    for (const name of ['ref', 'unref', 'setNoDelay', 'setKeepAlive']) {
      secured[name] = (...args) => {
        socket[name](...args);
        return secured;
      };
    }
    secured.address = () => socket.address();
    for (const name of ['remoteAddress', 'remotePort', 'remoteFamily', 'localAddress', 'localPort', 'localFamily']) {
      Object.defineProperty(secured, name, { configurable: true, get: () => socket[name] });
    }
    return secured;
  }

  // The documented signatures: (options), (port[, host][, options]), (path[, options]), each with a callback at the end.
  function normalize(args) {
    const options = {};
    let callback;
    for (const [i, arg] of args.entries()) {
      if (typeof arg === 'function') callback = arg;
      else if (arg !== null && typeof arg === 'object') Object.assign(options, arg);
      else if (i === 0 && arg !== '' && Number(arg) >= 0) options.port = arg;
      else if (i === 0) options.path = arg;
      else if (i === 1 && typeof arg === 'string') options.host = arg;
    }
    return [options, callback];
  }

  // tunnelled returns the arguments that make the real tls.connect use a tunnel, or nothing when it shall dial itself.
  function tunnelled(args) {
    const [options, callback] = normalize(Array.isArray(args[0]) ? args[0] : args);
    const port = Number(options.port);
    if (options.socket || options.path || !options.host || !(port > 0)) return undefined;
    if (typeof options.lookup === 'function' && options.lookup !== require('dns').lookup) return undefined; // names of its own
    const host = String(options.host).toLowerCase().replace(/^\[|\]$/g, '').replace(/\.$/, '');
    if (isDirect(host, port)) return undefined;
    // A client that can speak either does HTTP/1.1. Over a duplex, what one read holds of HTTP/2 comes without a tick in
    // between, so a response's data may be emitted before its 'response'; undici 8 then loses the data.
    const alpn = options.ALPNProtocols;
    if (Array.isArray(alpn) && alpn.includes('http/1.1')) options.ALPNProtocols = alpn.filter((protocol) => protocol !== 'h2');
    options.socket = new Tunnel(`${net.isIPv6(host) ? `[${host}]` : host}:${port}`, options);
    return [options, callback];
  }

  function connect(...args) {
    let own;
    try {
      own = tunnelled(args);
    } catch (err) {
      note(err); // whatever is wrong with the arguments, the real one says so better
    }
    if (!own) return realConnect.apply(this, args);
    const [options, callback] = own;
    try {
      const secured = forward(realConnect.call(this, options, callback), options.socket);
      if (options.timeout) secured.setTimeout(options.timeout); // the real one does it where it dials
      return secured;
    } catch (err) {
      options.socket.destroy(); // bad options: nobody will use it
      throw err;
    }
  }
  connect[mark] = true;
  tls.connect = connect;

  // meant returns the https request behind an absolute-form request to the proxy.
  function meant(options) {
    const path = options && /^https:\/\/[^/?#]+/i.exec(options.path);
    if (!path || Array.isArray(options.headers) || (options.hostname || options.host) !== proxy.host || Number(options.port || 80) !== proxy.port) return undefined;
    const { hostname, port } = new URL(path[0]);
    const rest = options.path.slice(path[0].length);
    const headers = Object.entries(options.headers || {}).filter(([name]) => name.toLowerCase() !== 'proxy-authorization');
    const usable = options.agent === false || (options.agent && options.agent.protocol === 'https:');
    const agent = (options.agents && options.agents.https) || (usable ? options.agent : undefined);
    const host = hostname.replace(/^\[|\]$/g, '');
    return { ...options, protocol: 'https:', host, hostname: host, port: port || 443, path: rest.startsWith('/') ? rest : `/${rest}`, headers: Object.fromEntries(headers), agent };
  }

  for (const name of ['request', 'get']) {
    const real = http[name];
    http[name] = function (...args) {
      let own;
      try {
        own = meant(args[0]);
      } catch (err) {
        note(err); // not what we think it is
      }
      return own ? require('https')[name](own, ...args.slice(1)) : real.apply(this, args);
    };
  }
}

try {
  install();
} catch (err) {
  note(err); // a Node without TLS, or one that we do not know: the program runs as without us
}
delete require.cache[__filename]; // programs look at what has been loaded
