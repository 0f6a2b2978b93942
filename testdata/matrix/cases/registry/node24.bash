# Node 24, whose own fetch reads proxy variables when told to, fetches JSON
# needs: node npm
behind npm install --no-save node@24
cat >fetch.mjs <<'END'
console.log((await (await fetch(process.argv[2])).json()).name);
END
NODE_USE_ENV_PROXY=1 prints is-number behind node_modules/.bin/node fetch.mjs "$(npm_registry)is-number"
