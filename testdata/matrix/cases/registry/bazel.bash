# Bazel's own downloader fetches a file, in a server that another environment has started
# needs: bazel mvn
url=$(mvn -B help:evaluate -Dexpression=project.repositories -Dmaven.repo.local="$PWD/repository" | sed -n 's|.*<url>\(https://.*\)</url>.*|\1|p' | head -n 1)
touch BUILD
cat >WORKSPACE <<END
load("@bazel_tools//tools/build_defs/repo:http.bzl", "http_file")
http_file(name = "junit", urls = ["$url/junit/junit/4.13.2/junit-4.13.2.pom"])
END
bazel=(bazel --output_user_root="$PWD/bazel")
trap '"${bazel[@]}" shutdown &>/dev/null; clean_up' EXIT
"${bazel[@]}" info release &>/dev/null
behind "${bazel[@]}" fetch @junit//file
works bazel "$("${bazel[@]}" --version | sed 's/^bazel //')"
diagnose bazel bazel
