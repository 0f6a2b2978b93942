# Python's own urllib fetches JSON
# needs: python3 npm
cat >fetch.py <<'END'
import json, sys, urllib.request

with urllib.request.urlopen(sys.argv[1], timeout=60) as response:
    print(json.load(response)["name"])
END
prints is-number behind python3 fetch.py "$(npm_registry)is-number"
