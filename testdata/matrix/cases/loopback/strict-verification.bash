# Python's strict verification, the default from 3.13 on, takes our CA and our leaves
# needs: python3
start_origin
cat >fetch.py <<'END'
import ssl, sys, urllib.request

context = ssl.create_default_context()
context.verify_flags |= ssl.VERIFY_X509_STRICT
print(urllib.request.urlopen(sys.argv[1], context=context).read().decode(), end="")
END
prints "GET git.test" behind python3 fetch.py https://git.test/echo
