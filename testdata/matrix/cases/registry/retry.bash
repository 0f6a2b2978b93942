# A program that opens its own connections fails once, is run once more with a hook, and has it from the start next time
# needs: node npm
start_origin
# A network of its own would carry it from the start.
printf '[exec]\ncapture = "never"\n' >>"$HOME/.config/agentproxy/config.toml"
echo '{"private": true}' >package.json
behind npm install --silent --no-fund --no-audit node@24.9.0
PATH=$PWD/node_modules/.bin:$PATH
cat >own.cjs <<'END'
const https = require("https");
const agent = new https.Agent({ keepAlive: false }); // takes no proxy from the environment
https.get(process.argv[2], { agent }, (res) => res.pipe(process.stdout)).on("error", (err) => { console.error(err); process.exitCode = 1; });
END
URL=https://git.test/echo
expect 1 agentproxy exec --retry never -- node own.cjs $URL 2>err
says err '^agentproxy: proxy_bypassed '
same "" "$(agentproxy profile learned --json | tr -d '[]\n')" "what was learned from --retry never"

prints "GET git.test" agentproxy exec -- node own.cjs $URL </dev/null 2>err
says err '^agentproxy: node 24.9.0: the tool ignored the proxy .*; once more with a change'
agentproxy profile learned >known
says known "^node 24.9.0 *proxy_bypassed *$PWD "

prints "GET git.test" agentproxy exec -- node own.cjs $URL 2>err
same "" "$(<err)" "what is said the next time"

# Input that is used up cannot be given twice.
agentproxy profile learned --forget >/dev/null
echo input | expect 1 agentproxy exec -- node own.cjs $URL 2>err
says err '^agentproxy: proxy_bypassed '
