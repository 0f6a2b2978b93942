# With an allowlist of one host, that host works and another is refused by the rule, which is named
# needs: curl npm
allowed=$(host "$(npm_registry)")
configure <<END
[policy]
default = "deny"
allow = ["$allowed"]
END
prints 7.0.0 behind npm view is-number@7.0.0 version

expect "$(captured 22 56)" agentproxy exec -- curl "$(captured -fsS -sS)" https://denied.test/ 2>err
says err '^agentproxy: policy_denied .*denied\.test.*default = "deny"'
