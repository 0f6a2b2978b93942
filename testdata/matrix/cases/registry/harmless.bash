# Suites and programs whose output is full of error words, and that fail by no fault of ours, get no verdict
# needs: python3 deb:python3-venv curl wget git go perl deb:perl ruby php node npm npx openssl java javac gcc cargo ssh
start_origin
cat >>"$HOME/.config/agentproxy/config.toml" <<'END'
[policy]
allow = ["git.test"]
END
harmless=$here/../harmless
PIP_CACHE_DIR=$machine/.cache/pip "$harmless/prepare" "$PWD/harmless"
PATH=$PWD/harmless/venv/bin:$PATH "$harmless/run" --limit 30 --each 10 --jobs 2 --sample 4 "$PWD/harmless" requests urllib3 cpython failing
