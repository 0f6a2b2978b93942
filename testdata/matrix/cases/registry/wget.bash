# wget fetches a document of the npm registry
# needs: wget npm
behind wget -q -O document.json "$(npm_registry)is-number"
same is-number "$(field name <document.json)"
