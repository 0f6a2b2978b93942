// Package raced tells tests whether the race detector watches them: what only computes
// takes ten times as long then, and has no races to be found.
package raced

// share is of how many samples one is judged with it: all of them are without.
const share = 8

// Some returns all samples or, with the race detector, one in eight.
func Some[T any](all []T) []T {
	if !Enabled {
		return all
	}
	var some []T
	for i := 0; i < len(all); i += share {
		some = append(some, all[i])
	}
	return some
}
