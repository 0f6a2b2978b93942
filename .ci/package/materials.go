package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// materials writes what a binary is made of (CycloneDX) and how it was built (SLSA's
// provenance 1.0, in an in-toto statement, not signed). Both are read out of the
// binary.
func (r *release) materials(binary, platform string) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(data)
	sum := hex.EncodeToString(digest[:])
	base := "agentproxy-" + r.Version + "-" + platform
	var bom bytes.Buffer
	if err := cdx.NewBOMEncoder(&bom, cdx.BOMFileFormatJSON).SetPretty(true).Encode(r.billOf(info, base, sum)); err != nil {
		return err
	}
	if err := r.write(base+".cdx.json", bom.Bytes()); err != nil {
		return err
	}
	statement, err := json.MarshalIndent(r.provenanceOf(info, base, sum), "", "  ")
	if err != nil {
		return err
	}
	return r.write(base+".intoto.json", append(statement, '\n'))
}

func (r *release) billOf(info *debug.BuildInfo, name, sum string) *cdx.BOM {
	var parts []cdx.Component
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		purl := "pkg:golang/" + d.Path + "@" + d.Version
		parts = append(parts, cdx.Component{Type: cdx.ComponentTypeLibrary, BOMRef: purl, Name: d.Path, Version: d.Version, PackageURL: purl})
	}
	toolchain := strings.TrimPrefix(info.GoVersion, "go")
	parts = append(parts, cdx.Component{Type: cdx.ComponentTypeLibrary, BOMRef: "pkg:golang/std@" + toolchain, Name: "std", Version: toolchain, PackageURL: "pkg:golang/std@" + toolchain})
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Timestamp: r.made.Format(time.RFC3339), Component: &cdx.Component{
		Type: cdx.ComponentTypeApplication, BOMRef: name, Name: "agentproxy", Version: r.Version,
		Hashes:   &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum}},
		Licenses: &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
	}}
	bom.Components = &parts
	return bom
}

// statement is in-toto's Statement v1, with SLSA's provenance as its predicate.
type statement struct {
	Type          string     `json:"_type"`
	Subject       []subject  `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     provenance `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest"`
}

type provenance struct {
	BuildDefinition struct {
		BuildType            string            `json:"buildType"`
		ExternalParameters   map[string]string `json:"externalParameters"`
		InternalParameters   map[string]string `json:"internalParameters"`
		ResolvedDependencies []subject         `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
	} `json:"runDetails"`
}

func (r *release) provenanceOf(info *debug.BuildInfo, name, sum string) statement {
	s := statement{Type: "https://in-toto.io/Statement/v1", PredicateType: "https://slsa.dev/provenance/v1",
		Subject: []subject{{Name: name, Digest: map[string]string{"sha256": sum}}}}
	p := &s.Predicate
	p.BuildDefinition.BuildType = "https://github.com/agentproxy/agentproxy/blob/main/.ci/release"
	p.BuildDefinition.ExternalParameters = map[string]string{"version": r.Version, "platform": strings.TrimPrefix(name, "agentproxy-"+r.Version+"-")}
	p.BuildDefinition.InternalParameters = map[string]string{"go": info.GoVersion}
	p.BuildDefinition.ResolvedDependencies = []subject{}
	if commit := os.Getenv("COMMIT"); commit != "" {
		p.BuildDefinition.ResolvedDependencies = append(p.BuildDefinition.ResolvedDependencies,
			subject{URI: "git+https://github.com/agentproxy/agentproxy", Digest: map[string]string{"gitCommit": commit}})
	}
	if sums, err := os.ReadFile(filepath.Join(r.root, "go.sum")); err == nil {
		digest := sha256.Sum256(sums)
		p.BuildDefinition.ResolvedDependencies = append(p.BuildDefinition.ResolvedDependencies,
			subject{Name: "go.sum", Digest: map[string]string{"sha256": hex.EncodeToString(digest[:])}})
	}
	p.RunDetails.Builder.ID = "https://github.com/agentproxy/agentproxy/blob/main/.ci/release#local"
	return s
}
