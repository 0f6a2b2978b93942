# cargo: crates, and dependencies in git over HTTPS and over SSH
# needs: cargo git
start_origin
git init -q dependency
mkdir dependency/src
: >dependency/src/lib.rs
printf '[package]\nname = "dependency"\nversion = "0.1.0"\nedition = "2021"\n' >dependency/Cargo.toml
git -C dependency add .
git -C dependency -c user.name=matrix -c user.email=matrix@git.test commit -q -m one
git clone -q --bare dependency "$ORIGIN_REPOSITORIES/dependency.git"
cat >>"$HOME/.config/agentproxy/config.toml" <<'END'
[git]
rewrite_hosts = ["git.test"]
END
version=$(cargo --version | cut -d' ' -f2)
fetches() {
	mkdir -p "$1/src"
	: >"$1/src/lib.rs"
	printf '[package]\nname = "probe"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n%s\n' "$2" >"$1/Cargo.toml"
	(cd "$1" && behind cargo fetch)
}
fetches crate 'itoa = "1"'
works cargo "$version"
agentproxy doctor --online cargo >doctor.out || fail "$(<doctor.out)"
says doctor.out "✓ online: "
fetches git 'dependency = { git = "https://git.test/git/dependency.git" }'
works cargo-git-dep "$version"
fetches ssh 'dependency = { git = "ssh://git@git.test/git/dependency.git" }'
works cargo-git-ssh-dep "$version"
diagnose cargo 'cargo*'
