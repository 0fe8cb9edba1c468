package cmdline

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

const completionFlag = "--generate-bash-completion"

// reorder puts the flags of the innermost command before its arguments, because cli v2 stops looking for flags at the first
// argument. "--" ends the flags, as ever; what follows it is left as it is.
func reorder(app *cli.App, args []string) []string {
	// A shell that asks for candidates says so with the last word; cli v2 looks for it there (help.go, checkShellCompleteFlag).
	if last := len(args) - 1; last >= 0 && args[last] == completionFlag {
		words := reorder(app, args[:last])
		if end := slices.Index(words, "--"); end >= 0 {
			words = words[:end] // behind it, the flag would be an argument
		}
		return append(words, completionFlag)
	}
	flags, commands := app.Flags, app.Commands
	var path []string
	rest, help, takes := args, "", false
	for len(rest) > 0 {
		i := skipFlags(flags, rest)
		if n := slices.IndexFunc(rest[:i], asksHelp); n >= 0 {
			rest, help = slices.Delete(slices.Clone(rest), n, n+1), rest[n]
			continue
		}
		if i == len(rest) {
			break
		}
		next := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(rest[i]) })
		if next < 0 && help != "" {
			break
		}
		if next < 0 && len(commands) > 0 && !takes {
			return append(path, rest...) // an unknown command; it is the first argument as it stands
		}
		if next < 0 {
			break
		}
		path = append(path, rest[:i+1]...)
		rest = rest[i+1:]
		// What has commands and takes arguments, too, says so in its usage.
		takes = commands[next].ArgsUsage != ""
		flags, commands = commands[next].Flags, commands[next].Subcommands
	}
	if help != "" {
		// Help is about the innermost command that is named; cli v2 would take that for the topic of the outer one.
		return append(path, help)
	}
	var options, arguments []string
	for i := 0; i < len(rest); {
		if rest[i] == "--" {
			arguments = append(arguments, rest[i+1:]...)
			break
		}
		if n := flagLength(flags, rest[i:]); n > 0 {
			options = append(options, rest[i:i+n]...)
			i += n
			continue
		}
		arguments = append(arguments, rest[i])
		i++
	}
	path = append(path, options...)
	if slices.ContainsFunc(options, asksHelp) || lacksValue(flags, options) {
		// cli v2 would take the first argument for the topic, or for the value; without arguments it says what is meant.
		return path
	}
	if slices.ContainsFunc(arguments, func(a string) bool { return strings.HasPrefix(a, "-") }) {
		path = append(path, "--")
	}
	return append(path, arguments...)
}

func asksHelp(word string) bool {
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	return strings.HasPrefix(word, "-") && slices.Contains(cli.HelpFlag.Names(), name)
}

// lacksValue holds if the last of the options is a flag whose value would have to follow.
func lacksValue(flags []cli.Flag, options []string) bool {
	i, last := 0, 0
	for i < len(options) {
		last = i
		i += flagLength(flags, options[i:])
	}
	// Given one word more, the flag would take it.
	return i > 0 && last == len(options)-1 && flagLength(flags, []string{options[last], ""}) == 2
}

// skipFlags counts the leading words that are flags with their values.
func skipFlags(flags []cli.Flag, words []string) int {
	i := 0
	for i < len(words) {
		n := flagLength(flags, words[i:])
		if n == 0 {
			break
		}
		i += n
	}
	return i
}

// flagLength is how many words the flag at the start of words takes: none if there is no flag, two if its value is a word of
// its own. A flag that is not known takes one; the parser will say so.
func flagLength(flags []cli.Flag, words []string) int {
	word := words[0]
	if len(word) < 2 || word[0] != '-' || word == "--" {
		return 0
	}
	name, _, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
	if hasValue {
		return 1
	}
	for _, f := range flags {
		if !slices.Contains(f.Names(), name) {
			continue
		}
		if _, isBool := f.(*cli.BoolFlag); isBool || len(words) == 1 {
			return 1
		}
		return 2
	}
	return 1
}
