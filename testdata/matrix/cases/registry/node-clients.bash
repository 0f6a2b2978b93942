# Node.js from 18 to 26 and the libraries that programs use on it, each with its own idea of a proxy
# needs: node npm
start_origin
URL=https://git.test/echo
# Packages come from the registry through the tunnel, too; only the names of this case lead to the origin.
libraries() {
	local dir=$1
	shift
	mkdir -p "$dir"
	echo '{"private": true}' >"$dir/package.json"
	behind npm install --silent --no-fund --no-audit --prefix "$dir" "$@" >"$dir.log" 2>&1 || fail "npm install $*: $(tail -n 5 "$dir.log")"
}

cat >fetch.mjs <<'END'
console.log(await (await fetch(process.argv[2])).text());
END
cat >https.cjs <<'END'
require("https").get(process.argv[2], (res) => res.pipe(process.stdout)).on("error", (err) => { console.error(err); process.exitCode = 1; });
END
cat >websocket.mjs <<'END'
const ws = new WebSocket("wss://git.test/ws");
ws.onopen = () => ws.send("GET git.test");
ws.onmessage = (event) => { console.log(event.data); ws.close(); };
ws.onerror = (event) => { console.error(event.message ?? event); process.exit(1); };
END

declare -A node=([20.20]=$(command -v node))
for version in 18.20.8 22.20.0 22.21.1 24.0.2 24.9.0 26.10.0; do
	libraries "node-$version" "node@$version"
	node[$version]=$PWD/node-$version/node_modules/.bin/node
done
for version in 18.20.8 20.20 22.20.0 22.21.1 24.0.2 24.9.0 26.10.0; do
	exact=$("${node[$version]}" --version)
	for what in fetch https WebSocket; do
		case $what in
		fetch) client "node-$what" "$exact" "${node[$version]}" fetch.mjs $URL ;;
		https) client "node-$what" "$exact" "${node[$version]}" https.cjs $URL ;;
		WebSocket) if [[ ! $version =~ ^(18|20) ]]; then client "node-$what" "$exact" "${node[$version]}" websocket.mjs; fi ;;
		esac
	done
	diagnose "${node[$version]}" 'node-*'
done

cat >axios.cjs <<'END'
require(process.argv[2]).get(process.argv[3]).then((res) => console.log(res.data), (err) => { console.error(err.message); process.exitCode = 1; });
END
libraries axios axios-0.21@npm:axios@0.21.4 axios-0.27@npm:axios@0.27.2 axios-1.6@npm:axios@1.6.8 axios-1.7@npm:axios@1.7.9 \
	axios-1.13@npm:axios@1.13.6 axios-1.16@npm:axios@1.16.0 axios-new@npm:axios@1
cp axios.cjs axios/
for version in 0.21 0.27 1.6 1.7 1.13 1.16 new; do
	exact=$(node -p "require('./axios/node_modules/axios-$version/package.json').version")
	client axios "$exact" node axios/axios.cjs "axios-$version" $URL
	if [[ $version == 1.7 || $version == new ]]; then client axios-on-node24 "$exact" "${node[24.9.0]}" axios/axios.cjs "axios-$version" $URL; fi
done

libraries old got@11 node-fetch@2 undici@6 request superagent gaxios@6 ws openai@4 @aws-sdk/client-s3@3
libraries new got node-fetch@3 undici gaxios @anthropic-ai/sdk ws
cat >old/client.cjs <<'END'
// Prints what the library named on the command line gets from the URL, or from the service at its host.
const [, , library, url] = process.argv;
const text = {
  got: () => require("got")(url).text(),
  "node-fetch": async () => (await require("node-fetch")(url)).text(),
  undici: async () => (await require("undici").request(url)).body.text(),
  request: () => new Promise((done, failed) => require("request")(url, (err, res, body) => (err ? failed(err) : done(body)))),
  superagent: async () => (await require("superagent").get(url).buffer(true)).text,
  gaxios: async () => (await require("gaxios").request({ url, responseType: "text" })).data,
  ws: () => socket(require("ws")),
  // A service answers with what it was asked, which is no answer for its client; that it was asked is enough.
  openai: () => asked(() => new (require("openai").default)({ apiKey: "k", baseURL: url, maxRetries: 0 }).models.list()),
  "@aws-sdk/client-s3": () => {
    const { S3Client, ListBucketsCommand } = require("@aws-sdk/client-s3");
    const config = { region: "x", endpoint: url, credentials: { accessKeyId: "a", secretAccessKey: "b" }, maxAttempts: 1 };
    return asked(() => new S3Client(config).send(new ListBucketsCommand({})));
  },
};
function socket(WebSocket) {
  return new Promise((done, failed) => {
    const ws = new WebSocket("wss://git.test/ws");
    ws.on("open", () => ws.send("GET git.test"));
    ws.on("message", (data) => { done(String(data)); ws.close(); });
    ws.on("error", failed);
  });
}
async function asked(call) {
  try {
    await call();
  } catch (err) {
    const status = err.status ?? err.$metadata?.httpStatusCode ?? err.$response?.statusCode;
    if (!status || /connect|refused|ENOTFOUND|certificate/i.test(err.message)) throw err;
  }
  return "GET git.test";
}
text[library]().then((body) => console.log(String(body)), (err) => { console.error(err); process.exitCode = 1; });
END
version() { node -p "JSON.parse(require('fs').readFileSync('$1/node_modules/$2/package.json')).version"; }
for library in got node-fetch undici request superagent gaxios ws openai @aws-sdk/client-s3; do
	client "$library" "$(version old "$library") on node 20" node old/client.cjs "$library" $URL
done
cat >new/client.mjs <<'END'
const [, , library, url] = process.argv;
const text = {
  got: async () => (await import("got")).default(url).text(),
  "node-fetch": async () => (await (await import("node-fetch")).default(url)).text(),
  undici: async () => (await (await import("undici")).request(url)).body.text(),
  gaxios: async () => (await (await import("gaxios")).request({ url, responseType: "text" })).data,
  ws: async () => {
    const { WebSocket } = await import("ws");
    return new Promise((done, failed) => {
      const ws = new WebSocket("wss://git.test/ws");
      ws.on("open", () => ws.send("GET git.test"));
      ws.on("message", (data) => { done(String(data)); ws.close(); });
      ws.on("error", failed);
    });
  },
  "@anthropic-ai/sdk": async () => {
    const { default: Anthropic } = await import("@anthropic-ai/sdk");
    try {
      await new Anthropic({ apiKey: "k", baseURL: url, maxRetries: 0 }).models.list();
    } catch (err) {
      if (!err.status) throw err;
    }
    return "GET git.test";
  },
};
console.log(String(await text[library]()));
END
for library in got node-fetch undici gaxios ws @anthropic-ai/sdk; do
	client "$library" "$(version new "$library") on node 24" "${node[24.9.0]}" new/client.mjs "$library" $URL
done
diagnose node '*'
