# git under rules on requests: reading is one word, and what a run needed is learned
# needs: git
start_origin
for name in open closed; do git init -q --bare "$ORIGIN_REPOSITORIES/$name.git"; done
as_somebody=(-c user.name=matrix -c user.email=matrix@git.test)
git init -q work
echo text >work/file
git -C work add file
git -C work "${as_somebody[@]}" commit -q -m first
behind git -C work push -q https://git.test/git/open.git HEAD:refs/heads/trunk
git -C "$ORIGIN_REPOSITORIES/open.git" symbolic-ref HEAD refs/heads/trunk
cp "$HOME/.config/agentproxy/config.toml" base.toml

# Reading only.
configure <<END
$(<base.toml)
[policy]
default = "deny"
allow = ["git.test/git/*.git fetch"]
deny = ["git.test/git/closed.git fetch"]
END
behind git clone -q https://git.test/git/open.git clone
prints text cat clone/file
behind git -C clone fetch -q
expect 128 agentproxy exec -- git -C work push -q https://git.test/git/open.git HEAD:refs/heads/other 2>push.err
says push.err '403'
says push.err 'policy_denied · git.test:443 · GET /git/open.git/info/refs on git.test:443 is on no allowlist'
expect 128 agentproxy exec -- git clone -q https://git.test/git/closed.git closed 2>closed.err
says closed.err 'denied by the rule deny "git.test/git/closed.git fetch"'
# Without .git it is the same repository.
expect 128 agentproxy exec -- git clone -q https://git.test/git/closed closed 2>closed.err
says closed.err 'denied by the rule deny "git.test/git/closed.git fetch"'

# Everything but to push.
configure <<END
$(<base.toml)
[policy]
deny = ["git.test push"]
END
behind git -C clone fetch -q
expect 128 agentproxy exec -- git -C work push -q https://git.test/git/open.git HEAD:refs/heads/other 2>push.err
says push.err 'denied by the rule deny "git.test push"'

# What a run needed, and no more.
configure <base.toml
agentproxy policy learn --requests --out learned.toml -- git -C clone fetch -q
says learned.toml '"git.test/git/open.git fetch"'
mkdir held
cp learned.toml held/.agentproxy.toml
cd held || exit
behind git -C ../clone fetch -q
expect 128 agentproxy exec -- git -C ../work push -q https://git.test/git/open.git HEAD:refs/heads/other 2>../push.err
says ../push.err 'policy_denied · git.test:443'
