package cmdline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
)

// call is what the action of "tool thing make" was given.
type call struct {
	Profile, To string
	Count       int
	Force       bool
	Format      string
	Args        []string
}

// made is a result that can be printed.
type made struct {
	Name string `json:"name"`
}

func (m made) Print(w io.Writer) error {
	_, err := fmt.Fprintf(w, "made %s\n", m.Name)
	return err
}

// tool is an app with commands like boardroom's. What "thing make" is called with goes to the returned call, nil if it is
// not reached.
type tool struct {
	*cli.App
	stdout, stderr bytes.Buffer
	made           *call
}

func newTool() *tool {
	t := &tool{}
	t.App = &cli.App{
		Name:                 "tool",
		Version:              "1.2.3",
		EnableBashCompletion: true,
		Writer:               &t.stdout,
		ErrWriter:            &t.stderr,
		Flags:                []cli.Flag{&cli.StringFlag{Name: "profile"}, &cli.BoolFlag{Name: "quiet"}},
		Commands: []*cli.Command{
			{Name: "thing", Usage: "things", Subcommands: []*cli.Command{
				{
					Name: "make", Aliases: []string{"mk"},
					Flags: []cli.Flag{
						&cli.StringFlag{Name: "to", Aliases: []string{"t"}},
						&cli.IntFlag{Name: "count"},
						&cli.BoolFlag{Name: "force"},
						cmdline.OutputFlag(),
					},
					Action: func(c *cli.Context) error {
						t.made = &call{
							Profile: c.String("profile"), To: c.String("to"), Count: c.Int("count"), Force: c.Bool("force"),
							Format: c.String("output"), Args: c.Args().Slice(),
						}
						return nil
					},
				},
				{
					Name: "name", Flags: []cli.Flag{cmdline.OutputFlag()},
					Action: func(c *cli.Context) error {
						if err := cmdline.Args(c, "NAME"); err != nil {
							return err
						}
						return cmdline.Print(c, made{c.Args().First()})
					},
				},
				{Name: "count", Action: func(c *cli.Context) error { return cmdline.Args(c) }},
				{Name: "refuse", Action: func(*cli.Context) error { return fmt.Errorf("checking: %w", cmdline.Refused(errPlain)) }},
				{Name: "fail", Action: func(*cli.Context) error { return errPlain }},
				{Name: "exit", Action: func(*cli.Context) error { return cli.Exit("own code", 42) }},
			}},
			{Name: "internal", Hidden: true, Action: func(*cli.Context) error { return nil }},
		},
	}
	return t
}

func (t *tool) run(args ...string) int {
	return cmdline.Run(context.Background(), t.App, args)
}

