# curl fetches a document of the npm registry
# needs: curl npm
behind curl -fsS -o document.json "$(npm_registry)is-number"
same is-number "$(field name <document.json)"
