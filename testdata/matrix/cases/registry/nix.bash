# nix-prefetch-url puts a document of the npm registry into a store
# needs: nix npm
behind nix-prefetch-url --store "$PWD/nix" --name is-number "$(npm_registry)is-number/7.0.0" >nix.hash
[[ -s nix.hash ]] || fail "no hash"
file=(nix/nix/store/*-is-number)
same 7.0.0 "$(field version <"${file[0]}")"
