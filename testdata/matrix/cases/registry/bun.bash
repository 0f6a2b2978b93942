# Bun, installed with npm, fetches JSON
# needs: node npm
behind npm install --no-save bun
cat >fetch.mjs <<'END'
console.log((await (await fetch(process.argv[2])).json()).name);
END
prints is-number behind node_modules/.bin/bun fetch.mjs "$(npm_registry)is-number"
