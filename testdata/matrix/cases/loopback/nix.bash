# nix-prefetch-url puts a file into a store
# needs: nix
start_origin
# shellcheck disable=SC2016 # the shell of the command expands it
client nix-prefetch-url "$(nix --version | grep -oE '[0-9.]+$')" sh -c 'nix-prefetch-url --print-path --store "$PWD/nix" --name echo https://git.test/echo && cat nix/nix/store/*-echo'
diagnose nix nix-prefetch-url
