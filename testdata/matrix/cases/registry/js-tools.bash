# The package managers of JavaScript, old and new, and the runtimes beside Node
# needs: node npm
start_origin
URL=https://git.test/echo
registry=$(npm_registry)
mkdir tools
echo '{"private": true}' >tools/package.json
behind npm install --silent --no-fund --no-audit --prefix tools npm-10@npm:npm@10 npm-new@npm:npm@latest yarn-1@npm:yarn@1 \
	berry@npm:@yarnpkg/cli-dist@4 pnpm-9@npm:pnpm@9 pnpm-10@npm:pnpm@10 corepack bun deno >install.log 2>&1 || fail "$(tail -n 5 install.log)"
modules=$PWD/tools/node_modules
version() { node -p "JSON.parse(require('fs').readFileSync('$modules/$1/package.json')).version"; }
# project NAME: an empty project of its own.
project() {
	mkdir "$1"
	echo '{"name": "probe", "version": "0.0.0", "private": true}' >"$1/package.json"
}
# installed NAME VERSION PROJECT: did is-number arrive?
installed() { [[ -e $3/node_modules/is-number/package.json ]] && works "$1" "$2"; }

for tool in npm-10 npm-new; do
	project $tool
	behind node "$modules/$tool/bin/npm-cli.js" install --silent --no-audit --no-fund --prefix $tool is-number@7.0.0
	installed npm "$(version $tool)" $tool
done
project yarn-1
(cd yarn-1 && YARN_REGISTRY=$registry behind node "$modules/yarn-1/bin/yarn.js" add --silent --no-progress --no-lockfile is-number@7.0.0)
installed yarn-1 "$(version yarn-1)" yarn-1
project berry
printf 'nodeLinker: node-modules\nenableTelemetry: false\nenableImmutableInstalls: false\nnpmRegistryServer: "%s"\n' "${registry%/}" >berry/.yarnrc.yml
touch berry/yarn.lock
(cd berry && behind node "$modules/berry/bin/yarn.js" add is-number@7.0.0 >/dev/null)
installed yarn-berry "$(version berry)" berry
for tool in pnpm-9 pnpm-10; do
	project $tool
	(cd $tool && behind node "$modules/$tool/bin/pnpm.cjs" add --silent --registry "$registry" is-number@7.0.0)
	installed pnpm "$(version $tool)" $tool
done
project corepack
if (cd corepack && COREPACK_NPM_REGISTRY=${registry%/} COREPACK_ENABLE_DOWNLOAD_PROMPT=0 COREPACK_INTEGRITY_KEYS=0 behind node "$modules/corepack/dist/corepack.js" pnpm@9.15.9 --version >/dev/null); then
	works corepack "$(version corepack)"
fi

bun=$modules/.bin/bun deno=$modules/.bin/deno
project bun
(cd bun && behind "$bun" add --silent --registry "$registry" is-number@7.0.0)
installed bun-install "$(version bun)" bun
echo 'console.log(await (await fetch(process.argv[2])).text())' >fetch.mjs
echo 'import https from "node:https"; https.get(process.argv[2], (res) => res.pipe(process.stdout));' >https.mjs
client bun-fetch "$(version bun)" "$bun" fetch.mjs $URL
client bun-https "$(version bun)" "$bun" https.mjs $URL
echo 'console.log(await (await fetch(Deno.args[0])).text())' >deno-fetch.mjs
client deno-fetch "$(version deno)" "$deno" run --allow-net --allow-env deno-fetch.mjs $URL
client deno-node-https "$(version deno)" "$deno" run --allow-all https.mjs $URL
project deno
(cd deno && NPM_CONFIG_REGISTRY=$registry behind "$deno" add --quiet npm:is-number@7.0.0 >/dev/null && NPM_CONFIG_REGISTRY=$registry "$deno" install --quiet --node-modules-dir=auto >/dev/null)
installed deno-npm "$(version deno)" deno

# The tools by the names that users have them by.
mkdir bin bin/yarn-1 bin/pnpm-9
ln -s "$modules/corepack/dist/corepack.js" bin/corepack
ln -s "$modules/pnpm-9/bin/pnpm.cjs" bin/pnpm-9/pnpm
ln -s "$modules/pnpm-10/bin/pnpm.cjs" bin/pnpm
ln -s "$modules/yarn-1/bin/yarn.js" bin/yarn-1/yarn
ln -s "$modules/berry/bin/yarn.js" bin/yarn
chmod +x "$modules"/{corepack/dist/corepack.js,pnpm-*/bin/pnpm.cjs,yarn-1/bin/yarn.js,berry/bin/yarn.js}
diagnose npm npm
diagnose bin/yarn-1/yarn yarn-1
diagnose bin/yarn yarn-berry
diagnose bin/pnpm-9/pnpm pnpm
diagnose bin/pnpm pnpm
diagnose bin/corepack corepack
diagnose "$bun" 'bun-*'
diagnose "$deno" 'deno-*'
