# Deno, installed with npm, fetches JSON
# needs: node npm
behind npm install --no-save deno
cat >fetch.mjs <<'END'
console.log((await (await fetch(Deno.args[0])).json()).name);
END
prints is-number behind node_modules/.bin/deno run --allow-net fetch.mjs "$(npm_registry)is-number"
