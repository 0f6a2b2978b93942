# R downloads a document of the npm registry
# needs: Rscript npm
behind Rscript -e 'download.file(commandArgs(TRUE), "document.json", quiet = TRUE)' "$(npm_registry)is-number/7.0.0"
same 7.0.0 "$(field version <document.json)"
