//go:build !darwin

package trust

func findSystem(w *System) []string { return anchorDirs(w) }

func openSystem(w *System, path, name string) *Location { return openAnchors(w, path, name) }
