# R: its downloads by two methods, its connections and its list of packages
# needs: Rscript wget
start_origin
URL=https://git.test/echo
version=$(Rscript -e 'cat(as.character(getRversion()))')
download='download.file(commandArgs(TRUE)[1], "out", commandArgs(TRUE)[2], quiet = TRUE); cat(readLines("out"))'
client 'R-download.file' "$version" Rscript -e "$download" $URL libcurl
client R-download.file-wget "$version" Rscript -e "$download" $URL wget
client 'R-url()' "$version" Rscript -e 'cat(readLines(url(commandArgs(TRUE))))' $URL
mkdir -p "$ORIGIN_FILES/src/contrib"
printf 'Package: greeting\nVersion: 1.0\n' >"$ORIGIN_FILES/src/contrib/PACKAGES"
prints greeting behind Rscript -e 'cat(rownames(available.packages(contriburl = contrib.url(commandArgs(TRUE)))))' https://git.test/files
works R-available.packages "$version"
diagnose R 'R-*'
