# Ant, whose launcher hands its options to a shell, downloads a file
# needs: ant java npm
cat >build.xml <<END
<project default="get"><target name="get"><get src="$(npm_registry)is-number" dest="document.json"/></target></project>
END
NO_PROXY=corp.test behind ant -quiet get 2>err
same is-number "$(field name <document.json)"
if grep "Picked up" err; then fail "the JVM prints its options"; fi
works ant "$(ant -version | grep -oE '[0-9]+\.[0-9.]+' | head -n 1)"
diagnose ant ant