func TestFlagsAndArguments(t *testing.T) {
	text := func(c call) call {
		if c.Format == "" {
			c.Format = "text"
		}
		if c.Args == nil {
			c.Args = []string{}
		}
		return c
	}
	tests := []struct {
		line string // words separated by single spaces; _ stands for an empty word
		want call
	}{
		{"thing make a", call{Args: []string{"a"}}},
		{"thing make --to x a", call{To: "x", Args: []string{"a"}}},
		{"thing make a --to x", call{To: "x", Args: []string{"a"}}},
		{"thing make a --to x b --force c", call{To: "x", Force: true, Args: []string{"a", "b", "c"}}},
		{"thing make a --to=x", call{To: "x", Args: []string{"a"}}},
		{"thing make a --to= b", call{Args: []string{"a", "b"}}},
		{"thing make a --to _ b", call{Args: []string{"a", "b"}}},
		{"thing make a -to x", call{To: "x", Args: []string{"a"}}},
		{"thing make a -t x b", call{To: "x", Args: []string{"a", "b"}}},
		{"thing make --force a", call{Force: true, Args: []string{"a"}}},
		{"thing make --force=false a", call{Args: []string{"a"}}},
		{"thing make a --force=true", call{Force: true, Args: []string{"a"}}},
		{"thing make a --count 7 b", call{Count: 7, Args: []string{"a", "b"}}},
		{"thing make a --count -7", call{Count: -7, Args: []string{"a"}}},
		{"thing make a --to --force", call{To: "--force", Args: []string{"a"}}},
		{"thing make a --to --force --force", call{To: "--force", Force: true, Args: []string{"a"}}},
		{"thing make a --to=--force", call{To: "--force", Args: []string{"a"}}},
		{"thing make a --to --", call{To: "--", Args: []string{"a"}}},
		{"thing make a --to=a=b", call{To: "a=b", Args: []string{"a"}}},
		{"thing make -- --to", call{Args: []string{"--to"}}},
		{"thing make a --force -- --to x --", call{Force: true, Args: []string{"a", "--to", "x", "--"}}},
		{"thing make a -- b", call{Args: []string{"a", "b"}}},
		{"thing make -", call{Args: []string{"-"}}},
		{"thing make a _ b", call{Args: []string{"a", "", "b"}}},
		{"thing make thing make", call{Args: []string{"thing", "make"}}},
		{"thing mk a --to x", call{To: "x", Args: []string{"a"}}},
		{"--profile p thing make a --to x", call{Profile: "p", To: "x", Args: []string{"a"}}},
		{"--quiet --profile=p thing make a", call{Profile: "p", Args: []string{"a"}}},
		{"--profile thing thing make a", call{Profile: "thing", Args: []string{"a"}}},
		{"thing make a --output json", call{Format: "json", Args: []string{"a"}}},
		{"thing make", call{}},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			words := strings.Split(tt.line, " ")
			for i, w := range words {
				if w == "_" {
					words[i] = ""
				}
			}
			tool := newTool()
			if code := tool.run(words...); code != cmdline.ExitDone || tool.made == nil {
				t.Fatalf("exit code is %d, stderr %q, want the command to run", code, tool.stderr.String())
			}
			if want := text(tt.want); !reflect.DeepEqual(*tool.made, want) {
				t.Errorf("the command saw %+v, want %+v", *tool.made, want)
			}
		})
	}
}

// Wherever the flags stand among the arguments, the command sees the same.
func TestEveryOrderParsesTheSame(t *testing.T) {
	units := [][]string{{"--to", "x"}, {"--force"}, {"--count=3"}, {"--output", "json"}, {"a"}, {"b"}}
	orders := 0
	permute(units, func(order [][]string) {
		orders++
		words := []string{"thing", "make"}
		want := call{To: "x", Force: true, Count: 3, Format: "json"}
		for _, unit := range order {
			words = append(words, unit...)
			if !strings.HasPrefix(unit[0], "-") {
				want.Args = append(want.Args, unit[0])
			}
		}
		tool := newTool()
		if code := tool.run(words...); code != cmdline.ExitDone || tool.made == nil {
			t.Fatalf("%q: exit code is %d, stderr %q", words, code, tool.stderr.String())
		}
		if !reflect.DeepEqual(*tool.made, want) {
			t.Errorf("%q: the command saw %+v, want %+v", words, *tool.made, want)
		}
	})
	if orders != 720 {
		t.Errorf("%d orders of 6 units were tried, want 720", orders)
	}
}

// permute calls visit with every order of units.
func permute[T any](units []T, visit func([]T)) {
	var place func(int)
	place = func(n int) {
		if n == len(units) {
			visit(slices.Clone(units))
			return
		}
		for i := n; i < len(units); i++ {
			units[n], units[i] = units[i], units[n]
			place(n + 1)
			units[n], units[i] = units[i], units[n]
		}
	}
	place(0)
}

