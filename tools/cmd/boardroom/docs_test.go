package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

var (
	// fenced matches a code block between fences; blocks of the README are indented and show a prompt.
	fenced      = regexp.MustCompile("(?s)```\n(.*?)```")
	commandLine = regexp.MustCompile(`(?m)^(?:    \$ )?boardroom(?:-dev)? ([^#\n]*)`)
	prompted    = regexp.MustCompile(`(?m)^    \$ boardroom.*$`)
)

// TestDocumentation holds every command in the documentation to commands and flags that the program has.
func TestDocumentation(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, file := range append(files, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		code := strings.Join(prompted.FindAllString(string(text), -1), "\n")
		for _, block := range fenced.FindAllStringSubmatch(string(text), -1) {
			code += "\n" + block[1]
		}
		for _, match := range commandLine.FindAllStringSubmatch(code, -1) {
			lines++
			if reason := unknown(strings.Fields(match[1])); reason != "" {
				t.Errorf("%s: boardroom %s: %s", filepath.Base(file), match[1], reason)
			}
		}
	}
	if lines < 20 {
		t.Errorf("%d commands in the documentation, want at least 20", lines)
	}
}

// unknown says which word of a call is no command or flag.
func unknown(words []string) string {
	commands, flags, argument := app().Commands, app().Flags, false
	for _, word := range words {
		if name, isFlag := strings.CutPrefix(word, "--"); isFlag {
			if name, _, _ = strings.Cut(name, "="); !hasFlag(flags, name) {
				return "no flag " + word
			}
			continue
		}
		if argument {
			continue // or the value of a flag
		}
		found := false
		for _, c := range commands {
			if c.Name == word {
				commands, flags, found = c.Subcommands, c.Flags, true
				argument = len(commands) == 0
				break
			}
		}
		switch {
		case found && word == "dev" && argument:
			return "" // a production build has no more of it
		case !found && len(flags) == 0:
			return "no command " + word
		case !found:
			argument = true
		}
	}
	return ""
}

func hasFlag(flags []cli.Flag, name string) bool {
	if name == "help" || name == "version" {
		return true
	}
	for _, flag := range flags {
		for _, n := range flag.Names() {
			if n == name {
				return true
			}
		}
	}
	return false
}
