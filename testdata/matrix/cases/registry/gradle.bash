# Gradle resolves a library, with and without its daemon, also with one that was started outside and past settings that lead elsewhere
# needs: gradle java
export GRADLE_USER_HOME=$PWD/gradle-home
cat >build.gradle <<'END'
repositories { mavenCentral() }
configurations { library }
dependencies { library 'junit:junit:4.13.2' }
task fetch { doLast { println configurations.library.files*.name } }
END
touch settings.gradle
gradle=(gradle --quiet --console=plain --refresh-dependencies)
# A daemon in another network hears no wish for its locks, which Gradle sends by UDP.
if [[ $(captured yes no) == yes ]]; then gradle+=(--no-daemon); fi
fetched='[junit-4.13.2.jar, hamcrest-core-1.3.jar]'
end() { gradle --stop &>/dev/null || true; }
trap 'end; clean_up' EXIT

# Debian's launcher prints the JVM's version on stderr.
"${gradle[@]}" tasks &>/dev/null
prints "$fetched" behind "${gradle[@]}" fetch
prints "$fetched" behind "${gradle[@]}" --no-daemon fetch
prints "$fetched" behind sh -c "${gradle[*]} fetch" 2>err
if grep "Picked up" err; then fail "the JVM prints its options"; fi

cat >"$GRADLE_USER_HOME/gradle.properties" <<'END'
systemProp.https.proxyHost=127.0.0.1
systemProp.https.proxyPort=9
systemProp.javax.net.ssl.trustStore=/nonexistent
END
prints "$fetched" behind "${gradle[@]}" fetch
works gradle "$(gradle --version 2>/dev/null | sed -n 's/^Gradle //p')"
diagnose gradle gradle
