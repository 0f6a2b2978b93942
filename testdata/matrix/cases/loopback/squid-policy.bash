# The policies of the egress's table of requests decide as lists of Squid's do, but where testdata/squid.txt says why not
# needs: go squid
HOME=$machine AGENTPROXY_TEST_SQUID=$(command -v squid) go -C "$here/../.." test ./proxy/egress -count 1 -v \
	-run TestRequestRulesAgainstSquid >squid.log || fail "$(<squid.log)"
says squid.log '[1-9][0-9]* requests, [1-9][0-9]* decided alike'
grep -o '[0-9]* requests, .*\|.*, because .*' squid.log
