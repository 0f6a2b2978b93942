# Sockets of another user are refused; root's are not, for a command may use sudo
# needs: curl wget setpriv python3 node runuser su
start_origin
url=$(agentproxy up)
as_root() { if ((EUID == 0)); then "$@"; else sudo "$@"; fi; }

# as UID: fetch through our tunnel as that user, and print how CONNECT was answered.
as() {
	as_root setpriv --reuid="$1" --regid="$1" --clear-groups \
		curl -s -o /dev/null -w '%{http_connect}' --proxy "$url" https://git.test/echo || true
}

prints 403 as 65534
prints 200 as 0
says <(status) "belongs to another user"

# What root's run starts as another user has the run's identity, and is let in; what has not is not.
if ((EUID == 0)); then
	# shellcheck disable=SC2016 # the inner shell's
	mine() { # VARIABLE: without it
		agentproxy exec -- setpriv --reuid=65534 --regid=65534 --clear-groups env -u "$1" sh -c \
			'curl -s -o /dev/null -w "%{$0}" https://git.test/echo || true' "$(captured http_code http_connect)"
	}
	prints 200 mine NOTHING
	prints "$(captured 200 403)" mine AGENT_PROXY_RUN # a network is an identity that nothing takes away

	# It can read what it is pointed at, too: certificates, hooks, files for tools.
	inside=$PWD/dropped.sh
	cat >"$inside" <<'END'
set -e
curl -sS -o /dev/null https://git.test/echo
wget -q -O /dev/null https://git.test/echo
python3 -c 'import http.client; c = http.client.HTTPSConnection("git.test"); c.request("GET", "/echo"); print(c.getresponse().status)'
node -e 'fetch("https://git.test/echo").then(r => console.log(r.status))'
END
	for drop in 'su -s /bin/sh nobody -c' 'runuser -u nobody -- sh -c' 'setpriv --reuid=65534 --regid=65534 --clear-groups sh -c'; do
		# shellcheck disable=SC2086 # words
		[[ $(agentproxy exec -- $drop "$(<"$inside")" 2>&1) == $'200\n200' ]] || fail "under $drop: $(agentproxy exec -- $drop "$(<"$inside")" 2>&1)"
	done
	[[ $(stat -c %a "$AGENT_PROXY_STATE_DIR") == 700 && $(stat -c %a "$AGENT_PROXY_STATE_DIR/agent-proxy-ca.key") == 600 ]] || fail 'the state directory is open'
fi
