# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what the cases use; here, rows and agentproxy, which run-case sets
#
# What a case may use, beside the commands agentproxy and origin:
#   behind COMMAND...       run it through the tunnel; fails when the command does, or when it used no tunnel
#   client NAME VERSION COMMAND...
#                           a row of the table: run it through the tunnel; it must print "GET git.test". The case goes on
#                           when it does not, and fails at its end
#   works NAME VERSION      the same for a client that the case has checked in its own way
#   diagnose TOOL PATTERN...
#                           doctor tries the tool and must find what the table says of the clients with these names, which
#                           fetch by it; every client of the table must be among some tool's
#   doctor [ARGUMENT...]    run doctor, into doctor.out and doctor.err, and once more when a tool did not finish in time
#   configure <<END         write agentproxy's configuration
#   start_origin            serve https://git.test on loopback, in $ORIGIN, $ORIGIN_CA, $ORIGIN_REPOSITORIES and $ORIGIN_FILES
#   start_squid [PASSWORD]  run Squid, in $SQUID, $SQUID_CA and $SQUID_LOG; see there
#   start_docker [FLAG...]  run the Docker daemon that is first in PATH; DOCKER_HOST names it, docker.etc is its /etc/docker
#   own_podman              let podman and buildah keep what they make in the case's directory
#   start_registry          serve images as registry.test on loopback; the tunnel knows it
#   $ENGINES                the directory with the commands of engines/go.mod; engine_version MODULE prints which
#   apart COMMAND...        run it with control groups that engines for containers like; see there
#   start NAME COMMAND...   run it in the background until the case ends; its output is in NAME.log
#   finish NAME, stop NAME  wait for it, or end it with SIGTERM; returns its exit status
#   await COMMAND...        run it until it succeeds, ten seconds at most
#   field NAME              print a member of the JSON document on stdin
#   npm_registry            print the address of the machine's npm registry, with a slash at the end
#   host URL                print a URL's host
#   captured YES NO         print YES where every command has a network of its own (run --capture always), else NO
#   status, tunnels, daemons, answers, free_port, same, expect, prints, says, fail

# --- checks -----------------------------------------------------------------

# fail MESSAGE: end the case.
fail() {
	printf 'FAILED: %s\n' "$*" >&2
	exit 1
}

# same WANT GOT [WHAT]
same() { [[ $1 == "$2" ]] || fail "${3:-output}: want \"$1\", got \"$2\""; }

# expect STATUS COMMAND...: run it and check its exit status.
expect() {
	local want=$1 got=0
	shift
	"$@" || got=$?
	same "$want" "$got" "exit status of $*"
}

# prints WANT COMMAND...: run it; it must succeed and print just that.
prints() {
	local want=$1 got
	shift
	got=$("$@") || fail "exit status $? of $*"
	same "$want" "$got" "output of $*"
}

# says FILE PATTERN: does a line match?
says() { grep -q -- "$2" "$1" || fail "no line of $1 matches \"$2\": $(<"$1")"; }

await() {
	local deadline=$((SECONDS + 10))
	while ((SECONDS <= deadline)); do
		if "$@"; then return; fi
		sleep 0.1
	done
	fail "still not after ten seconds: $*"
}

# --- the tunnel -------------------------------------------------------------

behind() {
	local before
	before=$(tunnels)
	agentproxy exec -- "$@" || return
	(($(tunnels) > before)) || fail "nothing went through the tunnel: $*"
}

# captured YES NO: what a command sees of the tunnel differs in a network of its own. It is told of no proxy, so that a
# refusal comes as a page within TLS, and no setting leads past the tunnel.
captured() { if [[ $MATRIX_CAPTURE == always ]]; then echo "$1"; else echo "$2"; fi; }

# --- the table --------------------------------------------------------------

row() { printf '%s\t%s\t%s\n' "$@" >>"$rows"; }

works() { row "$1" "$2" ok; }

broken=()

client() {
	local name=$1 version=$2 before
	shift 2
	before=$(tunnels)
	if agentproxy exec -- "$@" >client.out 2>client.err </dev/null && grep -q "GET git.test" client.out && (($(tunnels) > before)); then
		works "$name" "$version"
		return
	fi
	row "$name" "$version" no
	broken+=("$name $version")
	echo "$name $version does not work: $* ($(($(tunnels) - before)) tunnels)"
	tail -n 15 client.out client.err
}

declare -A diagnosed=()

