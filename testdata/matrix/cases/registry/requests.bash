# Python's requests, installed through the tunnel, fetches JSON
# needs: python3 pip npm
behind python3 -m pip install --quiet --no-cache-dir --target packages requests
cat >fetch.py <<'END'
import sys
import requests

response = requests.get(sys.argv[1], timeout=60)
response.raise_for_status()
print(response.json()["name"])
END
PYTHONPATH=packages prints is-number behind python3 fetch.py "$(npm_registry)is-number"
