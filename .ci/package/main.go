// Command package makes of released binaries what is installed: packages for Debian,
// Fedora and Alpine, a Homebrew formula, a bill of materials and a record of how they
// were built. It is run by .ci/release. With the same input its output is the same bytes.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	_ "embed"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/apk"
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

// release is what there is to package.
type release struct {
	Version string
	// root is the repository, dist the directory of the binaries, and host one of them
	// that runs here.
	root, dist, host string
	// made is the time that files are said to be of: the commit's.
	made time.Time
}

func main() {
	log.SetFlags(0)
	var r release
	epoch := flag.Int64("epoch", 0, "the `time` of files, in seconds since 1970")
	flag.StringVar(&r.Version, "version", "", "the release's `version`")
	flag.StringVar(&r.root, "root", "", "the repository's `directory`")
	flag.StringVar(&r.dist, "dist", "", "the `directory` with the binaries")
	flag.StringVar(&r.host, "host", "", "a `binary` that runs here")
	flag.Parse()
	r.made = time.Unix(*epoch, 0).UTC()
	if err := r.make(); err != nil {
		log.Fatalf("package: %v", err)
	}
}

func (r *release) make() error {
	binaries, err := filepath.Glob(filepath.Join(r.dist, "agentproxy-"+r.Version+"-*-*"))
	binaries = slices.DeleteFunc(binaries, func(name string) bool { return strings.HasSuffix(name, ".json") }) // of an earlier time
	if err != nil || len(binaries) == 0 {
		return errors.Join(err, fmt.Errorf("there is no binary in %s", r.dist))
	}
	shared, err := r.shared()
	if err != nil {
		return err
	}
	for _, binary := range binaries {
		platform := strings.TrimPrefix(filepath.Base(binary), "agentproxy-"+r.Version+"-")
		if arch, ok := strings.CutPrefix(platform, "linux-"); ok {
			if err := r.packages(binary, arch, shared); err != nil {
				return err
			}
		}
		if err := r.materials(binary, platform); err != nil {
			return err
		}
	}
	for _, name := range []string{"install.sh", "devcontainer-feature.json"} {
		text, err := os.ReadFile(filepath.Join(r.root, ".devcontainer", "agentproxy", name))
		if err == nil {
			err = r.write(name, bytes.ReplaceAll(text, []byte("0.0.0"), []byte(r.Version)))
		}
		if err != nil {
			return err
		}
	}
	return r.formula(binaries)
}

func (r *release) write(name string, data []byte) error {
	mode := os.FileMode(0o644)
	if strings.HasSuffix(name, ".sh") {
		mode = 0o755
	}
	return os.WriteFile(filepath.Join(r.dist, name), data, mode)
}

//go:embed agentproxy.service
var unit []byte

// shared is what packages of every platform hold, by its path.
func (r *release) shared() (map[string][]byte, error) {
	all := map[string][]byte{"/usr/lib/systemd/user/agentproxy.service": unit}
	for path, of := range map[string]struct{ file, before, after string }{
		"/usr/share/bash-completion/completions/agentproxy":    {"complete.bash", "", ""},
		"/usr/share/fish/vendor_completions.d/agentproxy.fish": {"complete.fish", "set -g __agentproxy_bin agentproxy\n", ""},
		"/usr/share/zsh/vendor-completions/_agentproxy":        {"complete.zsh", "#compdef agentproxy\n__agentproxy_bin=agentproxy\n", "__agentproxy_complete \"$@\"\n"},
	} {
		text, err := os.ReadFile(filepath.Join(r.root, "shell", of.file))
		if err != nil {
			return nil, err
		}
		all[path] = slices.Concat([]byte(of.before), text, []byte(of.after))
	}
	license, err := os.ReadFile(filepath.Join(r.root, "LICENSE"))
	if err != nil {
		return nil, err
	}
	all["/usr/share/doc/agentproxy/copyright"] = license
	return all, r.manual(all)
}

// manual adds the pages.
func (r *release) manual(to map[string][]byte) error {
	dir, err := os.MkdirTemp("", "manual-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if out, err := exec.Command(r.host, "__manual", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil || len(pages) == 0 {
		return errors.Join(err, errors.New("there is no manual"))
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(filepath.Base(page), ".md")
		var packed bytes.Buffer
		w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // the level is one of its own
		if _, err := w.Write(md2man.Render(text)); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		to["/usr/share/man/man"+name[len(name)-1:]+"/"+name+".gz"] = packed.Bytes()
	}
	return nil
}

// packages makes one of each format.
func (r *release) packages(binary, arch string, shared map[string][]byte) error {
	stage, err := os.MkdirTemp("", "stage-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage)
	contents := files.Contents{{Source: binary, Destination: "/usr/bin/agentproxy", FileInfo: &files.ContentFileInfo{Mode: 0o755, MTime: r.made}}}
	// rpm removes only directories that a package names.
	contents = append(contents, &files.Content{Destination: "/usr/share/doc/agentproxy", Type: files.TypeDir, FileInfo: &files.ContentFileInfo{Mode: 0o755, MTime: r.made}})
	for path, data := range shared {
		source := filepath.Join(stage, strings.ReplaceAll(path, "/", "_"))
		if err := os.WriteFile(source, data, 0o644); err != nil {
			return err
		}
		contents = append(contents, &files.Content{Source: source, Destination: path, FileInfo: &files.ContentFileInfo{Mode: 0o644, MTime: r.made}})
	}
	slices.SortFunc(contents, func(a, b *files.Content) int { return strings.Compare(a.Destination, b.Destination) })
	for _, format := range []string{"deb", "rpm", "apk"} {
		info := nfpm.WithDefaults(&nfpm.Info{
			Name: "agentproxy", Version: r.Version, Arch: arch, Platform: "linux", MTime: r.made, License: "Apache-2.0",
			Section: "net", Priority: "optional", Maintainer: "agentproxy <agentproxy@users.noreply.github.com>",
			Homepage:    "https://github.com/agentproxy/agentproxy",
			Description: "run commands so that their HTTPS works behind a proxy that re-terminates TLS\nEach command gets the proxy and CA settings that it reads, and a failed one says why.",
			Overridables: nfpm.Overridables{
				Contents:   slices.Clone(contents),
				Recommends: []string{"ca-certificates"},
				RPM:        nfpm.RPM{BuildHost: "localhost", Group: "Applications/Internet"},
			},
		})
		packager, err := nfpm.Get(format)
		if err != nil {
			return err
		}
		var data bytes.Buffer
		if err := nfpm.PrepareForPackager(info, format); err != nil {
			return err
		}
		if err := packager.Package(info, &data); err != nil {
			return fmt.Errorf("%s: %w", format, err)
		}
		if err := r.write(packager.ConventionalFileName(info), data.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

//go:embed formula.rb
var formulaText string

// formula writes the one for Homebrew.
func (r *release) formula(binaries []string) error {
	sums := map[string]string{}
	for _, binary := range binaries {
		data, err := os.ReadFile(binary)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		sums[strings.ReplaceAll(strings.TrimPrefix(filepath.Base(binary), "agentproxy-"+r.Version+"-"), "-", "_")] = hex.EncodeToString(sum[:])
	}
	text, err := template.New("formula").Option("missingkey=zero").Parse(formulaText)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := text.Execute(&b, struct {
		Version string
		Sums    map[string]string
	}{r.Version, sums}); err != nil {
		return err
	}
	return r.write("agentproxy.rb", b.Bytes())
}