func TestUsageErrors(t *testing.T) {
	tests := []struct {
		line  string
		names []string // what the message has to name
	}{
		{"bogus", []string{`unknown command "bogus"`, "thing"}},
		{"thing bogus", []string{`unknown command "bogus"`, "make, name, count, refuse, fail, exit"}},
		{"bogus --to x", []string{`unknown command "bogus"`}},
		{"thing bogus --to x", []string{`unknown command "bogus"`}},
		{"bogus --help", []string{`unknown command "bogus"`}},
		{"thing bogus -h", []string{`unknown command "bogus"`}},
		{"help", []string{`unknown command "help"`}},
		{"--bogus thing make", []string{"-bogus"}},
		{"thing --bogus make", []string{"-bogus"}},
		{"thing make --bogus a", []string{"-bogus"}},
		{"thing make a --bogus", []string{"-bogus"}},
		{"thing make a --bogus=1", []string{"-bogus"}},
		{"thing make a -5", []string{"-5"}},
		{"thing make ---to x", []string{"---to"}},
		{"thing make --count many a", []string{"count", "many"}},
		{"thing make --force=perhaps a", []string{"force", "perhaps"}},
		{"thing make --to", []string{"needs an argument", "-to"}},
		{"thing make a --to", []string{"needs an argument", "-to"}},
		{"thing make a b --to", []string{"needs an argument", "-to"}},
		{"thing make a b --force --count", []string{"needs an argument", "-count"}},
		{"thing name", []string{"tool thing name", "expected NAME", "got none"}},
		{"thing name a b", []string{"expected NAME", "got a b"}},
		{"thing name a --output yaml", []string{"--output", "text or json", `"yaml"`}},
		{"thing name --output yaml", []string{"--output", "text or json", `"yaml"`}},
		{"thing count a", []string{"expected no arguments", "got a"}},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			tool := newTool()
			code := tool.run(strings.Split(tt.line, " ")...)
			if code != cmdline.ExitUsage {
				t.Errorf("exit code is %d, want %d; stderr %q", code, cmdline.ExitUsage, tool.stderr.String())
			}
			if tool.made != nil {
				t.Errorf("the command ran all the same, with %+v", *tool.made)
			}
			if tool.stdout.Len() > 0 {
				t.Errorf("stdout has %q, want nothing", tool.stdout.String())
			}
			if !strings.HasPrefix(tool.stderr.String(), "tool: ") {
				t.Errorf("message is %q, want it to begin with the program's name", tool.stderr.String())
			}
			for _, name := range tt.names {
				if !strings.Contains(tool.stderr.String(), name) {
					t.Errorf("message is %q, want it to have %q", tool.stderr.String(), name)
				}
			}
		})
	}
}

func TestHiddenCommandsAreNotSuggested(t *testing.T) {
	tool := newTool()
	tool.run("bogus")
	if strings.Contains(tool.stderr.String(), "internal") {
		t.Errorf("message is %q, want no hidden command in it", tool.stderr.String())
	}
}

func TestHelpAndVersion(t *testing.T) {
	tests := []struct{ line, want string }{
		{"", "things"},
		{"--help", "things"},
		{"--help thing", "tool thing - things"},
		{"--help bogus", "things"},
		{"thing", "refuse"},
		{"thing --help", "refuse"},
		{"thing make --help", "tool thing make"},
		{"thing make a --help", "tool thing make"},
		{"thing make a -h --to x", "tool thing make"},
		{"--version", "1.2.3"},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			tool := newTool()
			if code := tool.run(strings.Fields(tt.line)...); code != cmdline.ExitDone {
				t.Errorf("exit code is %d, want 0; stderr %q", code, tool.stderr.String())
			}
			if !strings.Contains(tool.stdout.String(), tt.want) {
				t.Errorf("stdout is %q, want it to have %q", tool.stdout.String(), tt.want)
			}
			if tool.made != nil {
				t.Errorf("the command ran, with %+v", *tool.made)
			}
		})
	}
}

