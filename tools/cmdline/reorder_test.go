package cmdline

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// parsed is one call of the command of fuzzApp.
type parsed struct {
	to    string
	force bool
	args  []string
}

func fuzzApp(calls *[]parsed) *cli.App {
	return &cli.App{
		Name: "tool", Writer: &bytes.Buffer{}, ErrWriter: &bytes.Buffer{},
		Flags: []cli.Flag{&cli.StringFlag{Name: "profile"}},
		Commands: []*cli.Command{{Name: "thing", Subcommands: []*cli.Command{{
			Name:  "make",
			Flags: []cli.Flag{&cli.StringFlag{Name: "to"}, &cli.BoolFlag{Name: "force"}},
			Action: func(c *cli.Context) error {
				*calls = append(*calls, parsed{c.String("to"), c.Bool("force"), c.Args().Slice()})
				return nil
			},
		}}}},
	}
}

func asksForHelp(word string) bool {
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	return strings.HasPrefix(word, "-") && slices.Contains(cli.HelpFlag.Names(), name)
}

// FuzzReorder holds reordering to its promise: words are moved, none is made up but one "--", none is lost but terminators and
// what does not matter because help is asked for or the last flag lacks its value, and arguments keep their order.
func FuzzReorder(f *testing.F) {
	for _, line := range []string{
		"thing make a --to x b --force", "thing make -- --to x", "--profile p thing make a", "thing make a --to", "thing bogus --to x",
		"bogus -", "-h 0", "thing -h 0", "-- thing make", "thing make a --to -- -- b", "thing make ---", "thing make -= --=x", "", "thing make  a",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words := strings.Split(line, " ")
		var calls []parsed
		got := reorder(fuzzApp(&calls), slices.Clone(words))

		left := slices.Clone(words)
		for _, w := range got {
			if i := slices.Index(left, w); i >= 0 {
				left = slices.Delete(left, i, i+1)
			} else if w != "--" {
				t.Fatalf("%q became %q, where %q is made up", words, got, w)
			}
		}
		left = slices.DeleteFunc(left, func(w string) bool { return w == "--" })
		excused := strings.HasPrefix(words[len(words)-1], "-") || slices.ContainsFunc(words, asksForHelp)
		if len(left) > 0 && !excused {
			t.Fatalf("%q became %q, which lost %q", words, got, left)
		}

		code := Run(context.Background(), fuzzApp(&calls), words)
		if code != ExitDone && code != ExitUsage {
			t.Errorf("%q: exit code is %d, want %d or %d", words, code, ExitDone, ExitUsage)
		}
		if code != ExitDone || len(calls) == 0 {
			return
		}
		rest := words
		for _, a := range calls[0].args {
			i := slices.Index(rest, a)
			if i < 0 {
				t.Fatalf("%q: the command saw %q, which are not the words in their order", words, calls[0].args)
			}
			rest = rest[i+1:]
		}
	})
}

// TestReorderWhatTakesArgumentsAndHasCommands: a word that names no command is an argument then, and its flags are moved.
func TestReorderWhatTakesArgumentsAndHasCommands(t *testing.T) {
	app := &cli.App{Name: "tool", Commands: []*cli.Command{{
		Name: "measure", ArgsUsage: "DIR",
		Flags:       []cli.Flag{&cli.IntFlag{Name: "cpus"}},
		Subcommands: []*cli.Command{{Name: "diff", ArgsUsage: "A B", Flags: []cli.Flag{&cli.StringFlag{Name: "output"}}}},
	}}}
	for line, want := range map[string]string{
		"measure dir --cpus 2":          "measure --cpus 2 dir",
		"measure --cpus 2 dir":          "measure --cpus 2 dir",
		"measure diff a --output x b":   "measure diff --output x a b",
		"measure --cpus 2 diff a b":     "measure --cpus 2 diff a b",
		"measure dir diff --cpus=2":     "measure --cpus=2 dir diff",
		"measure -- dir --cpus":         "measure -- dir --cpus",
		"measure dir --cpus 2 --help":   "measure --cpus 2 --help",
		"measure --cpus 2 dir --output": "measure --cpus 2 --output dir",
	} {
		if got := strings.Join(reorder(app, strings.Split(line, " ")), " "); got != want {
			t.Errorf("%q became %q, want %q", line, got, want)
		}
	}
}