diagnose() {
	local tool=$1 failing='' name outcome pattern found
	while IFS=$'\t' read -r name _ outcome; do
		for pattern in "${@:2}"; do
			# shellcheck disable=SC2053 # it is a pattern
			if [[ $name == $pattern ]]; then
				diagnosed[$name]=yes
				if [[ $outcome != ok ]]; then failing=$name; fi
			fi
		done
	done <"$rows"
	doctor --json "$tool" || true
	found=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["tools"][0]["verdict"])' <doctor.out) || fail "doctor has no row for $tool: $(<doctor.err)"
	if [[ $found == works && $failing ]]; then fail "$tool works for doctor, and $failing does not"; fi
	if [[ $found != works && ! $failing ]]; then fail "for doctor, $tool is broken: $(agentproxy doctor "$tool" || true)"; fi
}

# doctor [ARGUMENT...]: a busy machine may leave a tool too little of the time that it has.
doctor() {
	local status=0
	agentproxy doctor "$@" >doctor.out 2>doctor.err || status=$?
	if grep -q 'did not finish in time' doctor.out; then
		status=0
		agentproxy doctor "$@" >doctor.out 2>doctor.err || status=$?
	fi
	return "$status"
}

# undiagnosed prints the clients of the table that doctor has not been asked about.
undiagnosed() {
	local name
	while IFS=$'\t' read -r name _; do
		if [[ ! ${diagnosed[$name]:-} ]]; then echo "$name"; fi
	done <"$rows"
}

# status prints the status document, a short one when there is no tunnel.
status() { agentproxy status --json 2>/dev/null || true; }

# tunnels prints how many were opened since the daemon started.
tunnels() { status | field tunnels; }

# daemons prints the ids of the daemons of this home: between runs every process of our binary is one.
daemons() {
	local process
	for process in /proc/[0-9]*; do
		[[ $(readlink "$process/exe") == "$agentproxy" ]] || continue
		if grep -qzx "HOME=$HOME" "$process/environ" 2>/dev/null; then echo "${process#/proc/}"; fi
	done
}

configure() {
	mkdir -p "$HOME/.config/agentproxy"
	cat >"$HOME/.config/agentproxy/config.toml"
}

# --- documents and addresses ------------------------------------------------

# field NAME prints a number or a text; 0 when there is none, as the status document leaves zeros out.
field() { python3 -c 'import json, sys; print(json.load(sys.stdin).get(sys.argv[1], 0))' "$1"; }

npm_registry() {
	local url
	url=$(npm config get registry)
	echo "${url%/}/"
}

host() { python3 -c 'import sys, urllib.parse; print(urllib.parse.urlsplit(sys.argv[1]).hostname)' "$1"; }

free_port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# answers PORT: does something listen there?
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# --- servers ----------------------------------------------------------------

declare -A pids=()

start() {
	local name=$1
	shift
	"$@" >"$name.log" 2>&1 &
	pids[$name]=$!
}

# finish NAME: wait for its end and return its exit status.
finish() {
	local pid=${pids[$1]}
	unset "pids[$1]"
	wait "$pid"
}

# stop NAME: end it and return its exit status.
stop() {
	kill "${pids[$1]}" 2>/dev/null || true
	finish "$1"
}

start_origin() {
	ORIGIN_REPOSITORIES=$PWD/repositories ORIGIN_FILES=$PWD/files ORIGIN_CA=$PWD/origin-ca.pem
	mkdir "$ORIGIN_REPOSITORIES" "$ORIGIN_FILES"
	start origin origin --ca "$ORIGIN_CA" --repositories "$ORIGIN_REPOSITORIES" --files "$ORIGIN_FILES"
	await test -s origin.log
	ORIGIN=$(<origin.log)
	[[ $ORIGIN =~ ^127\.0\.0\.1:[0-9]+$ ]] || fail "origin: $ORIGIN"
	configure <<-END
		[egress]
		extra_roots = ["$ORIGIN_CA"]
		[egress.connect_to]
		"git.test:443" = "$ORIGIN"
	END
}

