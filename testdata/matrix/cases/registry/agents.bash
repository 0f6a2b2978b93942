# Coding agents, asked by a stand-in for their model to fetch something, do so through exec once "hook install" has put it into their settings
# needs: node npm curl git ip unshare
packages() { behind npm install --silent --no-fund --no-audit "$@" >install.log 2>&1 || fail "$(tail -n 5 install.log)"; }
echo '{"private": true}' >package.json
packages @anthropic-ai/claude-code@2.1.197 @openai/codex@0.169.0 @google/gemini-cli@0.61.0 opencode-ai@1.18.33
# What OpenCode would install itself for a plugin.
mkdir -p "$HOME/.config/opencode"
packages --prefix "$HOME/.config/opencode" @opencode-ai/plugin@1.18.33
export PATH=$PWD/node_modules/.bin:$PATH
agentproxy down >/dev/null

# Settings as users have them, with ours merged in, and the stand-in as the model.
mkdir -p "$HOME"/{.claude,.codex,.gemini} project
git init -q project
settings() {
	cat >"$HOME/.codex/config.toml" <<-END
		model = "stand-in"
		model_provider = "stand_in"
		approval_policy = "never"
		sandbox_mode = "danger-full-access"
		[model_providers.stand_in]
		name = "stand-in"
		base_url = "http://127.0.0.1:$1/v1"
		wire_api = "responses"
	END
	echo '{"security": {"auth": {"selectedType": "gemini-api-key"}}}' >"$HOME/.gemini/settings.json"
	for agent in claude-code codex gemini opencode; do agentproxy hook install "$agent"; done
	echo "{\"provider\": {\"anthropic\": {\"options\": {\"baseURL\": \"http://127.0.0.1:$1/v1\", \"apiKey\": \"none\"}}}}" >project/opencode.json
	export ANTHROPIC_BASE_URL=http://127.0.0.1:$1 ANTHROPIC_API_KEY=none GEMINI_API_KEY=none GOOGLE_GEMINI_BASE_URL=http://127.0.0.1:$1
}

# asked AGENT COMMAND...: does its shell command run through exec?
asked() {
	rm -f results
	(cd project && alone timeout 60 "${@:2}" >../out 2>../err </dev/null) || fail "$1: $(tail -n 15 out err)"
	[[ $(cat results) == *"the canary sings"*"run: yes"* ]] || fail "$1: $(cat results) $(tail -n 15 out err)"
}

# The agents would talk to many others: they get a network in which there is nobody. It takes root.
start nobody unshare --net sh -c 'ip link set lo up && echo up && exec sleep infinity'
await grep -q up nobody.log
alone() { nsenter --target "${pids[nobody]}" --net "$@"; }

# shellcheck disable=SC2016 # for the shell of the agent
start model nsenter --target "${pids[nobody]}" --net "$here/model" 'curl -sS https://agent.canary.agentproxy.test/; echo "run: ${AGENT_PROXY_RUN:+yes}"' "$PWD/results"
await test -s model.log
settings "$(<model.log)"
asked claude-code claude -p go --allowedTools Bash
# It asks its user once, on a terminal, whether the hook is to be trusted.
asked codex codex exec --dangerously-bypass-hook-trust go
asked gemini gemini --skip-trust --model gemini-2.5-flash --approval-mode yolo --prompt go
asked opencode opencode run --model anthropic/claude-sonnet-4-5 go
alone agentproxy down >/dev/null
