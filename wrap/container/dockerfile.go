package container

import (
	"bufio"
	"encoding/json"
	"regexp"
	"strings"
)

// Dockerfile is what an image is built from (the format is documented as
// "Dockerfile reference").
type Dockerfile struct {
	instructions []instruction
}

// instruction is one with its lines as they were written, and what stands
// before it.
type instruction struct {
	name string // in capitals, "" for what is no instruction
	text string
}

var (
	directive = regexp.MustCompile(`(?i)^#\s*([a-z]+)\s*=\s*(\S+)\s*$`)
	heredoc   = regexp.MustCompile(`<<-?\s*["']?([A-Za-z_][A-Za-z0-9_]*)["']?`)
)

// ParseDockerfile divides it into instructions; it finds no fault with any.
func ParseDockerfile(text string) *Dockerfile {
	d := &Dockerfile{}
	escape, head := `\`, true
	var lines []string
	var until []string // ends of here-documents
	name := ""
	for _, line := range strings.SplitAfter(text, "\n") {
		trimmed := strings.TrimSpace(line)
		if m := directive.FindStringSubmatch(trimmed); head && m != nil {
			if strings.EqualFold(m[1], "escape") {
				escape = m[2]
			}
		} else {
			head = false
		}
		lines = append(lines, line)
		if len(until) > 0 {
			if trimmed == until[0] {
				until = until[1:]
			}
			if len(until) > 0 {
				continue
			}
		} else {
			if trimmed == "" || strings.HasPrefix(trimmed, "#") {
				if name != "" { // inside an instruction these lines do not count
					continue
				}
			} else if name == "" {
				first, _, _ := strings.Cut(trimmed, " ")
				name = strings.ToUpper(first)
			}
			if name == "RUN" || name == "COPY" || name == "ADD" {
				for _, m := range heredoc.FindAllStringSubmatch(line, -1) {
					until = append(until, m[1])
				}
			}
			if strings.HasSuffix(trimmed, escape) && name != "" || len(until) > 0 {
				continue
			}
		}
		d.instructions = append(d.instructions, instruction{name, strings.Join(lines, "")})
		lines, name = nil, ""
	}
	if len(lines) > 0 {
		d.instructions = append(d.instructions, instruction{name, strings.Join(lines, "")})
	}
	return d
}

// arguments is what stands behind the instruction's name.
func (i instruction) arguments() string {
	return i.text[strings.Index(strings.ToUpper(i.text), i.name)+len(i.name):]
}

// Shell returns the commands of the steps, as shell text.
func (d *Dockerfile) Shell() string {
	var b strings.Builder
	for _, i := range d.instructions {
		if i.name != "RUN" {
			continue
		}
		rest := strings.TrimSpace(i.arguments())
		for strings.HasPrefix(rest, "--") {
			_, rest, _ = strings.Cut(rest, " ")
			rest = strings.TrimSpace(rest)
		}
		var words []string
		if json.Unmarshal([]byte(rest), &words) == nil {
			rest = strings.Join(words, " ")
		}
		lines := bufio.NewScanner(strings.NewReader(rest))
		lines.Buffer(nil, len(rest)+1)
		for lines.Scan() {
			if line := lines.Text(); !strings.HasPrefix(strings.TrimSpace(line), "#") {
				b.WriteString(line + "\n")
			}
		}
	}
	return b.String()
}

// Given returns it with variables for every stage and options for every step.
// Neither is kept in the image, though its history names the variables; one that
// the image itself sets wins.
func (d *Dockerfile) Given(variables []string, options string) string {
	var b strings.Builder
	for _, i := range d.instructions {
		switch i.name {
		case "RUN":
			rest := i.arguments()
			b.WriteString(i.text[:len(i.text)-len(rest)] + " " + options + rest)
		case "FROM":
			b.WriteString(i.text)
			if !strings.HasSuffix(i.text, "\n") {
				b.WriteByte('\n')
			}
			b.WriteString("ARG")
			for _, v := range variables {
				b.WriteString(" " + quoted(v))
			}
			b.WriteByte('\n')
		default:
			b.WriteString(i.text)
		}
	}
	return b.String()
}

// quoted is NAME=VALUE as ARG reads it.
func quoted(variable string) string {
	name, value, _ := strings.Cut(variable, "=")
	if !strings.ContainsAny(value, " \t\"'$\\") {
		return variable
	}
	return name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(value) + `"`
}
