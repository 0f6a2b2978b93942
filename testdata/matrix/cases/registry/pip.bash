# pip installs a package
# needs: python3 pip
behind python3 -m pip install --quiet --no-cache-dir --target packages six==1.17.0
PYTHONPATH=packages prints 1.17.0 python3 -c 'import six; print(six.__version__)'
