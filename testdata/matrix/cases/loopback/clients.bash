# curl; git over HTTPS and over SSH remotes, with submodules and large files; what npm and go fetch by git
# needs: curl git git-lfs npm node go
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

# A large file, pushed and fetched.
git -C first lfs install --local >/dev/null
git -C first lfs track '*.bin' >/dev/null
head -c 300000 /dev/urandom >first/large.bin
git -C first add .gitattributes large.bin
git -C first -c user.name=matrix -c user.email=matrix@git.test commit -q -m "a large file"
behind git -C first push -q https://git.test/git/whole.git HEAD:refs/heads/trunk
GIT_LFS_SKIP_SMUDGE=1 behind git clone -q -b trunk https://git.test/git/whole.git with-large
behind git -C with-large lfs pull >/dev/null
cmp first/large.bin with-large/large.bin
works git-lfs "$(git lfs version | sed 's#git-lfs/\([^ ]*\).*#\1#')"

# Packages that lie in git, behind an SSH address.
mkdir package
echo '{"name": "in-git", "version": "1.0.0"}' >package/package.json
printf 'module git.test/git/package.git\n\ngo 1.21\n' >package/go.mod
echo 'package in_git' >package/in_git.go
git -C package init -q
git -C package add .
git -C package -c user.name=matrix -c user.email=matrix@git.test commit -q -m one
git clone -q --bare package "$ORIGIN_REPOSITORIES/package.git"
behind npm install --silent --no-audit --no-fund --prefix npm "git+ssh://git@git.test/git/package.git"
[[ -s npm/node_modules/in-git/package.json ]] || fail "the package is not there"
works npm-git-ssh-dep "$(npm --version)"
mkdir module
printf 'module probe\n\ngo 1.21\n' >module/go.mod
GOFLAGS=-modcacherw GOPRIVATE=git.test behind go -C module get git.test/git/package.git@latest
works go-private-module "$(go env GOVERSION)"
diagnose curl curl
diagnose git 'git-*'
diagnose git-lfs git-lfs
diagnose npm npm-git-ssh-dep
diagnose go go-private-module
