# Sockets of another user are refused; root's are not, for a command may use sudo
# needs: curl setpriv
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
	mine() { # VARIABLE: without it
		agentproxy exec -- setpriv --reuid=65534 --regid=65534 --clear-groups env -u "$1" sh -c \
			'curl -s -o /dev/null -w "%{http_connect}" https://git.test/echo || true'
	}
	prints 200 mine NOTHING
	prints 403 mine AGENT_PROXY_RUN
fi