# start_squid [PASSWORD]: Squid that re-terminates TLS as a company's would, with a CA of its own. With a password it wants
# the user "matrix" to give it. It refuses denied.test and knows git.test, when the origin runs.
#
# $SQUID is its address, $SQUID_PLAIN one without ssl-bump: there a refusal answers CONNECT itself, while a bumping port
# answers 200 and says no within.
start_squid() {
	local password=${1:-} dir=$PWD/squid port plain certgen
	port=$(free_port) plain=$(free_port)
	certgen=$(find /usr/lib/squid /usr/libexec/squid -name security_file_certgen -print -quit 2>/dev/null || true)
	mkdir "$dir"
	SQUID=127.0.0.1:$port SQUID_PLAIN=127.0.0.1:$plain SQUID_CA=$dir/ca.pem SQUID_LOG=$dir/access.log
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=matrix squid CA" \
		-addext keyUsage=critical,keyCertSign -keyout "$dir/ca.key" -out "$SQUID_CA" 2>/dev/null
	"$certgen" -c -s "$dir/certificates" -M 4MB >/dev/null
	echo "127.0.0.1 git.test" >"$dir/hosts"
	if [[ $password ]]; then
		echo "matrix:$(openssl passwd -6 -stdin <<<"$password")" >"$dir/users"
		cat >"$dir/access.conf" <<-END
			auth_param basic program $(dirname "$certgen")/basic_ncsa_auth $dir/users
			acl known proxy_auth REQUIRED
			http_access deny !known
		END
	else
		: >"$dir/access.conf"
	fi
	cat >"$dir/squid.conf" <<-END
		http_port $SQUID ssl-bump tls-cert=$SQUID_CA tls-key=$dir/ca.key generate-host-certificates=on
		http_port $SQUID_PLAIN
		sslcrtd_program $certgen -s $dir/certificates -M 4MB
		ssl_bump bump all
		tls_outgoing_options cafile=${ORIGIN_CA:-/dev/null}
		include $dir/access.conf
		acl denied dstdomain denied.test
		http_access deny denied
		http_access allow localhost
		hosts_file $dir/hosts
		cache deny all
		access_log $SQUID_LOG
		cache_log $dir/cache.log
		pid_filename $dir/squid.pid
		coredump_dir $dir
		pinger_enable off
		shutdown_lifetime 0 seconds
		visible_hostname squid.test
		cache_effective_user proxy
	END
	if ((EUID == 0)); then chown -R proxy "$dir"; fi
	start squid squid --foreground -n "matrix$port" -f "$dir/squid.conf"
	await answers "$port"
}

apart() { "$here/apart" "$@"; }

# start_docker: run a Docker daemon, whose address is in $DOCKER_HOST.
start_docker() {
	mkdir -p docker.etc
	rm -f docker.sock
	# shellcheck disable=SC2016 # for the inner shell
	start dockerd "$here/apart" --processes bash -c 'mkdir -p /etc/docker && mount --bind "$0" /etc/docker && exec dockerd "$@"' "$PWD/docker.etc" \
		--host="unix://$PWD/docker.sock" --data-root="$PWD/docker" --exec-root=/run/docker --pidfile=/run/docker.pid \
		--bridge=none --iptables=false --ip6tables=false "$@"
	export DOCKER_HOST=unix://$PWD/docker.sock
	await test -S docker.sock
	await docker version >docker.log
}

# own_podman: Podman and Buildah write into the case's directory, and have the control groups that they want.
own_podman() {
	local engine
	mkdir bin
	for engine in podman buildah; do
		printf '#!/bin/bash\nexec %q %q --storage-driver=overlay --root=%q --runroot=%q "$@"\n' \
			"$here/apart" "$(command -v "$engine")" "$PWD/storage" "$PWD/run" >"bin/$engine"
	done
	chmod +x bin/*
	# More open files than a machine may allow are the default.
	printf '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n' >containers.conf
	export CONTAINERS_CONF=$PWD/containers.conf
	PATH=$PWD/bin:$PATH
	trap 'podman rmi --all --force >/dev/null 2>&1; clean_up' EXIT
}

start_registry() {
	local port
	port=$(free_port)
	mkdir registry
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=matrix registry CA" \
		-addext keyUsage=critical,keyCertSign -keyout registry/ca.key -out registry/ca.pem 2>/dev/null
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=registry.test" \
		-addext subjectAltName=DNS:registry.test -addext basicConstraints=critical,CA:FALSE -CA registry/ca.pem -CAkey registry/ca.key \
		-keyout registry/key.pem -out registry/certificate.pem 2>/dev/null
	cat >registry/config.yml <<-END
		version: 0.1
		storage: {filesystem: {rootdirectory: $PWD/registry}}
		http: {addr: "127.0.0.1:$port", tls: {certificate: $PWD/registry/certificate.pem, key: $PWD/registry/key.pem}}
	END
	start registry docker-registry serve registry/config.yml
	await answers "$port"
	configure <<-END
		[egress]
		extra_roots = ["$PWD/registry/ca.pem"]
		[egress.connect_to]
		"registry.test:443" = "127.0.0.1:$port"
	END
}

engine_version() { sed -n "s|^\t$1 v\([^ +]*\).*|\1|p" "$here/engines/go.mod"; }
