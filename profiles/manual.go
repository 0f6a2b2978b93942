package profiles

import _ "embed"

// Manual describes the files, in Markdown.
//
//go:embed README.md
var Manual string
