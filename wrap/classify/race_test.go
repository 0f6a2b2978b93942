//go:build race

package classify

// slow is of how many samples one is judged: the race detector takes ten times as long,
// and all of them are judged without it.
const slow = 8
