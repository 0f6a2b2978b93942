# curl, and git over HTTPS and over SSH remotes of well-known hosts
# needs: curl git
start_origin
URL=https://git.test/echo
client curl "$(curl --version | sed -n '1s/curl \([^ ]*\).*/\1/p')" curl -sS $URL

git init -q --bare "$ORIGIN_REPOSITORIES/project.git"
git init -q first
git -C first -c user.name=matrix -c user.email=matrix@git.test commit -q --allow-empty -m "GET git.test"
git -C first push -q "$ORIGIN_REPOSITORIES/project.git" HEAD:refs/heads/trunk
git -C "$ORIGIN_REPOSITORIES/project.git" symbolic-ref HEAD refs/heads/trunk
cat >>"$HOME/.config/agentproxy/config.toml" <<'END'
[git]
rewrite_hosts = ["git.test"]
END
version=$(git --version | cut -d' ' -f3)
while read -r name remote; do
	if behind git clone -q -b trunk "$remote" "clone-$name" && [[ $(git -C "clone-$name" log -1 --format=%s) == "GET git.test" ]]; then
		works "$name" "$version"
	else
		row "$name" "$version" no
		broken+=("$name")
	fi
done <<'END'
git-https https://git.test/git/project.git
git-ssh git@git.test:git/project.git
git-ssh-url ssh://git@git.test/git/project.git
END

# A submodule whose address is an SSH one.
git -C first -c protocol.file.allow=always submodule --quiet add "$ORIGIN_REPOSITORIES/project.git" part
git -C first config -f .gitmodules submodule.part.url git@git.test:git/project.git
git -C first add .gitmodules
git -C first -c user.name=matrix -c user.email=matrix@git.test commit -q -m "with a part"
git init -q --bare "$ORIGIN_REPOSITORIES/whole.git"
git -C first push -q "$ORIGIN_REPOSITORIES/whole.git" HEAD:refs/heads/trunk
behind git clone -q -b trunk --recurse-submodules https://git.test/git/whole.git whole
[[ -e whole/part/.git ]] || fail "the submodule is not there"
works git-submodule "$version"