func TestRunReportsErrors(t *testing.T) {
	tests := []struct {
		command, message string
		code             int
	}{
		{"refuse", "tool: checking: the disk is on fire\n", cmdline.ExitRefused},
		{"fail", "tool: the disk is on fire\n", cmdline.ExitUnknown},
		{"exit", "tool: own code\n", cmdline.ExitUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.command, func(t *testing.T) {
			tool := newTool()
			if code := tool.run("thing", tt.command); code != tt.code {
				t.Errorf("exit code is %d, want %d", code, tt.code)
			}
			if got := tool.stderr.String(); got != tt.message {
				t.Errorf("stderr is %q, want %q", got, tt.message)
			}
			if tool.stdout.Len() > 0 {
				t.Errorf("stdout has %q, want nothing", tool.stdout.String())
			}
		})
	}
}

func TestRunPassesTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	tool := newTool()
	tool.App.Commands = []*cli.Command{{Name: "wait", Action: func(c *cli.Context) error { return c.Context.Err() }}}
	if code := cmdline.Run(ctx, tool.App, []string{"wait"}); code != cmdline.ExitUnknown {
		t.Errorf("exit code is %d, want %d", code, cmdline.ExitUnknown)
	}
	if !strings.Contains(tool.stderr.String(), context.Canceled.Error()) {
		t.Errorf("stderr is %q, want the context's error", tool.stderr.String())
	}
}

func TestOutput(t *testing.T) {
	tests := []struct{ line, want string }{
		{"thing name a&b", "made a&b\n"},
		{"thing name a&b --output text", "made a&b\n"},
		{"thing name a&b --output json", "{\n  \"name\": \"a&b\"\n}\n"},
		{"thing name --output=json a&b", "{\n  \"name\": \"a&b\"\n}\n"},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			tool := newTool()
			if code := tool.run(strings.Fields(tt.line)...); code != cmdline.ExitDone {
				t.Fatalf("exit code is %d, stderr %q", code, tool.stderr.String())
			}
			if got := tool.stdout.String(); got != tt.want {
				t.Errorf("stdout is %q, want %q", got, tt.want)
			}
			if strings.Contains(tt.line, "json") && !json.Valid(tool.stdout.Bytes()) {
				t.Errorf("stdout %q is not JSON", tool.stdout.String())
			}
		})
	}
}

type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

// A result that could not be printed is a fault, not a success.
func TestOutputThatFails(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		tool := newTool()
		tool.App.Writer = full{}
		if code := tool.run("thing", "name", "a", "--output", format); code != cmdline.ExitUnknown {
			t.Errorf("--output %s: exit code is %d, want %d", format, code, cmdline.ExitUnknown)
		}
		if !strings.Contains(tool.stderr.String(), errFull.Error()) {
			t.Errorf("--output %s: stderr is %q, want %q in it", format, tool.stderr.String(), errFull)
		}
	}
}

// The completion script asks with --generate-bash-completion as the last word. Whatever stands before it, no command may run.
func TestCompletionRunsNothing(t *testing.T) {
	for _, line := range []string{
		"thing make", "thing make a", "thing make a --to x", "thing make --to x a", "thing make a --force", "thing make a --to", "thing make a -",
		"thing make a --fo", "thing make -- a", "thing make a --", "thing bogus a",
	} {
		tool := newTool()
		code := tool.run(append(strings.Fields(line), "--generate-bash-completion")...)
		if tool.made != nil {
			t.Errorf("completing %q ran the command with %+v", line, *tool.made)
		}
		if code != cmdline.ExitDone {
			t.Errorf("completing %q: exit code is %d, stderr %q", line, code, tool.stderr.String())
		}
	}
}

func TestCompletionOffersCommands(t *testing.T) {
	// cli looks at the process's own words for the one that is being completed.
	defer func(args []string) { os.Args = args }(os.Args)
	os.Args = []string{"tool", "thing", "--generate-bash-completion"}
	tool := newTool()
	if code := tool.run(os.Args[1:]...); code != cmdline.ExitDone {
		t.Errorf("exit code is %d, stderr %q", code, tool.stderr.String())
	}
	for _, want := range []string{"make", "name", "refuse"} {
		if !strings.Contains(tool.stdout.String(), want) {
			t.Errorf("candidates are %q, want %q among them", tool.stdout.String(), want)
		}
	}
}
