# Learned from one run, enforced in the next: package managers pass, and a stranger host is refused
# needs: node npm python3 pip cargo go mvn java curl
# learned TOOL COMMAND...: what a policy learned from the command lets pass is the command, and no other host.
learned() {
	local tool=$1
	shift
	mkdir "$tool"
	(
		cd "$tool" || exit
		agentproxy policy learn --out .agentproxy.toml -- "$@" >learn.out 2>learn.err || fail "learning from $tool: $(<learn.err)"
		rm -rf cache
		behind "$@"
		expect "$(captured 22 56)" agentproxy exec -- curl "$(captured -fsS -sS)" https://stranger.test/ 2>err
		says err '^agentproxy: policy_denied .*stranger\.test.*(project)'
		agentproxy policy diff -- true >diff.out || fail "something is missing for true: $(<diff.out)"
	)
}

learned npm npm install --no-save --cache cache is-number@7.0.0
learned pip python3 -m pip install --quiet --no-cache-dir --target cache six==1.17.0
learned go env GOFLAGS=-modcacherw GOMODCACHE="$PWD/go/cache" go mod download -json golang.org/x/sync@v0.10.0
mkdir crate
cat >crate/Cargo.toml <<'END'
[package]
name = "learned"
version = "1.0.0"
edition = "2021"
[dependencies]
itoa = "1"
END
mkdir crate/src
echo 'fn main() {}' >crate/src/main.rs
learned cargo env CARGO_HOME=cache cargo fetch --manifest-path ../crate/Cargo.toml
learned maven mvn -q -B dependency:get -Dartifact=junit:junit:4.13.2 -Dmaven.repo.local=cache

# The tools' own settings say as much, where they say it.
configure <<END
[policy]
default = "deny"
allow = ["@npm"]
END
behind npm view is-number@7.0.0 version
