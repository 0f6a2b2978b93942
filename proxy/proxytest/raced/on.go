//go:build race

package raced

// Enabled is true with the race detector.
const Enabled = true
