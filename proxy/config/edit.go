package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"

	"github.com/agentproxy/agentproxy/proxy/atomicfile"
)

// BackupSuffix stands behind the name of a configuration as it was before AddAllow.
const BackupSuffix = ".before-ask"

// AddAllow writes an entry into policy.allow of a configuration, and leaves the rest as
// it stands, comments too. The file is replaced in one step, and kept beside it as it
// was. A file that says it in a way that cannot be edited so is an error.
func AddAllow(path, entry string) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	before, err := Parse(path, raw)
	if err != nil {
		return err
	}
	if slices.Contains(before.Policy.Allow, entry) {
		return nil
	}
	edited, err := withAllow(raw, entry)
	if err != nil {
		return fmt.Errorf("%s: %w; add %q to policy.allow by hand", path, err, entry)
	}
	after, err := Parse(path, edited)
	if err != nil {
		return fmt.Errorf("%s cannot be edited; add %q to policy.allow by hand", path, entry)
	}
	// Nothing but the entry is another.
	if i := slices.Index(after.Policy.Allow, entry); i >= 0 {
		after.Policy.Allow = slices.Delete(after.Policy.Allow, i, i+1)
	}
	if len(after.Policy.Allow) == 0 {
		after.Policy.Allow = before.Policy.Allow
	}
	if !reflect.DeepEqual(before, after) {
		return fmt.Errorf("%s cannot be edited; add %q to policy.allow by hand", path, entry)
	}
	if err := atomicfile.Write(path+BackupSuffix, raw, info.Mode().Perm()); err != nil {
		return err
	}
	return atomicfile.WriteDurably(path, edited, info.Mode().Perm())
}

// They are compiled when they are wanted: few commands edit, and all would wait.
const (
	policyTable = `(?m)^[ \t]*\[[ \t]*policy[ \t]*\][ \t]*(#.*)?\r?$`
	nextTable   = `(?m)^[ \t]*\[`
	allowKey    = `(?m)^[ \t]*allow[ \t]*=[ \t]*\[`
	restOfLine  = `^[ \t]*(#[^\n]*)?\r?\n([ \t]*)`
)

// withAllow puts an entry first in the list of the table [policy], which is made where
// it is not there.
func withAllow(raw []byte, entry string) ([]byte, error) {
	table := regexp.MustCompile(policyTable).FindIndex(raw)
	if table == nil {
		return nil, errors.New("it has no table [policy]")
	}
	end := len(raw)
	if next := regexp.MustCompile(nextTable).FindIndex(raw[table[1]:]); next != nil {
		end = table[1] + next[0]
	}
	quoted := strconv.Quote(entry) // an entry is ASCII, which TOML quotes as Go does
	key := regexp.MustCompile(allowKey).FindIndex(raw[table[1]:end])
	if key == nil {
		return slices.Concat(raw[:table[1]], []byte("\nallow = ["+quoted+"]"), raw[table[1]:]), nil
	}
	at := table[1] + key[1]
	if rest := regexp.MustCompile(restOfLine).FindSubmatchIndex(raw[at:]); rest != nil { // one entry a line
		indent := raw[at+rest[4] : at+rest[5]]
		if len(indent) == 0 {
			indent = []byte("  ")
		}
		line := at + rest[4]
		return slices.Concat(raw[:line], indent, []byte(quoted+",\n"), raw[line:]), nil
	}
	separator := ", "
	if bytes.HasPrefix(bytes.TrimLeft(raw[at:], " \t"), []byte("]")) {
		separator = ""
	}
	return slices.Concat(raw[:at], []byte(quoted+separator), raw[at:]), nil
}
