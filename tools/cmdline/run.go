package cmdline

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// outputFlag is on every command that prints a result.
const outputFlag = "output"

// OutputFlag chooses between text for people and JSON for programs.
func OutputFlag() cli.Flag {
	return &cli.StringFlag{Name: outputFlag, Value: "text", Usage: "print the result as `FORMAT`, text or json"}
}

// Printer is a result that people can read; its JSON form says the same.
type Printer interface {
	Print(w io.Writer) error
}

// Print writes a result to stdout in the form that was asked for.
func Print(c *cli.Context, result Printer) error {
	if c.String(outputFlag) == "json" {
		enc := json.NewEncoder(c.App.Writer)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(result)
	}
	return result.Print(c.App.Writer)
}

// Args checks that a command got as many arguments as its usage names, and that its output format is known.
func Args(c *cli.Context, names ...string) error {
	if format := c.String(outputFlag); format != "" && format != "text" && format != "json" {
		return Usage(fmt.Errorf("--%s: expected text or json, got %q", outputFlag, format))
	}
	if c.NArg() == len(names) {
		return nil
	}
	expected := "no arguments"
	if len(names) > 0 {
		expected = strings.Join(names, " ")
	}
	got := "none"
	if c.NArg() > 0 {
		got = strings.Join(c.Args().Slice(), " ")
	}
	return Usage(fmt.Errorf("%s: expected %s, got %s", c.Command.HelpName, expected, got))
}

// Run runs app with the arguments after the program's name and returns the exit code. Errors are printed to app.ErrWriter.
func Run(ctx context.Context, app *cli.App, args []string) int {
	app.ExitErrHandler = func(*cli.Context, error) {} // the exit code is ours, below
	app.HideHelpCommand = true
	onUsage := func(c *cli.Context, err error, _ bool) error { return Usage(err) }
	app.OnUsageError = onUsage
	prepare(app.Commands, onUsage)
	if app.Action == nil {
		app.Action = unknownCommand
	}
	err := app.RunContext(ctx, append([]string{app.Name}, reorder(app, args)...))
	if err != nil {
		fmt.Fprintf(app.ErrWriter, "%s: %v\n", app.Name, err)
	}
	return ExitCode(err)
}

func prepare(commands []*cli.Command, onUsage cli.OnUsageErrorFunc) {
	for _, c := range commands {
		c.OnUsageError = onUsage
		c.HideHelpCommand = true
		if len(c.Subcommands) > 0 && c.Action == nil {
			c.Action = unknownCommand
		}
		prepare(c.Subcommands, onUsage)
	}
}

// unknownCommand is the action of what only holds other commands.
func unknownCommand(c *cli.Context) error {
	if c.NArg() == 0 {
		return cli.ShowSubcommandHelp(c)
	}
	commands := c.App.Commands
	if c.Command != nil && len(c.Command.Subcommands) > 0 {
		commands = c.Command.Subcommands
	}
	var names []string
	for _, known := range commands {
		if !known.Hidden {
			names = append(names, known.Name)
		}
	}
	return Usage(fmt.Errorf("unknown command %q: expected one of %s", c.Args().First(), strings.Join(names, ", ")))
}
