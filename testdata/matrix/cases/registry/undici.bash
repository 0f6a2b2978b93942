# A program on the machine's Node fetches JSON with undici's EnvHttpProxyAgent
# needs: node npm
behind npm install --no-save undici@7
cat >fetch.mjs <<'END'
import { EnvHttpProxyAgent, fetch } from "undici";

const response = await fetch(process.argv[2], { dispatcher: new EnvHttpProxyAgent() });
console.log((await response.json()).name);
END
prints is-number behind node fetch.mjs "$(npm_registry)is-number"
