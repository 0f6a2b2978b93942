package config

import _ "embed"

// Manual describes the file, in Markdown.
//
//go:embed README.md
var Manual string
